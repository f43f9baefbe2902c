//! A person at a terminal.

use e2e::{Tare, Terminal, until};

fn shell(tare: &Tare, options: &[&str]) -> Terminal {
    let usual = ["run", "-it", "--rm", "--network=none"];
    Terminal::start(&tare.command(usual.iter().chain(options).chain(&["busybox", "sh"])))
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_shell_answers_and_its_exit_code_is_ours() {
    let tare = Tare::new();
    let mut terminal = shell(&tare, &[]);
    terminal.send("echo $((6*7)); tty; echo $TERM\n").expect("42").expect("/dev/pts/0").expect("xterm");
    terminal.send("exit 5\n");
    assert_eq!(terminal.exit_code(), 5);
    assert!(terminal.is_cooked(), "the terminal is as it was");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_size_follows_the_window() {
    let tare = Tare::new();
    let mut terminal = shell(&tare, &[]);
    terminal.send("stty size\n").expect("24 80");
    terminal.resize(50, 132);
    until("the new size arrives", || {
        terminal.send("stty size\n");
        std::thread::sleep(std::time::Duration::from_millis(100));
        terminal.screen().contains("50 132")
    });
    terminal.send("exit\n");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn control_c_belongs_to_the_container() {
    let tare = Tare::new();
    let mut terminal = shell(&tare, &[]);
    terminal.send("sh -c \"echo re''ady; exec sleep 1000\"\n").expect("ready").send("\u{3}");
    terminal.send("echo st''ill here\n").expect("still here").send("exit\n");
    // The shell's own code is that of the interrupted command or of the last one.
    terminal.exit_code();
    assert!(terminal.is_cooked());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn end_of_file_ends_the_shell() {
    let tare = Tare::new();
    let mut terminal = shell(&tare, &[]);
    terminal.send("echo re''ady\n").expect("ready").send("\u{4}");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn keys_detach_and_the_container_goes_on() {
    let tare = Tare::new();
    let mut terminal = shell(&tare, &["--name=left"]);
    terminal.send("echo re''ady\n").expect("ready").send("\u{10}\u{11}");
    assert_eq!(terminal.exit_code(), 0);
    assert!(terminal.is_cooked());
    assert_eq!(tare.inspect("left")["State"]["Running"], true);
    tare.tare(["kill", "left"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn other_keys_can_detach() {
    let tare = Tare::new();
    let mut terminal = shell(&tare, &["--name=left", "--detach-keys=ctrl-x,q"]);
    // The usual keys are input now; the first of the chosen ones alone is input too.
    terminal.send("echo re''ady\n").expect("ready").send("\u{18}a\u{7f}").send("\u{15}echo al''ive\n").expect("alive");
    terminal.send("\u{18}q");
    assert_eq!(terminal.exit_code(), 0);
    tare.tare(["kill", "left"]).ok();
    tare.run(["--detach-keys=nonsense", "busybox", "true"]).fails(125, "nonsense");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_terminal_has_one_stream() {
    let tare = Tare::new();
    let outcome = tare.sh(&["-t"], "echo out; echo err >&2");
    assert_eq!((outcome.ok().as_str(), outcome.stderr().as_str()), ("out\r\nerr\r\n", ""));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_detached_terminal_keeps_its_log() {
    let tare = Tare::new();
    let id = tare.detached(&["-t"], "tty; exec sleep 1000");
    tare.wait_for_log(&id, "/dev/pts/0");
}
