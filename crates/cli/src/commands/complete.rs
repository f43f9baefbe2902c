//! What can come next on a command line: asked by the shells' scripts, which `tare completion SHELL` prints.
//!
//! `tare __complete WORD…` gets the words after the program's name, the last of which is being typed, and prints a
//! candidate a line, behind a tab what it means; `:files` says that names of files are wanted too.

use std::collections::BTreeSet;
use std::ffi::OsString;

use engine::{Engine, containers, images, networks, volumes};
use stdx::Error;

use super::help::{find, groups, members};
use super::usage::{DESCRIBE, Description, OptionDescription};
use super::{COMMANDS, Command};
use crate::error::{Failure, printable};
use crate::table::out;

const FILES: &str = ":files";

/// A candidate and what it means.
type Candidate = (String, String);

/// `tare completion SHELL`.
pub(super) fn script(_engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    out(match args.shell.as_str() {
        "bash" => include_str!("../../../../packaging/completions/tare.bash"),
        "zsh" => include_str!("../../../../packaging/completions/_tare"),
        "fish" => include_str!("../../../../packaging/completions/tare.fish"),
        other => return Err(Error::invalid(format!("invalid shell \"{other}\": it is bash, zsh or fish")).into()),
    });
    Ok(0)
}

/// Print the script that lets a shell complete commands, options and names
///
/// For this session: source <(tare completion bash), source <(tare completion zsh), or tare completion fish | source.
#[derive(clap::Parser, Debug)]
#[command(name = "tare completion")]
pub(crate) struct Args {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL")]
    shell: String,
}

/// Prints what can come next.
pub(super) fn main(engine: &Engine, words: &[OsString]) -> Result<i32, Failure> {
    let (typed, before) =
        words.split_last().map_or(("".into(), words), |(typed, before)| (typed.to_string_lossy(), before));
    let mut text = String::new();
    for (candidate, meaning) in candidates(engine, before, &typed) {
        if candidate == FILES || candidate.starts_with(&*typed) {
            let tab = if meaning.is_empty() { "" } else { "\t" };
            text.push_str(&printable(&format!("{candidate}{tab}{meaning}\n")));
        }
    }
    out(&text);
    Ok(0)
}

/// What the command says of itself; `None` for one that takes nothing.
pub(super) fn describe(engine: &Engine, command: &Command) -> Option<Description> {
    let said = (command.run)(engine, &[DESCRIBE.into()]).err()?;
    serde_json::from_str(said.message()?).ok()
}

fn candidates(engine: &Engine, before: &[OsString], typed: &str) -> Vec<Candidate> {
    let plain = |(name, about): (&str, &str)| (name.to_owned(), about.to_owned());
    match (before, find(before)) {
        ([], _) => {
            let single = COMMANDS.iter().filter(|command| !command.name.contains(' '));
            let single = single.map(|command| plain((command.name, command.about)));
            single.chain(groups().into_iter().map(|group| plain((group, "…")))).collect()
        }
        ([help, rest @ ..], _) if help == "help" => candidates(engine, rest, typed),
        (_, Some((command, used))) => match describe(engine, command) {
            Some(description) => of_command(engine, &description, &before[used..], typed),
            None => Vec::new(),
        },
        ([group], None) => {
            let group = group.to_string_lossy();
            members(&group).into_iter().map(|(second, command)| plain((second, command.about))).collect()
        }
        _ => Vec::new(),
    }
}

fn of_command(engine: &Engine, description: &Description, before: &[OsString], typed: &str) -> Vec<Candidate> {
    let before: Vec<&str> = before.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let option = |word: &str| description.options.iter().find(|option| option.names.iter().any(|name| name == word));
    let mut arguments = 0;
    let mut value_of = None;
    for word in before {
        match value_of.take() {
            Some(_) => {}
            None if word.starts_with('-') && arguments == 0 => value_of = last_flag(word, &option),
            None => arguments += 1,
        }
    }
    if let Some(option) = value_of {
        return of_value(engine, option);
    }
    if let Some((name, _)) = typed.split_once('=').filter(|_| typed.starts_with("--")) {
        let values = option(name).map(|option| of_value(engine, option)).unwrap_or_default();
        return values.into_iter().map(|(value, meaning)| (format!("{name}={value}"), meaning)).collect();
    }
    if typed.starts_with('-') {
        let named = description.options.iter().flat_map(|option| option.names.iter().map(move |name| (name, option)));
        return named
            .map(|(name, option)| (name.clone(), option.help.lines().next().unwrap_or_default().to_owned()))
            .collect();
    }
    let last = description.arguments.len().saturating_sub(1);
    match description.arguments.get(if description.repeats { arguments.min(last) } else { arguments }) {
        // A command to run follows: a program and files of the container.
        Some(name) if name.contains(' ') && arguments > 0 => Vec::new(),
        Some(name) => names(engine, name),
        None => Vec::new(),
    }
}

/// The option whose value comes next; in `-it` the last letter counts.
fn last_flag<'a>(word: &str, option: &dyn Fn(&str) -> Option<&'a OptionDescription>) -> Option<&'a OptionDescription> {
    let found = match (word.starts_with("--"), word.chars().last()) {
        (false, Some(letter)) => option(&format!("-{letter}")),
        _ => option(word),
    };
    found.filter(|option| option.value.is_some())
}

fn of_value(engine: &Engine, option: &OptionDescription) -> Vec<Candidate> {
    if !option.values.is_empty() {
        return option.values.iter().map(|value| (value.clone(), String::new())).collect();
    }
    names(engine, option.value.as_deref().unwrap_or_default())
}

/// What there is of a kind, named as in help texts: `CONTAINER`, `IMAGE [COMMAND] [ARG...]`, `FILE` …
fn names(engine: &Engine, kind: &str) -> Vec<Candidate> {
    let files = || vec![(FILES.to_owned(), String::new())];
    match kind.split([' ', '|', '.', '[']).next().unwrap_or_default() {
        "CONTAINER" => container_names(engine),
        "IMAGE" => image_names(engine),
        "NAME" => [container_names(engine), image_names(engine)].concat(),
        "VOLUME" => {
            volumes::all(engine).unwrap_or_default().into_iter().map(|volume| (volume.name, String::new())).collect()
        }
        "NETWORK" => {
            let own = networks::all(engine).unwrap_or_default().into_iter().map(|record| record.network.name);
            let always = ["bridge", "host", "none"].map(str::to_owned);
            let names: BTreeSet<String> = own.chain(always).collect();
            names.into_iter().map(|name| (name, String::new())).collect()
        }
        // Of `cp`: a container's begins with its name.
        "SOURCE" | "DESTINATION" => {
            let containers = container_names(engine).into_iter().map(|(name, image)| (format!("{name}:"), image));
            containers.chain(files()).collect()
        }
        "FILE" | "DIR" | "PATH" => files(),
        _ => Vec::new(),
    }
}

fn container_names(engine: &Engine) -> Vec<Candidate> {
    let containers = containers::list::list(engine, true).map(|list| list.containers).unwrap_or_default();
    let named =
        containers.into_iter().map(|container| (container.record.name, container.record.image.name().to_owned()));
    let mut names: Vec<Candidate> = named.collect();
    names.sort();
    names
}

fn image_names(engine: &Engine) -> Vec<Candidate> {
    let images = images::list(engine).unwrap_or_default();
    images.iter().flat_map(|image| &image.names).map(|name| (name.familiar().to_string(), String::new())).collect()
}
