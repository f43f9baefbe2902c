//! Whole sessions as a person sees them, a file a command in `transcripts/`: after each line that begins with `$` stands what
//! it prints, standard error marked by `!`, and the exit code if it is not 0.
//!
//! Times, ids and numbers of processes are masked, and the widths of columns with them. `TRANSCRIPTS=write` writes down what
//! is printed now; look at the difference before it is committed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use e2e::{Outcome, Tare};

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            #[cfg_attr(not(feature = "root"), ignore = "needs root")]
            fn $name() {
                check(stringify!($name).trim_end_matches('_'));
            }
        )*
    };
}

transcripts! {
    attach commit cp create diff exec explain inspect kill logs pause prune ps rename restart rm run start stop top
    unpause update wait
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/transcripts").join(format!("{name}.txt"));
    let expected = fs::read_to_string(&path).unwrap();
    let found = play(&expected);
    if std::env::var_os("TRANSCRIPTS").is_some_and(|how| how == "write") {
        fs::write(&path, found).unwrap();
        return;
    }
    assert!(found == expected, "{} tells\n{expected}\nand now it is\n{found}", path.display());
}

/// The commands of a session with what they print now.
fn play(session: &str) -> String {
    let tare = Tare::new();
    let programs = tare.dir("bin");
    symlink(e2e::binary(), programs.join("tare")).unwrap();
    let search = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut text = String::new();
    for line in session.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            if line.starts_with('#') {
                text.push_str(&format!("{line}\n"));
            }
            continue;
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(tare.dir("work")).env("PATH", &search);
        shell.env("TARE_ROOT", tare.root()).env("TARE_RUN", tare.run_dir()).env_remove("DOCKER_CONFIG");
        let outcome = Outcome::of(&mut shell);
        text.push_str(&format!("{line}\n"));
        outcome.stdout().lines().for_each(|line| text.push_str(&format!("{}\n", masked(line, &tare))));
        outcome.stderr().lines().for_each(|line| text.push_str(&format!("! {}\n", masked(line, &tare))));
        if outcome.code() != 0 {
            text.push_str(&format!("[exit {}]\n", outcome.code()));
        }
    }
    text
}

/// A line without what differs from one run to the next.
fn masked(line: &str, tare: &Tare) -> String {
    let root = tare.root();
    let line = line.replace(root.parent().unwrap().to_str().unwrap(), "<dir>");
    let line = line.replace("Less than a second", "<time>").replace("About a minute", "<time>");
    let line = ids(&line);
    let has_times = line.split(' ').any(is_clock);
    let mut words: Vec<&str> = Vec::new();
    for word in line.split(' ') {
        let unit = ["second", "minute"].iter().any(|unit| word.starts_with(unit));
        match words.last_mut() {
            Some(last) if unit && is_number(last) => *last = "<time>",
            _ if is_clock(word) => words.push("<time>"),
            // Beside times, numbers are those of processes.
            _ if has_times && is_number(word) && word.len() > 1 => words.push("<number>"),
            _ => words.push(word),
        }
    }
    // Columns are as wide as what is in them.
    let mut text = words.join(" ");
    while text.contains("   ") {
        text = text.replace("   ", "  ");
    }
    text.trim_end().to_owned()
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// `12:34`, `00:00:00`, `2026-01-31T12:34:56Z`.
fn is_clock(word: &str) -> bool {
    word.len() >= 5 && word.contains(':') && word.bytes().all(|b| b.is_ascii_digit() || b":-.TZ".contains(&b))
}

/// Hexadecimal numbers as long as ids are.
fn ids(line: &str) -> String {
    let mut text = String::new();
    let mut run = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            run.push(c);
            continue;
        }
        let hex = run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        text.push_str(match run.len() {
            64 if hex => "<id>",
            12 if hex => "<short id>",
            _ => &run,
        });
        run.clear();
        text.push(c);
    }
    text.trim_end_matches('\n').replace("sha256:<id>", "<digest>")
}

#[test]
fn what_differs_is_masked() {
    let tare = Tare::empty();
    let id = "0123456789ab".repeat(5) + "0123";
    let cases = [
        (format!("{id} \"{}\" x", &id[..12]), "<id> \"<short id>\" x"),
        (format!("sha256:{id}"), "<digest>"),
        ("Up 3 seconds (Paused)      name".into(), "Up <time> (Paused)  name"),
        ("Up Less than a second (Paused)   name".into(), "Up <time> (Paused)  name"),
        ("Created   2 minutes ago".into(), "Created  <time> ago"),
        ("root  12345  1  12:01  00:00:00  sleep 1000".into(), "root  <number>  1  <time>  <time>  sleep <number>"),
        ("137".into(), "137"),
    ];
    for (line, expected) in cases {
        assert_eq!(masked(&line, &tare), expected, "{line}");
    }
}
