//! When something dies, fills up or does not fit.

use std::fs;
use std::path::Path;
use std::process::Child;

use e2e::{Outcome, Tare, is_alive, process_field, until};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};

fn kill_now(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

fn monitor_of(tare: &Tare, container: &str) -> u32 {
    process_field(tare.pid(container), "PPid:").unwrap().parse().unwrap()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_front_is_killed() {
    let tare = Tare::new();
    let mut child = tare.spawn(["--name=orphan", "busybox", "sh", "-c", "sleep 2; exit 3"]);
    tare.wait_until_running("orphan", &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    // The container goes on, as with Docker, and when it ends `--rm` is kept.
    assert!(is_alive(tare.pid("orphan")));
    until("the container is removed", || tare.tare(["inspect", "orphan"]).code() == 1);
    tare.assert_nothing_runs();
    tare.tare(["ps", "-a", "-q"]).prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_front_is_killed_while_it_writes() {
    let tare = Tare::new();
    let mut child = tare.spawn(["--name=writer", "busybox", "sh", "-c", "seq 1 200000; exit 0"]);
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 10]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    until("the container is removed", || tare.tare(["inspect", "writer"]).code() == 1);
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_front_is_killed_at_any_moment() {
    let tare = Tare::new();
    for delay in 0..12 {
        let mut child = tare.spawn(["busybox", "true"]);
        std::thread::sleep(std::time::Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // What a half-made run left behind is garbage that the next commands see through.
    until("every container ended", || tare.tare(["ps", "-q"]).ok().trim().is_empty());
    tare.run(["busybox", "true"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_monitor_is_killed() {
    let tare = Tare::new();
    let id = tare.detached(&[], "for i in 1 2 3; do sleep 1000 & done; exec sleep 1000");
    let (pid, monitor) = (tare.pid(&id), monitor_of(&tare, &id));
    kill_now(monitor);
    until("the container dies with its monitor", || !is_alive(pid));
    let state = tare.inspect(&id)["State"].clone();
    assert_eq!(state["Running"], false, "{state}");
    assert_ne!(state["ExitCode"], 0, "{state}");
    tare.assert_nothing_runs();
    tare.tare(["start", &id]).ok();
    assert!(is_alive(tare.pid(&id)));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_monitor_of_an_attached_run_is_killed() {
    let tare = Tare::new();
    let mut child = tare.spawn(["--name=attached", "busybox", "sleep", "1000"]);
    tare.wait_until_running("attached", &mut child);
    kill_now(monitor_of(&tare, "attached"));
    // The front notices and says so; nothing waits for ever.
    assert_ne!(Outcome::of_child(child).code(), 0);
    tare.tare(["ps", "-a"]).ok();
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn init_is_killed_from_outside() {
    let tare = Tare::new();
    let id = tare.detached(&[], "exec sleep 1000");
    kill_now(tare.pid(&id));
    tare.tare(["wait", &id]).prints("137");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn twenty_four_at_once() {
    let tare = Tare::new();
    let children: Vec<Child> =
        (0..24).map(|number| tare.spawn(["busybox", "sh", "-c", &format!("echo {number}; exit {number}")])).collect();
    for (number, child) in children.into_iter().enumerate() {
        let outcome = Outcome::of_child(child);
        assert_eq!(outcome.exits(i32::try_from(number).unwrap()).stdout(), format!("{number}\n"), "{outcome}");
    }
    tare.tare(["ps", "-a", "-q"]).prints("");
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn twenty_four_detached_at_once() {
    let tare = Tare::new();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..24).map(|_| scope.spawn(|| tare.detached(&[], "exec sleep 1000"))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(tare.tare(["ps", "-q"]).ok().lines().count(), 24);
    tare.tare(["rm", "-f"].into_iter().chain(ids.iter().map(String::as_str))).ok();
    tare.assert_nothing_runs();
}

/// A tmpfs on a directory of the test, for as long as the value lives.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn new(dir: &'a Path, flags: MountFlags, size: &str) -> Self {
        let options = std::ffi::CString::new(size).unwrap();
        mount("tmpfs", dir, "tmpfs", flags, options.as_c_str()).unwrap();
        Self(dir)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_full_disk_is_said_and_leaves_nothing_half_made() {
    let tare = Tare::empty();
    let dir = tare.dir("small");
    let mounted = Tmpfs::new(&dir, MountFlags::empty(), "size=8m");
    let root = format!("--root={}", dir.display());
    let here = |arguments: &[&str]| tare.tare([&[root.as_str()], arguments].concat());
    here(&["import", &e2e::fixture("busybox.tar"), "busybox"]).ok();
    let before = fs::read_dir(dir.join("snapshots")).unwrap().count();
    here(&["import", &e2e::fixture("debian.tar"), "debian"]).fails(1, "no space left");
    assert_eq!(here(&["images", "-q"]).ok().lines().count(), 1);
    assert!(e2e::unfinished(&dir).is_empty());
    assert_eq!(fs::read_dir(dir.join("snapshots")).unwrap().count(), before);
    // To the last byte.
    fill(&dir.join("filler"));
    let outcome = here(&["run", "--rm", "--network=none", "busybox", "true"]);
    assert!(outcome.code() == 125 && outcome.stderr().contains("no space left"), "{outcome}");
    fs::remove_file(dir.join("filler")).unwrap();
    here(&["ps", "-a", "-q"]).prints("");
    here(&["run", "--rm", "--network=none", "busybox", "true"]).ok();
    drop(mounted);
    tare.assert_nothing_runs();
}

fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    let zeros = [0; 4096];
    while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    for number in 0..100_000 {
        // Small files take what is left of the inodes and pages.
        if fs::write(path.with_file_name(format!("filler-{number}")), "x").is_err() {
            break;
        }
    }
    for name in e2e::names(path.parent().unwrap()).iter().filter(|name| name.starts_with("filler-")) {
        fs::write(path.with_file_name(name), "").unwrap();
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_that_fills_the_disk_fails_itself() {
    let tare = Tare::empty();
    let dir = tare.dir("small");
    let _mounted = Tmpfs::new(&dir, MountFlags::empty(), "size=8m");
    let root = format!("--root={}", dir.display());
    tare.tare([&root, "import", &e2e::fixture("busybox.tar"), "busybox"]).ok();
    let script = "dd if=/dev/zero of=/big bs=1M count=100";
    let outcome = tare.tare([&root, "run", "--rm", "--network=none", "busybox", "sh", "-c", script]);
    assert!(outcome.code() == 1 && outcome.stderr().contains("No space left"), "{outcome}");
    tare.tare([&root, "run", "--rm", "--network=none", "busybox", "true"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_root_that_cannot_be_written_is_said() {
    let tare = Tare::empty();
    let dir = tare.dir("frozen");
    let _mounted = Tmpfs::new(&dir, MountFlags::RDONLY, "size=1m");
    let root = format!("--root={}", dir.display());
    tare.tare([&root, "import", &e2e::fixture("busybox.tar"), "busybox"]).fails(1, "read-only");
    tare.tare([&root, "run", "--rm", "--network=none", "busybox", "true"]).fails(125, "read-only");
    let file = tare.file("file", "");
    tare.tare([&format!("--root={file}"), "images"]).fails(1, "file");
    let run = format!("--run-root={file}");
    tare.tare([&run, "run", "--rm", "--network=none", "host", "true"]).fails(125, "file");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn another_layout_is_refused() {
    let tare = Tare::new();
    fs::write(tare.root().join("version"), "{\"layout\":999}\n").unwrap();
    tare.tare(["images"]).fails(1, "999");
    tare.run(["busybox", "true"]).fails(125, "999");
    fs::write(tare.root().join("version"), "nonsense").unwrap();
    tare.tare(["images"]).fails(1, "version");
    fs::write(tare.root().join("version"), "{\"layout\":2}\n").unwrap();
    tare.run(["busybox", "true"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_directory_of_somebody_else_is_no_data_root() {
    let tare = Tare::empty();
    let dir = tare.dir("precious");
    fs::write(dir.join("thesis.txt"), "x").unwrap();
    tare.tare([&format!("--root={}", dir.display()), "images"]).fails(1, "precious");
    assert_eq!(e2e::names(&dir), ["thesis.txt"]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_broken_record_does_not_break_the_others() {
    let tare = Tare::new();
    let (broken, well) = (tare.detached(&[], "exit 0"), tare.detached(&[], "exec sleep 1000"));
    tare.tare(["wait", &broken]).ok();
    fs::write(tare.container_dir(&broken).join("record.json"), "{\"half\":").unwrap();
    let outcome = tare.tare(["ps", "-a", "-q", "--no-trunc"]);
    assert!(outcome.stdout().contains(&well) && !outcome.stderr().contains("panicked"), "{outcome}");
    tare.tare(["rm", "-f", &broken]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn long_paths_to_the_run_directory_work() {
    let tare = Tare::new();
    let long = tare.dir(&"long/".repeat(20));
    let run = format!("--run-root={}", long.display());
    let arguments = [&run, "run", "--rm", "-i", "--network=none", "busybox", "cat"];
    tare.tare_with_input(arguments, b"through a long path").prints("through a long path");
    tare.assert_nothing_runs();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_machine_without_these_directories_gets_them() {
    let tare = Tare::empty();
    let (root, run) = (tare.dir("").join("a/b/root"), tare.dir("").join("c/d/run"));
    let options = [format!("--root={}", root.display()), format!("--run-root={}", run.display())];
    tare.tare(options.iter().map(String::as_str).chain(["import", &e2e::fixture("busybox.tar"), "busybox"])).ok();
    let arguments = options.iter().map(String::as_str).chain(["run", "--rm", "--network=none", "busybox", "true"]);
    tare.tare(arguments).ok();
    assert!(root.join("version").exists());
}
