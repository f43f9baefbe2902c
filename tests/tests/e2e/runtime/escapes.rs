//! Known ways out of containers, tried. Each test says which defence it needs: without that it fails.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::Tare;
use serde_json::json;

use super::Bundle;

/// A copy of the runtime that a test may lose.
fn own_copy(tare: &Tare) -> PathBuf {
    let copy = tare.dir("binary").join("tare");
    fs::copy(e2e::binary(), &copy).unwrap();
    copy
}

/// Waits inside for a process of `/bin/evil`, keeps its program's file open until it ends, and writes to it.
const OVERWRITE: &str = r#"
while :; do
    for p in /proc/[0-9]*; do
        if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^/bin/evil'; then exec 3<$p/exe && break 2; fi
    done
    sleep 0.02
done
pid=${p#/proc/}
[ $pid = 1 ] || while kill -0 $pid 2>/dev/null; do sleep 0.02; done
exec 2>&1; echo overwritten >/proc/self/fd/3
"#;

/// The runtime's file is executed from a read-only mount (`sys::binary`), so neither it nor what is kept open of it can be
/// written. The shape of CVE-2019-5736.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_runtimes_file_cannot_be_overwritten_through_exec() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    symlink("/proc/self/exe", bundle.dir.join("rootfs/bin/evil")).unwrap();
    let binary = own_copy(&tare);
    bundle.start();
    let exec = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.arg("runtime").arg("--root").arg(tare.run_dir().join("runtime")).arg("exec").arg(&bundle.id);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let attacker = exec(&e2e::binary(), &["sh", "-c", OVERWRITE]);
    let victim = exec(&binary, &["/bin/evil", "__init", "sleep", "0.5"]).wait_with_output().unwrap();
    assert!(victim.status.success(), "{victim:?}");
    let said = attacker.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("Read-only file system"), "{said:?}");
    assert!(fs::read(&binary).unwrap() == fs::read(e2e::binary()).unwrap(), "the runtime's file has changed");
}

/// The same through the container's own program.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_runtimes_file_cannot_be_overwritten_by_an_image() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "");
    symlink("/proc/self/exe", bundle.dir.join("rootfs/bin/evil")).unwrap();
    bundle.change(|config| {
        config["process"]["args"] = json!(["/bin/evil", "__init", "sh", "-c", OVERWRITE]);
    });
    let binary = own_copy(&tare);
    let mut command = Command::new(&binary);
    command.arg("runtime").arg("--root").arg(tare.run_dir().join("runtime")).args(["run", "--bundle"]);
    let output = command.arg(&bundle.dir).arg(&bundle.id).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("Read-only file system"), "{output:?}");
    assert!(fs::read(&binary).unwrap() == fs::read(e2e::binary()).unwrap(), "the runtime's file has changed");
}

/// Calls the runtime with descriptor 7 left open on the host's root.
fn with_a_leak(bundle: &Bundle<'_>, arguments: &str) -> Output {
    let runtime =
        format!("{} runtime --root {}", e2e::binary().display(), bundle.tare.run_dir().join("runtime").display());
    Command::new("sh").args(["-c", &format!("exec 7</; exec {runtime} {arguments}")]).output().unwrap()
}

/// What a caller has left open is closed before anything of the container is looked at. CVE-2024-21626.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_directory_that_was_left_open_is_no_way_out() {
    let tare = Tare::empty();
    let marker = tare.dir("marker");
    let bundle = Bundle::new(&tare, &format!("ls -d .{}", marker.display()));
    symlink("/proc/self/fd/7", bundle.dir.join("rootfs/leak")).unwrap();
    let try_it = |arguments: &str| {
        let output = with_a_leak(&bundle, arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments}: {output:?}");
    };
    // Number 7 may be one of the runtime's own by now, of the container's root: then it is a place like any other.
    for cwd in ["/proc/self/fd/7", "/leak", "/proc/self/fd/7/../../../../../.."] {
        bundle.change(|config| config["process"]["cwd"] = cwd.into());
        try_it(&format!("run --bundle {} {}", bundle.dir.display(), bundle.id));
    }
    bundle.change(|config| {
        config["process"]["cwd"] = "/".into();
        config["process"]["args"] = json!(["sleep", "1000"]);
    });
    bundle.start();
    try_it(&format!("exec --cwd /proc/self/fd/7 {} ls -d .{}", bundle.id, marker.display()));
    try_it(&format!("exec --cwd /leak {} ls -d .{}", bundle.id, marker.display()));
    try_it(&format!("exec {} ls -d /proc/self/fd/7{}", bundle.id, marker.display()));
    // Executed from the host, a program could be overwritten as the runtime itself.
    try_it(&format!("exec {} /proc/self/fd/7{} --version", bundle.id, e2e::binary().display()));
}

/// Where a directory is passed on by request, the working directory is asked for its path: none leads to it from the root.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_directory_that_was_passed_on_cannot_be_worked_in() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    bundle.start();
    let output = with_a_leak(&bundle, &format!("exec --preserve-fds 5 --cwd /proc/self/fd/7 {} pwd", bundle.id));
    assert!(String::from_utf8_lossy(&output.stderr).contains("outside the container"), "{output:?}");
}

