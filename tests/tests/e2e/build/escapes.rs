//! Hostile stages, contexts, archives: nothing leads out of the image that is built.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use e2e::{Archive, Tare};

use super::Project;
use super::errors::FailsWith;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn links_of_a_stage_lead_around_in_the_stage() {
    let tare = Tare::new();
    let outside = tare.file("outside", "host secret");
    let dockerfile = format!(
        "FROM busybox AS evil\nRUN mkdir -p /etc && echo inside > /etc/inside; ln -s {outside} /file; ln -s / /slash; \
         ln -s ../../../../../.. /up; ln -s /proc/1/root /magic; ln -s loop /loop; ln -s /slash/up/etc /deep\n\
         FROM busybox\nCOPY --from=evil /slash/up/etc/inside /a\nCOPY --from=evil /deep/inside /b\nCOPY --from=evil /up/etc/ /c/\n"
    );
    let image = Project::new(&tare, &dockerfile).image(&[]);
    assert_eq!(
        (image.text("/a"), image.text("/b"), image.text("/c/inside")),
        ("inside\n".into(), "inside\n".into(), "inside\n".into())
    );
    for source in [outside.as_str(), "/file", "/loop", "/magic/etc/passwd", "/up/up/proc/self/environ"] {
        let stage = dockerfile.split("FROM busybox\nCOPY").next().unwrap();
        let outcome = Project::new(&tare, &format!("{stage}FROM busybox\nCOPY --from=evil {source} /x\n")).build(&[]);
        outcome.exits(1);
        assert!(!outcome.stderr().contains("host secret"));
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn links_in_the_image_keep_what_is_copied_inside() {
    let tare = Tare::new();
    let outside = tare.dir("outside");
    let dockerfile = format!(
        "FROM busybox\nRUN mkdir -p {0} && ln -s {0} /out && ln -s ../../../../.. /up && ln -s {0}/new /file\n\
         COPY f /out/f\nCOPY f /up/{0}/g\nCOPY f /file\nADD t.tar /out/\nWORKDIR /out/work\nRUN echo x > y\n",
        outside.display()
    );
    let tar = Archive::new().symlink("l", "/").file("l/etc/evil", b"e").file("../../up", b"u").finish();
    let project =
        Project::new(&tare, &dockerfile).with("f", "f").with("t.tar", Archive::new().file("t", b"t").finish());
    let image = project.image(&[]);
    let inside = |name: &str| image.text(&format!("{}/{name}", outside.display()));
    assert_eq!(
        (inside("f"), inside("g"), inside("new"), inside("t")),
        ("f".into(), "f".into(), "f".into(), "t".into())
    );
    assert_eq!(inside("work/y"), "x\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing of the host was touched");
    // An archive that wants out is refused or stays where it is unpacked.
    project.write("t.tar", tar);
    project.write("Dockerfile", "FROM busybox\nADD t.tar /place/\n");
    project.build(&[]).exits(1);
    project.write("t.tar", Archive::new().symlink("l", "/").file("l/etc/evil", b"e").finish());
    let image = project.image(&[]);
    assert!(!image.has("/etc/evil"), "it is below the place");
    project.write("t.tar", Archive::new().file(".wh.bin", b"").finish());
    project.build(&[]).fails_with("it would be a whiteout");
    project.write("t.tar", Archive::new().link("h", "/etc/passwd").finish());
    project.build(&[]).fails_with("hard link");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_context_with_devices_sockets_and_fifos_is_copied_without_opening_any() {
    let tare = Tare::new();
    let project = Project::new(&tare, "FROM busybox\nCOPY . /c/\n").with("f", "f");
    let _socket = UnixListener::bind(project.path().join("socket")).unwrap();
    let make = |args: &[&str]| {
        let made = std::process::Command::new("mknod").current_dir(project.path()).args(args).status().unwrap();
        assert!(made.success());
    };
    make(&["fifo", "p"]);
    make(&["zero", "c", "1", "5"]);
    symlink("/etc/passwd", project.path().join("out")).unwrap();
    symlink("/", project.path().join("root")).unwrap();
    let image = project.image(&[]);
    assert!(image.has("/c/fifo") && image.has("/c/zero") && !image.has("/c/socket"));
    assert_eq!(image.link("/c/out"), "/etc/passwd");
    project.write("Dockerfile", "FROM busybox\nCOPY out /x\n");
    project.build(&[]).fails_with("not found");
    project.write("Dockerfile", "FROM busybox\nCOPY root/etc/passwd /x\n");
    project.build(&[]).fails_with("not found");
    project.write("Dockerfile", "FROM busybox\nADD fifo /x\n");
    assert!(project.image(&[]).has("/x"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn sources_of_mounts_are_looked_for_inside() {
    let tare = Tare::new();
    let secret = tare.file("outside", "host secret");
    let project = Project::new(&tare, &format!("FROM busybox\nRUN --mount=source=link,target=/m cat /m\n# {secret}\n"))
        .with("in/f", "f");
    symlink(&secret, project.path().join("link")).unwrap();
    symlink("/", project.path().join("slash")).unwrap();
    let outcome = project.build(&[]);
    outcome.fails_with("cannot mount");
    assert!(!outcome.stderr().contains("host secret"));
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN --mount=source=slash/in,target=/m cat /m/f > /seen; readlink /m/../link || true\n",
    );
    assert_eq!(project.image(&[]).text("/seen"), "f");
    // What the program leaves in a cache is data for the next one, links and all.
    let evil = "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c rm -rf /c/* && ln -s / /c/root && ln -s /etc /c/data && mkfifo /c/fifo\n";
    Project::new(&tare, evil).build(&[]).exits(0);
    let next = "FROM busybox\nRUN --mount=type=cache,target=/c ls /c | sort > /seen; ls /c/root/ > /listed; true\n";
    let image = Project::new(&tare, next).image(&[]);
    assert_eq!(image.text("/seen"), "data\nfifo\nroot\n");
    assert!(image.text("/listed").contains("bin") && !image.text("/listed").contains("lost+found"));
    // The target of a mount follows the image's links inside the image.
    let target = "FROM busybox\nRUN mkdir /real && ln -s /real /ln\nRUN --mount=type=tmpfs,target=/ln/x touch /real/x/y && ls /real/x > /seen\n";
    assert_eq!(Project::new(&tare, target).image(&[]).text("/seen"), "y\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_cache_that_is_changed_while_it_is_mounted_leads_nowhere() {
    let tare = Tare::new();
    let race = "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c/deep for n in $(seq 200); do \
                mkdir -p /c/deep/d 2>/dev/null; rm -rf /c/deep/d; ln -s / /c/deep/d 2>/dev/null; rm -f /c/deep/d; done 2>/dev/null; true\n";
    let project = Project::new(&tare, race);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let project = &project;
            scope.spawn(move || {
                project.build(&["--build-arg", &format!("N={n}")]).exits(0);
            });
        }
    });
    tare.tare(["builder", "prune", "-af"]).ok();
    assert!(fs::metadata("/etc/passwd").is_ok());
    tare.tare(["system", "check"]).prints("everything is well");
}
