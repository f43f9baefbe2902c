//! Files of the host inside a container.

use std::fs;

use e2e::{Archive, Tare};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_bind_goes_both_ways() {
    let tare = Tare::new();
    let dir = tare.dir("shared");
    fs::write(dir.join("from-host"), "hello").unwrap();
    let bind = format!("{}:/deep/inside", dir.display());
    tare.sh(&["-v", &bind], "cat /deep/inside/from-host; echo back >/deep/inside/from-container").prints("hello");
    assert_eq!(fs::read_to_string(dir.join("from-container")).unwrap(), "back\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_read_only_bind_refuses_writes() {
    let tare = Tare::new();
    let dir = tare.dir("shared");
    let volume = format!("{}:/data:ro", dir.display());
    let mount = format!("type=bind,source={},target=/data,readonly", dir.display());
    for options in [["-v", &volume], ["--mount", &mount]] {
        let outcome = tare.sh(&options, "touch /data/x");
        assert!(outcome.stderr().contains("Read-only"), "{outcome}");
    }
    assert!(e2e::names(&dir).is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_bind_hides_what_the_image_has() {
    let tare = Tare::new();
    let dir = tare.dir("empty");
    let bind = format!("{}:/etc/hidden", dir.display());
    tare.sh(&["-v", &bind], "ls -A /etc/hidden | wc -l").prints("0");
    let over = format!("{}:/usr/bin", dir.display());
    tare.sh(&["-v", &over], "/bin/busybox ls /usr/bin | /bin/busybox wc -l").prints("0");
    tare.sh(&[], "test -e /usr/bin/awk").ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_single_file_can_be_bound() {
    let tare = Tare::new();
    let file = tare.file("config", "answer=42\n");
    tare.run(["-v", &format!("{file}:/etc/app.conf:ro"), "busybox", "cat", "/etc/app.conf"]).prints("answer=42");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_missing_source_is_made_by_volume_and_refused_by_mount() {
    let tare = Tare::new();
    let missing = tare.dir("").join("made");
    tare.sh(&["-v", &format!("{}:/data", missing.display())], "test -d /data").ok();
    assert!(missing.is_dir());
    let other = tare.dir("").join("refused");
    let mount = format!("type=bind,source={},target=/data", other.display());
    tare.run(["--mount", &mount, "busybox", "true"]).fails(125, "refused");
    assert!(!other.exists());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn nested_targets_are_mounted_in_order() {
    let tare = Tare::new();
    let (outer, inner) = (tare.dir("outer"), tare.dir("inner"));
    fs::write(inner.join("deep"), "x").unwrap();
    let (outer, inner) = (format!("{}:/a", outer.display()), format!("{}:/a/b/c", inner.display()));
    tare.sh(&["-v", &inner, "-v", &outer], "ls /a/b/c").prints("deep");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_target_that_is_a_link_stays_inside_the_container() {
    let tare = Tare::new();
    let outside = tare.dir("outside");
    let evil = Archive::new().dir("bin/").symlink("escape", &outside.display().to_string());
    let evil = evil.symlink("up", "../../../../../../../../../..").finish();
    let dir = tare.dir("shared");
    fs::write(dir.join("busybox"), fs::read("/bin/busybox").unwrap()).unwrap();
    fs::set_permissions(dir.join("busybox"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    tare.tare_with_input(["import", "-", "evil"], &evil).ok();
    let (bin, escape) = (format!("{}:/bin", dir.display()), format!("{}:/escape/target", dir.display()));
    let up = format!("{}:/up/target", dir.display());
    let listed = tare.run(["-v", &bin, "-v", &escape, "-v", &up, "evil", "/bin/busybox", "ls", "/target"]);
    listed.prints("busybox");
    assert!(e2e::names(&outside).is_empty(), "nothing was made outside");
    assert!(!std::path::Path::new("/target").exists());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn mounts_made_later_on_the_host_follow_only_when_asked() {
    use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
    let tare = Tare::new();
    let dir = tare.dir("shared");
    mount("tmpfs", &dir, "tmpfs", MountFlags::empty(), None).unwrap();
    mount_change(&dir, MountPropagationFlags::SHARED).unwrap();
    fs::create_dir(dir.join("later")).unwrap();
    let (private, slave) = (format!("{}:/data", dir.display()), format!("{}:/data:rslave", dir.display()));
    let script = "while test ! -e /data/go; do sleep 0.1; done; ls /data/later";
    let containers = [tare.detached(&["-v", &private], script), tare.detached(&["-v", &slave], script)];
    mount("tmpfs", dir.join("later"), "tmpfs", MountFlags::empty(), None).unwrap();
    fs::write(dir.join("later/seen"), "").unwrap();
    fs::write(dir.join("go"), "").unwrap();
    let logs = containers.map(|id| {
        tare.tare(["wait", &id]).ok();
        tare.tare(["logs", &id]).ok()
    });
    unmount(dir.join("later"), UnmountFlags::DETACH).unwrap();
    unmount(&dir, UnmountFlags::DETACH).unwrap();
    assert_eq!(logs, ["", "seen\n"]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_hosts_mount_table_stays_as_it_is() {
    let tare = Tare::new();
    let table = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mine = |table: String| table.lines().filter(|line| line.contains("tare")).count();
    let before = mine(table());
    let id = tare.detached(&["--tmpfs=/t", "-v", "/usr:/u:ro"], "exec sleep 1000");
    assert!(tare.pid(&id) > 1);
    let base = tare.root().display().to_string();
    assert!(!table().contains(&base), "{}", table());
    assert!(mine(table()) <= before + 1);
}
