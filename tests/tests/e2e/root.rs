//! The root file system: layers below, what is written above, and the kernel's file systems inside.

use e2e::Tare;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_written_is_not_in_the_image() {
    let tare = Tare::new();
    tare.sh(&[], "echo new >/new; rm /etc/group; echo more >>/etc/passwd; cat /new").prints("new");
    tare.sh(&[], "test ! -e /new && grep -c . /etc/group && ! grep more /etc/passwd").ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_written_stays_with_the_container() {
    let tare = Tare::new();
    let id = tare.detached(&[], "test -e /mark && exit 7; touch /mark");
    tare.tare(["wait", &id]).prints("0");
    tare.tare(["start", &id]).ok();
    tare.tare(["wait", &id]).prints("7");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_read_only_root_refuses_writes() {
    let tare = Tare::new();
    let outcome = tare.sh(&["--read-only"], "touch /x");
    assert!(outcome.stderr().contains("Read-only file system"), "{outcome}");
    tare.sh(&["--read-only", "--tmpfs", "/tmp"], "touch /tmp/x /dev/shm/x").ok();
    tare.sh(&["--read-only"], "touch /etc/hosts").exits(1);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn devices_are_the_usual_ones() {
    let tare = Tare::new();
    let list = tare.run(["busybox", "ls", "/dev"]).ok();
    let mut names: Vec<&str> = list.split_whitespace().collect();
    names.sort_unstable();
    // "core" leads to a file that not every kernel has.
    names.retain(|name| *name != "core");
    let expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
    tare.sh(&[], "echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c").prints("3\n4");
    tare.sh(&[], "echo x >/dev/full").exits(1);
    tare.sh(&[], "echo out >/dev/stdout; echo err >/dev/stderr").prints("out");
    tare.sh(&[], "stat -c %a /dev/null /dev/shm /tmp").prints("666\n1777\n1777");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn file_systems_of_the_kernel_are_mounted_safely() {
    let tare = Tare::new();
    let mounts = tare.run(["busybox", "cat", "/proc/self/mounts"]).ok();
    let options = |point: &str| -> Vec<&str> {
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(point));
        line.unwrap_or_else(|| panic!("no {point} in {mounts}")).split(' ').nth(3).unwrap().split(',').collect()
    };
    for (point, wanted) in [
        ("/proc", "nosuid nodev noexec"),
        ("/sys", "ro nosuid nodev noexec"),
        ("/dev", "nosuid"),
        ("/dev/pts", "nosuid noexec"),
        ("/dev/shm", "nosuid nodev noexec"),
        ("/dev/mqueue", "nosuid nodev noexec"),
        ("/sys/fs/cgroup", "ro nosuid nodev noexec"),
        ("/proc/sys", "ro"),
    ] {
        let found = options(point);
        assert!(wanted.split(' ').all(|option| found.contains(&option)), "{point}: {found:?}");
    }
    assert!(mounts.lines().filter(|line| line.contains(" / ")).all(|line| line.contains("overlay")), "{mounts}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn nothing_of_the_host_is_mounted_besides() {
    let tare = Tare::new();
    let root = tare.root().display().to_string();
    let table = tare.run(["busybox", "cat", "/proc/self/mountinfo"]).ok();
    // The overlay names its layers; nothing else may come from the host's disks.
    let others = table.lines().filter(|line| !line.contains(" - overlay "));
    for line in others {
        assert!(!line.contains(&root) || line.contains(" /etc/"), "{line}");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn kernel_interfaces_are_masked_or_read_only() {
    let tare = Tare::new();
    tare.sh(&[], "cat /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug 2>/dev/null | wc -c").prints("0");
    tare.sh(&[], "ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w").prints("0");
    for file in ["/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness", "/proc/sysrq-trigger"] {
        let outcome = tare.sh(&[], &format!("test ! -e {file} || echo x >{file}"));
        assert!(outcome.code() == 1 || file.ends_with("trigger"), "{outcome}");
    }
    tare.sh(&[], "mkdir /sys/fs/cgroup/cpu/mine /sys/fs/cgroup/mine").exits(1);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn files_of_the_engine_are_there() {
    let tare = Tare::new();
    tare.sh(&[], "test -e /.dockerenv && test -s /etc/hosts && test -s /etc/hostname && test -e /etc/resolv.conf").ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_tmpfs_has_the_options_given() {
    let tare = Tare::new();
    let script = "touch /t/x; stat -c %a /t; grep ' /t ' /proc/self/mounts";
    let seen = tare.sh(&["--tmpfs", "/t:size=1m,mode=700,noexec"], script).ok();
    assert!(seen.starts_with("700\n"), "{seen}");
    for option in ["size=1024k", "noexec", "nosuid", "nodev"] {
        assert!(seen.contains(option), "{option} in {seen}");
    }
    let mount = "type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770";
    let seen = tare.sh(&["--mount", mount], script).ok();
    assert!(seen.starts_with("1770\n") && seen.contains("size=1024k"), "{seen}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn privileged_has_everything_the_machine_gives() {
    let tare = Tare::new();
    let bounding = e2e::process_field(std::process::id(), "CapBnd:").unwrap();
    let status = tare.sh(&["--privileged"], "grep -E 'CapEff|Seccomp:' /proc/self/status").ok();
    let words: Vec<&str> = status.split_whitespace().collect();
    assert_eq!(words, ["CapEff:", &bounding, "Seccomp:", "0"]);
    tare.sh(&["--privileged"], "mount -t tmpfs none /mnt && touch /mnt/x && test -w /proc/sys/vm/swappiness").ok();
    tare.sh(&["--privileged"], "test -c /dev/kmsg && test -w /sys/fs/cgroup").ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_device_is_passed_with_its_rights() {
    let tare = Tare::new();
    // 10:229 is FUSE: not among the devices that every container may use, and anybody may open it who is let.
    let node = "mknod /tmp/fuse c 10 229 && dd if=/tmp/fuse of=/dev/null bs=1 count=0";
    let outcome = tare.sh(&[], node);
    assert!(outcome.stderr().contains("Operation not permitted"), "{outcome}");
    tare.sh(&["--device-cgroup-rule=c 10:229 r"], node).ok();
    let device = "--device=/dev/fuse:/dev/renamed:r";
    tare.sh(&[device], "test -c /dev/renamed && dd if=/dev/renamed of=/dev/null bs=1 count=0").ok();
    let outcome = tare.sh(&[device], "dd if=/dev/null of=/dev/renamed");
    assert!(outcome.code() != 0 && outcome.stderr().contains("not permitted"), "{outcome}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn inspect_names_the_layers() {
    let tare = Tare::new();
    let id = tare.detached(&[], "exec sleep 1000");
    let driver = &tare.inspect(&id)["GraphDriver"];
    assert_eq!(driver["Name"], "overlay2", "{driver}");
    let upper = driver["Data"]["UpperDir"].as_str().unwrap();
    assert!(upper.contains(&id) && std::path::Path::new(upper).is_dir(), "{driver}");
    for lower in driver["Data"]["LowerDir"].as_str().unwrap().split(':') {
        assert!(std::path::Path::new(lower).is_dir(), "{lower}");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_root_with_many_layers_works() {
    // The image is exported and imported in one layer by other tests; here every layer adds a file.
    let tare = Tare::new();
    tare.tare_with_input(["load"], &crate::images::docker_archive(130)).ok();
    tare.run(["deep", "/bin/busybox", "ls", "/layers"]).says("129");
}
