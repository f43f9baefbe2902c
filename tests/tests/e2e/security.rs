//! What a container may not do.

use std::fs;

use e2e::{Archive, Tare};

fn status(tare: &Tare, options: &[&str], field: &str) -> String {
    let script = format!("sed -n 's/^{field}:[[:space:]]*//p' /proc/self/status");
    tare.sh(options, &script).ok().trim().to_owned()
}

const DEFAULT: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn capabilities_are_dockers() {
    let tare = Tare::new();
    for (field, expected) in
        [("CapEff", DEFAULT), ("CapPrm", DEFAULT), ("CapBnd", DEFAULT), ("CapInh", NONE), ("CapAmb", NONE)]
    {
        assert_eq!(status(&tare, &[], field), expected, "{field}");
    }
    assert_eq!(status(&tare, &["-u", "www-data"], "CapEff"), NONE);
    assert_eq!(status(&tare, &["-u", "www-data"], "CapBnd"), DEFAULT);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn capabilities_can_be_added_and_dropped() {
    let tare = Tare::new();
    assert_eq!(status(&tare, &["--cap-drop=ALL"], "CapBnd"), NONE);
    assert_eq!(status(&tare, &["--cap-drop=all", "--cap-add=chown"], "CapEff"), "0000000000000001");
    assert_eq!(status(&tare, &["--cap-drop", "CAP_CHOWN"], "CapEff"), "00000000a80425fa");
    assert_eq!(status(&tare, &["--cap-add=SYS_ADMIN"], "CapEff"), "00000000a82425fb");
    tare.run(["--cap-add=FLYING", "busybox", "true"]).fails(125, "FLYING");
    tare.sh(&["--cap-drop=CHOWN"], "chown 1 /etc/passwd").exits(1);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn system_calls_are_filtered() {
    let tare = Tare::new();
    assert_eq!(status(&tare, &[], "Seccomp"), "2");
    for refused in
        ["unshare -U true", "unshare -m true", "mount -t tmpfs none /mnt", "swapoff -a", "date -s 2001-01-01"]
    {
        let outcome = tare.sh(&[], refused);
        assert_ne!(outcome.stderr(), "", "{outcome}");
    }
    tare.sh(&["--cap-add=SYS_ADMIN"], "mount -t tmpfs none /mnt && unshare -m true").ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_filter_can_be_replaced_or_left_out() {
    let tare = Tare::new();
    assert_eq!(status(&tare, &["--security-opt", "seccomp=unconfined"], "Seccomp"), "0");
    let rules = r#"[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]"#;
    let profile = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {rules}}}"#);
    let option = format!("seccomp={}", tare.file("profile.json", profile));
    let outcome = tare.sh(&["--security-opt", &option], "mkdir /x");
    assert!(outcome.stderr().contains("not supported"), "{outcome}");
    tare.sh(&["--security-opt", &option], "touch /x").ok();
    let bad = format!("seccomp={}", tare.file("bad.json", "{\"defaultAction\": \"MAYBE\"}"));
    tare.run(["--security-opt", &bad, "busybox", "true"]).exits(125);
    tare.run(["--security-opt", "seccomp=/no/such/file", "busybox", "true"]).fails(125, "/no/such/file");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn privileges_can_be_frozen() {
    let tare = Tare::new();
    assert_eq!(status(&tare, &[], "NoNewPrivs"), "0");
    assert_eq!(status(&tare, &["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
    assert_eq!(status(&tare, &["--security-opt", "no-new-privileges:true", "-u", "33"], "NoNewPrivs"), "1");
    assert_eq!(status(&tare, &["--security-opt=no-new-privileges=false"], "NoNewPrivs"), "0");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn labels_are_refused_and_unknown_options_too() {
    let tare = Tare::new();
    tare.run(["--security-opt", "label=type:x", "busybox", "true"]).fails(125, "label");
    tare.run(["--security-opt", "nonsense=1", "busybox", "true"]).fails(125, "nonsense");
    tare.run(["--security-opt", "apparmor=unconfined", "busybox", "true"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_hostile_tar_writes_nothing_outside() {
    let tare = Tare::new();
    let victim = tare.dir("victim");
    let path = victim.to_str().unwrap();
    let cases = [
        Archive::new().file(&format!("..{}", "/..".repeat(12)), b"x"),
        Archive::new().file(&format!("{}{path}/a", "../".repeat(12)), b"x"),
        Archive::new().file(&format!("{path}/b"), b"x"),
        Archive::new().symlink("link", path).file("link/c", b"x"),
        Archive::new().symlink("link", &format!("{}{path}", "../".repeat(12))).file("link/d", b"x"),
        Archive::new().link("passwd", "/etc/passwd").file("passwd", b"x"),
        Archive::new().link("up", &format!("{}etc/passwd", "../".repeat(12))).file("up", b"x"),
    ];
    let before = fs::read("/etc/passwd").unwrap();
    for case in cases {
        // Taken apart inside its own root or refused: both are safe.
        let outcome = tare.tare_with_input(["import", "-", "hostile"], &case.finish());
        assert!(!outcome.stderr().contains("panicked"), "{outcome}");
    }
    assert!(e2e::names(&victim).is_empty());
    assert!(fs::read("/etc/passwd").unwrap() == before);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_engine_cannot_be_reached_through_proc() {
    let tare = Tare::new();
    // The program of pid 1 is the image's, and its links lead nowhere outside.
    tare.sh(&[], "readlink /proc/1/exe; readlink /proc/1/root; readlink /proc/1/cwd").prints("/bin/sh\n/\n/");
    let before = fs::metadata(e2e::binary()).unwrap().modified().unwrap();
    let interpreter = Archive::new().dir("bin/").symlink("bin/evil", "/proc/self/exe").finish();
    tare.tare_with_input(["import", "-", "evil"], &interpreter).ok();
    tare.run(["evil", "/bin/evil", "--version"]);
    assert_eq!(fs::metadata(e2e::binary()).unwrap().modified().unwrap(), before);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn names_are_escaped_on_the_terminal() {
    let tare = Tare::new();
    let outcome = tare.run(["busybox", "no-such\u{1b}[31mcommand"]);
    outcome.exits(127);
    assert!(!outcome.stderr().contains('\u{1b}'), "{outcome}");
}
