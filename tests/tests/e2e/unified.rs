//! cgroup version 2, where it differs from version 1 in more than names. `make vm` runs these.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{Tare, names, until};

const ROOT: &str = "/sys/fs/cgroup";

#[test]
#[ignore = "needs cgroup v2: run `make vm`"]
fn every_controller_is_handed_down() {
    let tare = Tare::new();
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words
    };
    // systemd hands down those it knows.
    let known = ["cpuset", "cpu", "io", "memory", "pids"];
    let mut expected = sorted(&fs::read_to_string(format!("{ROOT}/cgroup.controllers")).unwrap());
    expected.retain(|name| !e2e::systemd_makes_cgroups() || known.contains(&name.as_str()));
    let seen = tare.run(["busybox", "cat", "/sys/fs/cgroup/cgroup.controllers"]).ok();
    for controller in &expected {
        assert!(sorted(&seen).contains(controller), "{controller} is not in {seen}");
    }
}

#[test]
#[ignore = "needs cgroup v2: run `make vm`"]
fn a_parent_with_processes_is_fine_without_limits() {
    if e2e::systemd_makes_cgroups() {
        return;
    }
    let tare = Tare::new();
    let name = format!("tare-e2e-busy-{}", std::process::id());
    let parent = Path::new(ROOT).join(&name);
    fs::create_dir(&parent).unwrap();
    let mut inhabitant = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(parent.join("cgroup.procs"), inhabitant.id().to_string()).unwrap();
    let option = format!("--cgroup-parent=/{name}");
    tare.run([&option, "busybox", "true"]).ok();
    let outcome = tare.run([&option, "--memory=64m", "busybox", "true"]);
    outcome.fails(125, "memory.max");
    assert!(outcome.stderr().contains("has processes of its own"), "{outcome}");
    assert_eq!(directories(&parent), [""; 0], "nothing is left");
    inhabitant.kill().unwrap();
    inhabitant.wait().unwrap();
    until("the group is empty", || fs::remove_dir(&parent).is_ok());
}

#[test]
#[ignore = "needs cgroup v2: run `make vm`"]
fn a_privileged_container_divides_its_group() {
    let tare = Tare::new();
    let script = "cd /sys/fs/cgroup && mkdir -p a/b c && echo 1 >a/b/cgroup.procs && echo $$ >a/b/cgroup.procs && \
                  echo +pids >cgroup.subtree_control && echo 7 >a/pids.max && cat a/pids.max && cat /proc/self/cgroup";
    tare.sh(&["--privileged"], script).prints("7\n0::/a/b");
    tare.sh(&[], "echo 5 >/sys/fs/cgroup/pids.max").exits(1);
}

#[test]
#[ignore = "needs cgroup v2: run `make vm`"]
fn a_device_outside_the_list_is_refused_for_each_access() {
    let tare = Tare::new();
    // 1:2 is memory: reading it needs a capability besides, so the refusals are told apart by `mknod`.
    let script = "mknod /tmp/a c 1 3 && mknod /tmp/b c 1 2 && dd if=/tmp/a of=/dev/null count=1 && \
                  ! dd if=/tmp/b of=/dev/null count=1 && mknod /tmp/d b 253 77 && ! dd if=/tmp/d of=/dev/null count=1";
    let outcome = tare.sh(&["--cap-add=SYS_RAWIO"], script);
    outcome.ok();
    assert_eq!(outcome.stderr().matches("Operation not permitted").count(), 2, "{outcome}");
    // Two rules for one device add up; a later one takes back.
    let zero = "mknod /tmp/z c 10 229 && exec 3</tmp/z && exec 4>/tmp/z";
    tare.sh(&["--device-cgroup-rule=c 10:229 r", "--device-cgroup-rule=c 10:229 w"], zero).ok();
    let outcome = tare.sh(&["--device-cgroup-rule=c 10:229 r"], zero);
    assert!(outcome.code() != 0 && outcome.stderr().contains("Operation not permitted"), "{outcome}");
}

#[test]
#[ignore = "needs cgroup v2: run `make vm`"]
fn the_host_image_works_on_an_older_kernel() {
    let tare = Tare::empty();
    tare.run(["host", "sh", "-c", "echo mine >/etc/mine && cat /etc/mine"]).prints("mine");
    assert!(!Path::new("/etc/mine").exists());
}

fn directories(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| dir.join(name).is_dir()).collect()
}