fn exchange(dir: &Path) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, dir.join("target"), CWD, dir.join("link"), RenameFlags::EXCHANGE).unwrap();
}

/// A mount's target is resolved inside the root by the kernel and mounted on by descriptor: whoever exchanges it for a link
/// meanwhile moves it within the container at most. CVE-2021-30465.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_target_exchanged_for_a_link_leads_nowhere_outside() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "grep -c ' - tmpfs mine ' /proc/self/mountinfo");
    let (volume, victim) = (tare.dir("volume"), tare.dir("victim"));
    fs::create_dir(volume.join("target")).unwrap();
    symlink(&victim, volume.join("link")).unwrap();
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "destination": "/volume", "source": volume, "options": ["rbind", "rw"] }));
        for below in ["target", "target/sub", "target/sub/sub"] {
            let destination = format!("/volume/{below}");
            mounts.push(json!({ "destination": destination, "type": "tmpfs", "source": "mine" }));
        }
    });
    // Once without a race: exchanged before, and back.
    for _ in 0..2 {
        exchange(&volume);
        assert_eq!(bundle.says(), "3\n");
    }
    let stop = AtomicBool::new(false);
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                exchange(&volume);
            }
        });
        let outputs = (0..40).map(|_| bundle.run_here()).collect();
        stop.store(true, Ordering::Relaxed);
        outputs
    });
    assert!(e2e::names(&victim).is_empty(), "something was made outside");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(victim.to_str().unwrap()), "{table}");
    let mut succeeded = outputs.iter().filter(|output| output.status.success()).peekable();
    assert!(succeeded.peek().is_some(), "{outputs:?}");
    // A mount that went outside would be missing inside.
    succeeded.for_each(|output| assert_eq!(output.stdout, b"3\n", "{output:?}"));
}

/// What covers a masked file is looked at by descriptor and mounted from that: it is the null device or there is no
/// container. CVE-2025-31133.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_masked_file_is_covered_by_the_null_device_only() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /proc/kcore 2>&1; cat /masked");
    let root = bundle.dir.join("rootfs");
    fs::write(root.join("masked"), "secret").unwrap();
    bundle.change(|config| {
        config["root"]["readonly"] = false.into();
        config["mounts"] = json!([{ "destination": "/proc", "type": "proc", "source": "proc" }]);
        config["linux"]["maskedPaths"] = json!(["/masked"]);
    });
    let null = root.join("dev/null");
    let _ = fs::remove_file(&null);
    for link in ["/proc/sys/kernel/core_pattern", "../masked", "zero"] {
        symlink(link, &null).unwrap();
        bundle.is_refused("not the null device");
        fs::remove_file(&null).unwrap();
    }
    fs::write(&null, "mine").unwrap();
    bundle.is_refused("not the null device");
}

/// A terminal is made by the devpts that the configuration mounts, opened through its other side, and its place in `/dev` is
/// never a link. CVE-2025-52565.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_console_is_no_way_to_another_file() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /victim");
    let root = bundle.dir.join("rootfs");
    fs::write(root.join("victim"), "mine").unwrap();
    let devpts = json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] });
    let proc = json!({ "destination": "/proc", "type": "proc", "source": "proc" });
    bundle.change(|config| {
        config["process"]["terminal"] = true.into();
        config["root"]["readonly"] = false.into();
        config["mounts"] = json!([proc, devpts]);
        config["linux"]["maskedPaths"] = json!([]);
    });
    let console = root.join("dev/console");
    let _ = fs::remove_file(&console);
    for link in ["/victim", "/proc/sysrq-trigger", "/new"] {
        symlink(link, &console).unwrap();
        bundle.is_refused("/dev/console");
        fs::remove_file(&console).unwrap();
        assert!(!root.join("new").exists());
    }
    // Without a devpts the image's own files have to be refused too.
    bundle.change(|config| config["mounts"] = json!([proc]));
    fs::create_dir_all(root.join("dev/pts")).unwrap();
    let _ = fs::remove_file(root.join("dev/pts/ptmx"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("dev/pts/ptmx"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        rustix::fs::makedev(5, 2),
    )
    .unwrap();
    bundle.is_refused("cannot make a terminal");
}

/// Kernel parameters are written through a procfs that nobody else has, whatever is mounted on the container's.
/// CVE-2025-52881.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn kernel_parameters_are_written_to_the_kernel_only() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "umount /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward");
    let victim = PathBuf::from(tare.file("victim", "untouched"));
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        let target = "/proc/sys/net/ipv4/ip_forward";
        mounts.push(json!({ "destination": target, "source": victim, "options": ["bind", "rw"] }));
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        config["linux"]["readonlyPaths"] = json!([]);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
        }
    });
    assert_eq!(bundle.says(), "1\n");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
}

/// No image says where `/proc` and `/sys` are. CVE-2019-16884.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn procfs_is_not_mounted_on_a_link() {
    for name in ["proc", "sys"] {
        let tare = Tare::empty();
        let bundle = Bundle::new(&tare, "true");
        let root = bundle.dir.join("rootfs");
        let _ = fs::remove_dir(root.join(name));
        fs::create_dir(root.join("elsewhere")).unwrap();
        symlink("/elsewhere", root.join(name)).unwrap();
        bundle.is_refused("symbolic link");
    }
}
