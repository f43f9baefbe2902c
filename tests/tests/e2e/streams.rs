//! Standard input, output and error, without a terminal.

use std::io::{Read, Write};
use std::process::Stdio;

use e2e::{Outcome, PATIENCE, Tare, until, until_some};

/// Bytes that no pattern of a lost or doubled buffer can imitate.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn three_mebibytes_of_noise_come_back_equal() {
    let tare = Tare::new();
    let noise = noise(3 << 20);
    let outcome = tare.tare_with_input(["run", "--rm", "-i", "--network=none", "busybox", "cat"], &noise);
    outcome.ok();
    assert!(outcome.bytes() == noise, "{} bytes came back", outcome.bytes().len());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn input_is_empty_unless_asked_for() {
    let tare = Tare::new();
    tare.tare_with_input(["run", "--rm", "--network=none", "busybox", "cat"], b"not for you").prints("");
    tare.tare_with_input(["run", "--rm", "-i", "--network=none", "busybox", "cat"], b"").prints("");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn input_that_nobody_reads_does_not_hang() {
    let tare = Tare::new();
    tare.tare_with_input(["run", "--rm", "-i", "--network=none", "busybox", "true"], &noise(3 << 20)).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn both_streams_are_kept_apart() {
    let tare = Tare::new();
    let outcome = tare.sh(&[], "echo out; echo err >&2; echo out2; exit 3");
    assert_eq!((outcome.exits(3).stdout().as_str(), outcome.stderr().as_str()), ("out\nout2\n", "err\n"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn much_output_arrives_whole() {
    let tare = Tare::new();
    let outcome = tare.sh(&[], "seq 1 1000000");
    let expected: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    assert!(outcome.ok() == expected);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn output_comes_while_the_command_runs() {
    let tare = Tare::new();
    let mut child = tare.spawn(["-i", "busybox", "sh", "-c", "echo first; read word; echo $word"]);
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first\n");
    child.stdin.take().unwrap().write_all(b"second\n").unwrap();
    Outcome::of_child(child).prints("second");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_reader_that_goes_away_ends_the_command() {
    let tare = Tare::new();
    let mut child = tare.spawn(["busybox", "yes"]);
    let mut some = [0; 100];
    child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    drop(child.stdout.take());
    let status = until_some("the end of the front", || child.try_wait().unwrap());
    assert!(!status.success());
    // Like Docker's client: the front leaves; the container goes on until somebody ends it, so this does.
    let ids = tare.tare(["ps", "-q"]).ok();
    for id in ids.split_whitespace() {
        tare.tare(["rm", "-f", id]).ok();
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn only_the_attached_streams_are_shown() {
    let tare = Tare::new();
    let script = "echo out; echo err >&2";
    let outcome = tare.sh(&["-a", "stdout"], script);
    assert_eq!((outcome.ok().as_str(), outcome.stderr().as_str()), ("out\n", ""));
    let outcome = tare.sh(&["--attach=stderr"], script);
    assert_eq!((outcome.ok().as_str(), outcome.stderr().as_str()), ("", "err\n"));
    tare.run(["-a", "nonsense", "busybox", "true"]).fails(125, "nonsense");
    tare.run(["-d", "-a", "stdout", "busybox", "true"]).exits(125);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_detached_run_prints_the_id_and_goes_on() {
    let tare = Tare::new();
    let id = tare.detached(&[], "echo hello; exec sleep 1000");
    assert!(id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    tare.wait_for_log(&id, "hello");
    assert_eq!(tare.inspect(&id)["State"]["Running"], true);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_detached_run_lets_go_of_its_callers_streams() {
    let tare = Tare::new();
    let mut command = tare.command(["run", "-d", "--rm", "--network=none", "busybox", "sleep", "5"]);
    let started = std::time::Instant::now();
    // Reads both pipes to their ends: a monitor that kept one open would make this wait.
    Outcome::of(command.stdin(Stdio::null())).ok();
    assert!(started.elapsed().as_secs() < 4);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_detached_run_with_rm_leaves_nothing() {
    let tare = Tare::new();
    let id = tare.detached(&["--rm"], "exit 5");
    until("the container is gone", || tare.tare(["inspect", &id]).code() == 1);
    tare.assert_nothing_runs();
    assert!(!tare.container_dir(&id).exists());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn signals_reach_the_command() {
    let tare = Tare::new();
    let script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut child = tare.spawn(["busybox", "sh", "-c", script]);
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let front = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(front, rustix::process::Signal::TERM).unwrap();
    let outcome = Outcome::of_child(child);
    assert_eq!(outcome.exits(9).stdout(), "told\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn signals_do_not_reach_the_command_unless_wanted() {
    let tare = Tare::new();
    let script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut child = tare.spawn(["--sig-proxy=false", "--name=deaf", "busybox", "sh", "-c", script]);
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let front = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(front, rustix::process::Signal::TERM).unwrap();
    assert_eq!(Outcome::of_child(child).code(), 143);
    assert_eq!(tare.inspect("deaf")["State"]["Running"], true);
    tare.tare(["rm", "-f", "deaf"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_terminal_needs_one() {
    let tare = Tare::new();
    tare.run(["-i", "-t", "busybox", "true"]).fails(1, "input device is not a t");
    // Without -i nothing is read: a terminal inside is fine.
    tare.sh(&["-t"], "test -t 1 && tty").says("/dev/pts/0");
    assert!(PATIENCE.as_secs() > 0);
}
