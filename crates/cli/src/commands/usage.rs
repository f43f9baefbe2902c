//! A command's arguments: understood, or refused in words; and described, for who completes or documents them.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Parser};
use serde::Serialize;
use stdx::{Context, Error};

use super::help::distance;
use crate::colour;
use crate::error::Failure;
use crate::table::out;

/// The only argument of a command that is to describe itself instead of doing something.
pub(super) const DESCRIBE: &str = "__describe";

/// What other engines have and this one has not: refused by name, with the reason.
const REFUSED: [(&str, &str); 22] = [
    ("--gpus", "it needs the vendor's tools inside the container; give the devices with --device"),
    ("--storage-opt", "the writable layer has no quota of its own"),
    ("--link", "containers of one network know each other by name; see --network and --network-alias"),
    ("-l", "containers of one network know each other by name: there are no links to remove"),
    ("--cpu-count", "it is for Windows; see --cpus"),
    ("--cpu-percent", "it is for Windows; see --cpus"),
    ("--io-maxbandwidth", "it is for Windows; see --device-read-bps"),
    ("--io-maxiops", "it is for Windows; see --device-read-iops"),
    ("--use-api-socket", "there is no daemon whose socket a container could use"),
    ("--checkpoint", "containers cannot be checkpointed yet"),
    ("--checkpoint-dir", "containers cannot be checkpointed yet"),
    ("--no-pause", "use --pause=false"),
    ("--cache-from", "builds take from this machine's cache only; pull the image first"),
    ("--cache-to", "builds put into this machine's cache only"),
    ("--squash", "layers cannot be joined yet"),
    ("--provenance", "no attestations are made"),
    ("--sbom", "no attestations are made"),
    ("--attest", "no attestations are made"),
    ("--debug-on-failure", "there is no debugger of builds"),
    ("--push", "use \"tare push\" afterwards"),
    ("--builder", "there is one builder, in this program"),
    ("--kernel-memory", "the kernel has no such limit since 5.16"),
];

/// Parses a command's arguments. Help is printed here; wrong usage is a failure.
pub(super) fn parse<A: Parser>(args: &[OsString]) -> Result<Option<A>, Failure> {
    if matches!(args, [only] if only == DESCRIBE) {
        let text = serde_json::to_string(&Description::of(&A::command())).context(|| "cannot write JSON".into())?;
        return Err(Failure::said(text));
    }
    let name = A::command().get_name().to_owned();
    let words = std::iter::once(OsString::from(name)).chain(args.iter().cloned());
    // As everywhere: of an option given twice the last counts.
    let parsed = A::command().mut_args(with_value).args_override_self(true).try_get_matches_from(words);
    let error = match parsed.and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(parsed) => return Ok(Some(parsed)),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp => {
            let help = A::command().render_long_help();
            out(&if colour::is_wanted() { help.ansi().to_string() } else { help.to_string() });
            Ok(None)
        }
        ErrorKind::DisplayVersion => {
            out(&error.render().to_string());
            Ok(None)
        }
        _ => Err(wrong(&error, &A::command())),
    }
}

/// A switch may be given as `--name=true` or `--name=false`, as Docker's may.
fn with_value(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    let arg = arg.action(ArgAction::Set).num_args(0..=1).require_equals(true);
    let arg = arg.default_missing_value("true").value_parser(truth);
    // Some are on unless they are switched off.
    if arg.get_default_values().is_empty() { arg.default_value("false") } else { arg }
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is true or false".into()),
    }
}

/// Docker's code for a bad option is 125, for a missing argument 1.
fn wrong(error: &clap::Error, command: &clap::Command) -> Failure {
    let name = command.get_name();
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.split('=').next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let refused = REFUSED.iter().find(|(name, _)| error.kind() == ErrorKind::UnknownArgument && *name == flag);
    if let Some((name, reason)) = refused {
        return Failure::usage(format!("option \"{name}\" is not supported: {reason}"));
    }
    if matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues) {
        let names = command.get_positionals().filter_map(|arg| arg.get_value_names()).map(|names| names.join(" "));
        let names = names.collect::<Vec<_>>().join(" ");
        let hint = format!("see \"{name} --help\"");
        return Failure::new(1, Error::invalid(format!("\"{name}\" needs {names}")).hint(hint));
    }
    let text = error.render().to_string();
    let text = text.lines().next().unwrap_or_default();
    let hint = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(near)) if distance(near, &flag) <= 3 => format!("did you mean \"{near}\"?"),
        _ => format!("see \"{name} --help\""),
    };
    Failure::usage(format!("{} (hint: {hint})", text.strip_prefix("error: ").unwrap_or(text)))
}

/// What a command takes.
#[derive(Debug, Default, Serialize, serde::Deserialize)]
pub(super) struct Description {
    /// With the program's name in front.
    pub(super) name: String,
    pub(super) about: String,
    /// All that is said about it, if that is more.
    pub(super) long_about: String,
    pub(super) usage: String,
    pub(super) options: Vec<OptionDescription>,
    /// Names of the arguments, in order.
    pub(super) arguments: Vec<String>,
    /// The last argument may be given more than once.
    pub(super) repeats: bool,
}

/// One option.
#[derive(Debug, Default, Serialize, serde::Deserialize)]
pub(super) struct OptionDescription {
    /// `-f` and `--force`, and other spellings.
    pub(super) names: Vec<String>,
    pub(super) help: String,
    /// What its value is called; `None`: it has none.
    pub(super) value: Option<String>,
    /// What the value can be, if that is a list.
    pub(super) values: Vec<String>,
}

impl Description {
    fn of(command: &clap::Command) -> Self {
        let text = |styled: Option<&clap::builder::StyledStr>| styled.map(ToString::to_string).unwrap_or_default();
        let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
        let positionals: Vec<&Arg> = shown().filter(|arg| arg.is_positional()).collect();
        let value = |arg: &Arg| arg.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
        Self {
            name: command.get_name().to_owned(),
            about: text(command.get_about()),
            long_about: text(command.get_long_about()),
            usage: command.clone().render_usage().to_string().trim_start_matches("Usage: ").to_owned(),
            options: shown().filter(|arg| !arg.is_positional()).map(OptionDescription::of).collect(),
            arguments: positionals.iter().map(|arg| value(arg)).collect(),
            repeats: positionals.last().is_some_and(|arg| matches!(arg.get_action(), ArgAction::Append)),
        }
    }
}

impl OptionDescription {
    fn of(arg: &Arg) -> Self {
        let short = arg.get_short_and_visible_aliases().unwrap_or_default().into_iter().map(|c| format!("-{c}"));
        let long = arg.get_long_and_visible_aliases().unwrap_or_default().into_iter().map(|name| format!("--{name}"));
        // A switch that may be given a value is a switch.
        let takes = arg.get_action().takes_values() && !arg.is_require_equals_set();
        let values = arg.get_possible_values();
        Self {
            names: short.chain(long).collect(),
            help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            value: takes.then(|| arg.get_value_names().map(|names| names.join(" ")).unwrap_or_default()),
            values: values
                .iter()
                .filter(|value| takes && !value.is_hide_set())
                .map(|value| value.get_name().to_owned())
                .collect(),
        }
    }
}
