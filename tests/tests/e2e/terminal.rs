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

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_full_screen_editor_is_at_home() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    for how in [
        &["exec", "-it", "box", "vi", "/by-exec"][..],
        &["run", "-it", "--name=edit", "--network=none", "busybox", "vi", "/by-run"],
    ] {
        let mut terminal = Terminal::start(&tare.command(how));
        // It draws its last line where the terminal ends.
        terminal.expect("\u{1b}[24;1H").send("iwritten in vi\u{1b}").expect("written in vi");
        terminal.resize(40, 100);
        until("it draws for the new size", || {
            terminal.send("\u{c}");
            std::thread::sleep(std::time::Duration::from_millis(100));
            terminal.screen().contains("\u{1b}[40;1H")
        });
        terminal.send(":wq\r");
        assert_eq!(terminal.exit_code(), 0);
        assert!(terminal.is_cooked());
    }
    tare.tare(["exec", "box", "cat", "/by-exec"]).prints("written in vi");
    let copy = tare.dir("copy");
    tare.tare(["cp", "edit:/by-run", copy.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(copy.join("by-run")).unwrap(), "written in vi\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn exec_has_a_terminal_of_its_own() {
    let tare = Tare::new();
    tare.tare(["run", "-dit", "--name=box", "--network=none", "busybox", "sh"]).ok();
    let mut terminal = Terminal::start(&tare.command(["exec", "-it", "box", "sh"]));
    terminal.send("stty size; echo re''ady\n").expect("24 80").expect("ready");
    terminal.resize(33, 99);
    until("the new size arrives", || {
        terminal.send("stty size\n");
        std::thread::sleep(std::time::Duration::from_millis(100));
        terminal.screen().contains("33 99")
    });
    // Ctrl-C is the command's.
    terminal.send("sh -c \"echo be''gun; exec sleep 1000\"\n").expect("begun").send("\u{3}");
    terminal.send("echo st''ill here\n").expect("still here");
    // The keys that leave it leave it running.
    terminal.send("trap '' HUP; echo $$ > /shell; echo wri''tten\n").expect("written").send("\u{10}\u{11}");
    assert_eq!(terminal.exit_code(), 0);
    assert!(terminal.is_cooked());
    tare.tare(["exec", "box", "sh", "-c", "kill -0 $(cat /shell)"]).ok();
    tare.tare(["kill", "box"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn two_terminals_see_the_same_container() {
    let tare = Tare::new();
    tare.tare(["run", "-dit", "--name=box", "--network=none", "busybox", "sh"]).ok();
    let mut one = Terminal::start(&tare.command(["attach", "box"]));
    let mut two = Terminal::start(&tare.command(["attach", "box"]));
    for (number, terminal) in [&mut one, &mut two].into_iter().enumerate() {
        terminal.send(&format!("echo from''-{number}\n"));
        terminal.expect(&format!("from-{number}"));
    }
    one.expect("from-1");
    two.send("\u{10}\u{11}");
    assert_eq!(two.exit_code(), 0);
    one.send("sh -c \"echo be''gun; exec sleep 1000\"\n").expect("begun").send("\u{3}");
    one.send("exit 4\n");
    assert_eq!(one.exit_code(), 4);
}
