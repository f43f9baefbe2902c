//! Finding commands by name, and saying which there are.

use std::collections::BTreeSet;
use std::ffi::OsString;

use engine::Engine;
use stdx::Error;

use super::{COMMANDS, Command};
use crate::error::Failure;
use crate::table::out;

/// The command that the words begin with, and how many of them are its name.
pub(super) fn find(words: &[OsString]) -> Option<(&'static Command, usize)> {
    let word = |index: usize| words.get(index).and_then(|word| word.to_str()).unwrap_or_default();
    if let Some(command) = COMMANDS.iter().find(|command| command.name == word(0)) {
        return Some((command, 1));
    }
    let second = match word(1) {
        "list" | "ps" => "ls",
        "remove" => "rm",
        other => other,
    };
    let first = if (word(0), second) == ("builder", "build") { "image" } else { word(0) };
    let long = format!("{first} {second}");
    COMMANDS.iter().find(|command| command.long == long).map(|command| (command, 2))
}

/// The words that stand before others: `container`, `image` …
pub(super) fn groups() -> BTreeSet<&'static str> {
    COMMANDS.iter().filter_map(|command| Some(command.long.split_once(' ')?.0)).collect()
}

/// The commands of a group, each with its second word.
pub(super) fn members(group: &str) -> Vec<(&'static str, &'static Command)> {
    let second = |command: &'static Command| {
        command.long.split_once(' ').filter(|(first, _)| *first == group).map(|(_, second)| (second, command))
    };
    COMMANDS.iter().filter_map(second).collect()
}

/// Says what is wrong with words that name no command; or what commands there are, if that is what is asked.
pub(super) fn no_command(words: &[OsString]) -> Result<i32, Failure> {
    let word = |index: usize| words.get(index).map(|word| word.to_string_lossy()).unwrap_or_default();
    let (first, second) = (word(0), word(1));
    if !groups().contains(&*first) {
        return Err(unknown(&first, names()));
    }
    match &*second {
        "" | "-h" | "--help" | "help" => {
            group(&first);
            Ok(0)
        }
        _ => Err(unknown(&format!("{first} {second}"), members(&first).into_iter().map(|(_, command)| command.long))),
    }
}

/// `tare help [COMMAND]`.
pub(super) fn help(engine: &Engine, words: &[OsString]) -> Result<i32, Failure> {
    if words.is_empty() {
        all();
        return Ok(0);
    }
    match find(words) {
        Some((command, _)) => (command.run)(engine, &["--help".into()]),
        None => no_command(words),
    }
}

/// All commands.
pub(super) fn all() {
    let mut text = "Usage:  tare [--root DIR] [--run-root DIR] [--cgroup-driver cgroupfs|systemd] COMMAND\n\nA container engine that weighs almost nothing.\n\nCommands:\n".to_owned();
    for command in COMMANDS {
        text.push_str(&format!("  {:18} {}\n", command.name, command.about));
    }
    let groups: Vec<&str> = groups().into_iter().collect();
    text.push_str(&format!("\nGroups: {}\n", groups.join(", ")));
    text.push_str(
        "\nRun \"tare COMMAND --help\" for more about a command, \"tare GROUP\" for the commands of a group.\n",
    );
    out(&text);
}

fn group(group: &str) {
    let mut text = format!("Usage:  tare {group} COMMAND\n\nCommands:\n");
    for (second, command) in members(group) {
        text.push_str(&format!("  {second:12} {}\n", command.about));
    }
    text.push_str(&format!("\nRun \"tare {group} COMMAND --help\" for more about a command.\n"));
    out(&text);
}

/// Every spelling of every command, and the groups.
fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().flat_map(|command| [command.name, command.long]).chain(groups()).chain(["help"])
}

fn unknown(name: &str, known: impl Iterator<Item = &'static str>) -> Failure {
    let nearest = known.map(|known| (distance(known, name), known)).min();
    let hint = match nearest {
        Some((0..=2, nearest)) => format!("did you mean \"{nearest}\"?"),
        _ => "see \"tare --help\"".into(),
    };
    Failure::new(1, Error::invalid(format!("unknown command \"{name}\"")).hint(hint))
}

/// How many letters have to be changed, added or left out to get from one word to the other.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(distance("inspect", "inspct"), 1);
        assert_eq!(distance("ps", "ps"), 0);
        assert_eq!(distance("run", "rmu"), 2);
    }

    #[test]
    fn both_spellings_name_a_command() {
        let name = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(Into::into).collect();
            find(&words).map(|(command, used)| (command.name, used))
        };
        assert_eq!(name(&["ps", "-a"]), Some(("ps", 1)));
        assert_eq!(name(&["container", "list"]), Some(("ps", 2)));
        assert_eq!(name(&["image", "remove", "x"]), Some(("rmi", 2)));
        assert_eq!((name(&["container"]), name(&["nonsense"])), (None, None));
    }
}
