//! What can befall an engine, and what is so afterwards: `ps -a` tells the truth, `start` works, nothing is left behind.
//!
//! `cargo xtask test accidents:: --no-capture` prints the table.

use std::fs;
use std::path::Path;

use e2e::{Tare, is_alive, process_field, until};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};

/// The data root's own file system.
struct Room<'a>(&'a Path);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

fn kill_now(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

fn monitor_of(pid: u32) -> u32 {
    process_field(pid, "PPid:").unwrap().parse().unwrap()
}

fn status(tare: &Tare) -> String {
    tare.tare(["ps", "-a", "--no-trunc", "--format", "{{.Status}}", "--filter", "name=^box$"]).ok().trim().to_owned()
}

fn box_running(tare: &Tare, script: &str) -> u32 {
    tare.detached(&["--name=box"], script);
    tare.pid("box")
}

fn monitor_killed(tare: &Tare) {
    let pid = box_running(tare, "for i in 1 2 3; do sleep 1000 & done; exec sleep 1000");
    kill_now(monitor_of(pid));
    until("the container dies with its monitor", || !is_alive(pid));
}

fn front_killed(tare: &Tare) {
    let mut front = tare.command(["run", "--name=box", "--network=none", "busybox", "sleep", "1000"]);
    let mut front = front.stdout(std::process::Stdio::null()).spawn().unwrap();
    tare.wait_until_running("box", &mut front);
    front.kill().unwrap();
    front.wait().unwrap();
}

fn container_killed(tare: &Tare) {
    kill_now(box_running(tare, "exec sleep 1000"));
    until("it has ended", || status(tare).starts_with("Exited"));
}

fn rebooted(tare: &Tare) {
    let pid = box_running(tare, "exec sleep 1000");
    let monitor = monitor_of(pid);
    kill_now(monitor);
    until("it went down", || !is_alive(pid) && !is_alive(monitor));
    fs::remove_dir_all(tare.run_dir()).unwrap();
}

/// It fills the disk itself, and ends while there is no room for a word more.
fn disk_full(tare: &Tare) {
    let pid = box_running(tare, "cat /dev/zero > /fill; exec sleep 1000");
    let room = || rustix::fs::statvfs(tare.root()).unwrap().f_bavail;
    until("the disk is full", || room() == 0);
    until("it has given up", || process_field(pid, "Name:").as_deref() == Some("sleep"));
    kill_now(pid);
    until("it has ended", || status(tare).starts_with("Exited"));
}

/// What was written down is in another time: decades from now, or past.
fn clock_moved(tare: &Tare, year: &str) {
    let pid = box_running(tare, "exec sleep 1000");
    let id = tare.inspect("box")["Id"].as_str().unwrap().to_owned();
    let now = tare.inspect("box")["Created"].as_str().unwrap()[..4].to_owned();
    for name in ["record.json", "state.json"] {
        let path = tare.container_dir(&id).join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("\"{now}-")), "{text}");
        fs::write(&path, text.replace(&format!("\"{now}-"), &format!("\"{year}-"))).unwrap();
    }
    assert!(is_alive(pid));
}

fn clock_moved_forward(tare: &Tare) {
    clock_moved(tare, "1996");
}

fn clock_moved_back(tare: &Tare) {
    clock_moved(tare, "2096");
}

/// What happens, and how the container is afterwards.
type Accident = (&'static str, fn(&Tare), &'static str);

const ACCIDENTS: [Accident; 7] = [
    ("monitor killed", monitor_killed, "Exited (137) "),
    ("front killed", front_killed, "Up "),
    ("container killed", container_killed, "Exited (137) "),
    ("host rebooted", rebooted, "Exited (137) "),
    ("data root full", disk_full, "Exited (137) "),
    ("clock moved forward", clock_moved_forward, "Up 3"),
    ("clock moved back", clock_moved_back, "Up Less than a second"),
];

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
#[expect(clippy::print_stdout, reason = "the table is what people read")]
fn after_each_the_truth_is_told_start_works_and_nothing_is_left() {
    println!("{:20} {:32} {:8} left", "accident", "ps -a", "start");
    for (name, happen, expected) in ACCIDENTS {
        let tare = Tare::empty();
        fs::create_dir_all(tare.root()).unwrap();
        mount("accident", tare.root(), "tmpfs", MountFlags::empty(), c"size=32m").unwrap();
        let root = tare.root();
        let room = Room(&root);
        tare.tare(["import", &e2e::fixture("busybox.tar"), "busybox"]).ok();
        happen(&tare);
        let told = status(&tare);
        assert!(told.starts_with(expected), "{name}: {told}");
        if told.starts_with("Up") {
            tare.tare(["stop", "-t0", "box"]).ok();
            assert!(status(&tare).starts_with("Exited (137)"), "{name}: {}", status(&tare));
        }
        tare.tare(["start", "box"]).ok();
        assert!(status(&tare).starts_with("Up ") && is_alive(tare.pid("box")), "{name}");
        tare.tare(["rm", "-f", "box"]).ok();
        assert_eq!(e2e::names(&root.join("containers")), [""; 0], "{name}");
        drop(room);
        tare.assert_nothing_runs();
        println!("{name:20} {told:32} {:8} nothing", "works");
    }
}
