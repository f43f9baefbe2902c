//! What makes the command line pleasant: help, suggestions, completions, tables that fit.

use std::process::Command;

use e2e::{Outcome, Tare, Terminal};

#[test]
fn help_is_everywhere() {
    let tare = Tare::empty();
    let help = tare.tare(["rm", "--help"]).ok();
    for words in [
        &["help", "rm"][..],
        &["help", "container", "rm"],
        &["container", "rm", "--help"],
        &["container", "remove", "--help"],
    ] {
        assert_eq!(tare.tare(words).ok(), help, "{words:?}");
    }
    for group in ["container", "image", "system", "volume", "network"] {
        let text = tare.tare([group]).ok();
        assert!(text.starts_with(&format!("Usage:  tare {group} COMMAND")), "{text}");
        for words in [[group, "--help"], [group, "help"], ["help", group]] {
            assert_eq!(tare.tare(words).ok(), text, "{words:?}");
        }
    }
    let all = tare.tare(["help"]).ok();
    assert_eq!(tare.tare(["--help"]).ok(), all);
    let names: Vec<[String; 3]> = serde_json::from_str(&tare.tare(["__describe"]).ok()).unwrap();
    for [name, long, _] in &names {
        assert!(all.contains(name.as_str()), "{name} in {all}");
        // Both spellings, and the help says what the command is for.
        for spelling in [name, long] {
            let words = spelling.split(' ').chain(["--help"]);
            if name != "version" {
                assert!(tare.tare(words).ok().contains("Usage: "), "{spelling}");
            }
        }
    }
}

#[test]
fn what_was_meant_is_guessed() {
    let tare = Tare::empty();
    for (words, guess) in [
        (&["strat", "x"][..], "start"),
        (&["container", "strat", "x"], "container start"),
        (&["volume", "lss"], "volume ls"),
        (&["contaner", "ls"], "container"),
        (&["rm", "--forse", "x"], "--force"),
        (&["run", "--memroy", "1g", "busybox"], "--memory"),
    ] {
        // Docker's codes: 125 for a bad option, 1 for no command.
        let code = if guess.starts_with('-') { 125 } else { 1 };
        tare.tare(words).fails(code, &format!("did you mean \"{guess}\"?"));
    }
    tare.tare(["xyzzy"]).fails(1, "see \"tare --help\"");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_comes_next_is_known() {
    let tare = Tare::new();
    tare.tare(["create", "--name=web", "--network=none", "-v=data:/data", "busybox"]).ok();
    tare.tare(["create", "--name=worker", "--network=none", "busybox"]).ok();
    let next = |words: &[&str]| {
        let text = tare.tare(["__complete"].iter().chain(words)).ok();
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(next(&["expl"]), ["explain"]);
    assert_eq!(next(&["contai"]), ["container"]);
    assert_eq!(next(&["container", "star"]), ["start"]);
    assert_eq!(next(&["help", "container", "star"]), ["start"]);
    assert_eq!(next(&["start", "w"]), ["web", "worker"]);
    assert_eq!(next(&["rm", "-f", "web", "wo"]), ["worker"]);
    assert_eq!(next(&["run", "--rm", "-it", "bus"]), ["busybox:latest"]);
    assert_eq!(next(&["run", "busybox", "x"]), [""; 0]);
    assert_eq!(next(&["run", "--volumes-from", "we"]), ["web"]);
    assert_eq!(next(&["run", "--volumes-from=we"]), ["--volumes-from=web"]);
    assert_eq!(next(&["run", "--pull", ""]), ["always", "missing", "never"]);
    assert_eq!(next(&["run", "--network", "bri"]), ["bridge"]);
    assert_eq!(next(&["run", "--cidf"]), ["--cidfile"]);
    assert_eq!(next(&["run", "--cidfile", ""]), [":files"]);
    assert_eq!(next(&["volume", "rm", "d"]), ["data"]);
    assert_eq!(next(&["cp", "we"]), ["web:", ":files"]);
    assert_eq!(next(&["exec", "-u", "root", "web", ""]), [""; 0]);
    // Options before the command are not in the way.
    let root = tare.root();
    assert_eq!(next(&["--root", root.to_str().unwrap(), "start", "we"]), ["web"]);
    // Nothing to say is no error.
    assert_eq!(next(&["nonsense", "x"]), [""; 0]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn bash_completes_with_it() {
    let tare = Tare::new();
    tare.tare(["create", "--name=web", "--network=none", "busybox"]).ok();
    for shell in ["bash", "zsh", "fish"] {
        tare.tare(["completion", shell]).says("tare __complete");
    }
    tare.tare(["completion", "tcsh"]).fails(1, "bash, zsh or fish");
    let complete = |line: &str, word: &str| {
        let script = format!(
            "tare() {{ '{0}' \"$@\"; }}; source <('{0}' completion bash); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; \
             COMP_WORDS=(tare '{word}'); COMP_CWORD=1; _tare; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            e2e::binary().display()
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).env("TARE_ROOT", tare.root()).env("TARE_RUN", tare.run_dir());
        Outcome::of(&mut bash).ok().trim().to_owned()
    };
    assert_eq!(complete("tare start we", "we"), "web");
    assert_eq!(complete("tare run --volumes-from=we", "we"), "web");
    assert_eq!(complete("tare run busybox:la", "la"), "latest");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn tables_fit_the_terminal_and_colours_stay_on_it() {
    let tare = Tare::new();
    let name = "a-name-that-is-much-longer-than-there-is-room-for-in-a-column";
    tare.tare(["create", "--name", name, "--network=none", "busybox", "sleep", "1000"]).ok();
    let wide = tare.tare(["ps", "-a"]).ok();
    assert!(wide.lines().all(|line| line.len() > 80) && wide.contains(name), "{wide}");
    let mut terminal = Terminal::start(&tare.command(["ps", "-a"]));
    assert_eq!(terminal.exit_code(), 0);
    e2e::until("the table is there", || terminal.screen().matches('\n').count() == 2);
    let screen = terminal.screen();
    assert!(screen.lines().all(|line| line.chars().count() <= 80) && screen.contains('…'), "{screen}");
    // An error is coloured on a terminal only, and not there either if the user says so.
    let coloured = |no_color: Option<&str>| {
        let mut command = tare.command(["start", "nobody"]);
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let mut terminal = Terminal::start(&command);
        assert_eq!(terminal.exit_code(), 1);
        e2e::until("the error is there", || terminal.screen().contains("no such container"));
        terminal.screen().contains('\u{1b}')
    };
    assert!(coloured(None) && !coloured(Some("1")));
    assert!(!tare.tare(["start", "nobody"]).stderr().contains('\u{1b}'));
}
