//! `tare runtime`: the command line that podman, dockerd and containerd call, with runc's words. The same binary called
//! by the name `tare-runtime` is this.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod log;
mod pause;
mod protect;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod streams;
mod update;

use std::ffi::OsString;
use std::path::PathBuf;

use runtime::container::Container;
use runtime::create::CreateError;
use stdx::{Error, Result};

use crate::error::Failure;
use crate::table::out;
use log::Log;

/// The name that makes this binary a runtime.
pub(crate) const BINARY: &str = "tare-runtime";

/// What stands before the command.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    root: Option<PathBuf>,
    log: Log,
    /// systemd makes the control groups.
    systemd: bool,
}

impl Globals {
    /// The directory of the containers.
    fn root(&self) -> PathBuf {
        let usual =
            || std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|_| !rustix::process::geteuid().is_root());
        self.root.clone().unwrap_or_else(|| usual().unwrap_or_else(|| "/run".into()).join("tare-runtime"))
    }

    fn container(&self, id: &str) -> Result<Container> {
        Container::load(&self.root(), id)
    }

    fn warn(&self, warnings: &[String]) {
        warnings.iter().for_each(|warning| self.log.warn(warning));
    }

    /// Takes one option and its value.
    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--root" => self.root = Some(root(value)?),
            "--log" => self.log.set_path(value.into())?,
            "--log-format" => self.log.set_format(value)?,
            "--debug" => self.log.enable_debug(switch(name, value)?),
            // What it asks to be ignored, rights that are missing, is found out where they are needed.
            "--rootless" if value == "auto" => {}
            "--rootless" => drop(switch(name, value)?),
            "--systemd-cgroup" => self.systemd = switch(name, value)?,
            "--criu" => return Err(Error::unsupported("option \"--criu\" is not supported: there are no checkpoints")),
            _ => return Err(Error::invalid(format!("unknown option \"{name}\"")).hint("see \"tare runtime --help\"")),
        }
        Ok(())
    }
}

/// An option that is on where it has no value, in the words that runc takes.
fn switch(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("invalid value \"{value}\" of {name}: true or false"))),
    }
}

/// Containers kept in `/` would be every directory there.
fn root(value: &str) -> Result<PathBuf> {
    let path = std::path::absolute(value).map_err(|_| Error::invalid("option \"--root\" names no directory"))?;
    match path.components().any(|part| matches!(part, std::path::Component::Normal(_))) {
        true => Ok(path),
        false => Err(Error::invalid("option --root argument should not be set to /")),
    }
}

type Run = fn(&Globals, &[OsString]) -> Result<i32, Failure>;

const COMMANDS: [(&str, &str, Run); 15] = [
    ("create", "create a container", create::main),
    ("delete", "delete any resources held by the container", delete::main),
    ("events", "display container events and statistics", events::main),
    ("exec", "execute a new process inside the container", exec::main),
    ("features", "show the features of this runtime", features::main),
    ("kill", "send a signal to the container's init process", kill::main),
    ("list", "list containers started by this runtime with the given root", list::main),
    ("pause", "suspend all processes inside the container", pause::pause),
    ("ps", "display the processes running inside a container", ps::main),
    ("resume", "resume all processes that have been paused", pause::resume),
    ("run", "create and run a container", run::main),
    ("spec", "create a new specification file", spec::main),
    ("start", "execute the user-defined process in a created container", start::main),
    ("state", "output the state of a container", state::main),
    ("update", "update container resource constraints", update::main),
];

/// What runc has and this runtime does not: refused by name.
const LATER: [&str; 2] = ["checkpoint", "restore"];

const HELP: &str = "Usage:  tare runtime [OPTIONS] COMMAND

A drop-in for runc: bundles as the runtime specification has them, for podman, dockerd and containerd.

Options:
      --debug            Tell every step
      --log FILE         Write what there is to tell to a file instead of standard error
      --log-format FMT   Format of the log: text or json (default text)
      --root DIR         Directory of the containers (default /run/tare-runtime)
      --rootless BOOL    Ignore missing rights to control groups: auto, true or false (default auto)
      --systemd-cgroup   Let systemd make the control groups: cgroupsPath is SLICE:PREFIX:NAME
  -h, --help             Print help
  -v, --version          Print the version

Commands:
";

/// Runs the command that the arguments name.
pub(crate) fn main(args: &[OsString]) -> Result<i32, Failure> {
    let mut globals = Globals::default();
    let rest = split(&mut globals, args).map_err(|error| Failure::new(1, error))?;
    let name = rest.first().and_then(|arg| arg.to_str()).unwrap_or_default();
    let result = match name {
        "" | "-h" | "--help" => help(&[]),
        "help" | "h" => help(&rest[1..]),
        "-v" | "--version" => {
            out(&format!("tare-runtime version {}\nspec: {}\n", env!("CARGO_PKG_VERSION"), oci::runtime_spec::VERSION));
            Ok(0)
        }
        _ => command(name).and_then(|run| run(&globals, &rest[1..])),
    };
    result.map_err(|failure| failure.or_code(1)).inspect_err(|failure| {
        if let Some(message) = failure.message() {
            globals.log.error(message);
        }
    })
}

fn command(name: &str) -> Result<Run, Failure> {
    match COMMANDS.iter().find(|(known, ..)| *known == name) {
        Some((_, _, run)) => Ok(*run),
        None if LATER.contains(&name) => {
            Err(Error::unsupported(format!("command \"{name}\" is not supported yet")).into())
        }
        None => {
            let error = Error::invalid(format!("unknown command \"{name}\": No help topic for '{name}'"));
            Err(Failure::new(3, error))
        }
    }
}

/// Of all commands, or of the one that is named.
fn help(topic: &[OsString]) -> Result<i32, Failure> {
    if let Some(name) = topic.first().and_then(|name| name.to_str()) {
        return command(name)?(&Globals::default(), &["--help".into()]);
    }
    let mut text = HELP.to_owned();
    COMMANDS.iter().for_each(|(name, about, _)| text.push_str(&format!("  {name:10} {about}\n")));
    out(&text);
    Ok(0)
}

/// Takes the options before the command; gives the rest.
fn split<'a>(globals: &mut Globals, args: &'a [OsString]) -> Result<&'a [OsString]> {
    let mut rest = args;
    loop {
        let Some(text) = rest.first().and_then(|arg| arg.to_str()).filter(|text| text.starts_with("--")) else {
            return Ok(rest);
        };
        let (name, mut value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        if matches!(name, "--help" | "--version") {
            return Ok(rest);
        }
        rest = &rest[1..];
        if !matches!(name, "--debug" | "--systemd-cgroup") && value.is_none() {
            let (next, more) =
                rest.split_first().ok_or_else(|| Error::invalid(format!("option \"{name}\" needs a value")))?;
            value = Some(next.to_string_lossy().into_owned());
            rest = more;
        }
        globals.set(name, &value.unwrap_or_default())?;
    }
}

/// The options of one command. Those that make no sense end it with the exit code that runc has for that.
fn parse<A: clap::Parser>(args: &[OsString]) -> Result<Option<A>, Failure> {
    super::parse::<A>(args).map_err(|failure| failure.with_code(1))
}

fn failure(error: CreateError) -> Failure {
    match error {
        CreateError::ProgramNotFound(error) | CreateError::ProgramNotExecutable(error) | CreateError::Setup(error) => {
            Failure::new(1, error)
        }
    }
}
