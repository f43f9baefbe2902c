//! A build that is killed at any moment leaves nothing that a later one minds.

use std::time::{Duration, Instant};

use e2e::{Outcome, Tare, until};

use super::Project;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_interrupted_build_leaves_nothing() {
    let tare = Tare::new();
    let project = Project::new(&tare, "FROM busybox\nRUN echo begun; sleep 1000\n");
    let mut command = tare.command(["build"]);
    let mut child = command.arg(project.path()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().ends_with(" begun")));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    until("no step runs", || tare.processes().is_empty());
    assert_eq!(e2e::unfinished(&tare.root()), [""; 0]);
    tare.tare(["system", "check"]).prints("everything is well");
}

/// Moments at which it is killed.
const KILLS: u32 = 30;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_build_killed_at_thirty_moments_goes_on_where_it_was() {
    let tare = Tare::new();
    let dockerfile = "FROM busybox AS a\nARG N\nCOPY files /files\nRUN --mount=type=cache,target=/c cp -r /files /more; echo $N > /c/n\n\
                      WORKDIR /w\nFROM busybox\nCOPY --from=a /more /more\nRUN --mount=target=/ctx cat /ctx/files/* | md5sum > /sum\n";
    let project = Project::new(&tare, dockerfile);
    for n in 0..50 {
        project.write(&format!("files/{n}"), vec![b'x'; 10_000]);
    }
    let build = |n: u32| {
        let mut command = tare.command(["build", "-q", "-t", &format!("k:{n}"), "--build-arg", &format!("N={n}")]);
        command.arg(project.path());
        command
    };
    let began = Instant::now();
    Outcome::of(&mut build(1000)).exits(0);
    let whole = began.elapsed();
    let expected = super::Image::new(&tare, "k:1000").text("/sum");
    for n in 0..KILLS {
        let mut child =
            build(n).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Spread over the whole of it, and a little beyond.
        std::thread::sleep(whole * n / (KILLS - 5) + Duration::from_millis(1));
        child.kill().unwrap();
        child.wait().unwrap();
        if n % 5 == 4 {
            Outcome::of(&mut build(n)).exits(0);
            assert_eq!(super::Image::new(&tare, &format!("k:{n}")).text("/sum"), expected);
        }
    }
    // Steps that ran when their build was killed have ended.
    until("no step runs", || tare.processes().is_empty());
    tare.tare(["system", "prune", "-f"]).ok();
    tare.tare(["system", "check"]).prints("everything is well");
    assert_eq!(e2e::unfinished(&tare.root()), [""; 0]);
    Outcome::of(&mut build(1000)).exits(0);
}
