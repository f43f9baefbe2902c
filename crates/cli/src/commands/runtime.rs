//! `tare runtime`: the command line that podman, dockerd and containerd call, with runc's words. The same binary called
//! by the name `tare-runtime` is this.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
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
use std::io::Write;
use std::path::PathBuf;

use runtime::container::Container;
use runtime::create::CreateError;
use stdx::{Error, Result};

use crate::error::Failure;
use crate::table::out;

/// The name that makes this binary a runtime.
pub(crate) const BINARY: &str = "tare-runtime";

/// What stands before the command.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    root: Option<PathBuf>,
    log: Option<PathBuf>,
    log_json: bool,
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

    /// Engines read the log instead of standard error.
    fn record(&self, message: &str) {
        let Some(path) = &self.log else { return };
        let time = jiff::Timestamp::now();
        let line = if self.log_json {
            serde_json::json!({ "level": "error", "msg": message, "time": time.to_string() }).to_string()
        } else {
            format!("time=\"{time}\" level=error msg={message:?}")
        };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        // The message is on standard error too.
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
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

/// What runc has and this runtime does not yet: refused by name.
const LATER: [&str; 2] = ["checkpoint", "restore"];

/// Runs the command that the arguments name. Whatever fails, wrong usage too, is 1, as callers of runc know it.
pub(crate) fn main(args: &[OsString]) -> Result<i32, Failure> {
    dispatch(args).map_err(|failure| failure.with_code(1))
}

fn dispatch(args: &[OsString]) -> Result<i32, Failure> {
    let (globals, rest) = split(args)?;
    let name = rest.first().and_then(|arg| arg.to_str()).unwrap_or_default();
    if matches!(name, "" | "help" | "-h" | "--help") {
        let mut text =
            "Usage:  tare runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND\n\nCommands:\n".to_owned();
        COMMANDS.iter().for_each(|(name, about, _)| text.push_str(&format!("  {name:10} {about}\n")));
        out(&text);
        return Ok(0);
    }
    if matches!(name, "-v" | "--version") {
        out(&format!("tare-runtime version {}\nspec: {}\n", env!("CARGO_PKG_VERSION"), oci::runtime_spec::VERSION));
        return Ok(0);
    }
    let Some((_, _, run)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        let error = match LATER.contains(&name) {
            true => Error::unsupported(format!("command \"{name}\" is not supported yet")),
            false => Error::invalid(format!("unknown command \"{name}\"")).hint("see \"tare runtime --help\""),
        };
        return Err(Failure::new(1, error));
    };
    run(&globals, &rest[1..]).inspect_err(|failure| {
        if let Some(message) = failure.message() {
            globals.record(message);
        }
    })
}

fn split(args: &[OsString]) -> Result<(Globals, &[OsString]), Failure> {
    let mut globals = Globals::default();
    let mut rest = args;
    loop {
        let Some(text) = rest.first().and_then(|arg| arg.to_str()).filter(|text| text.starts_with("--")) else {
            return Ok((globals, rest));
        };
        let (name, mut value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        if matches!(name, "--help" | "--version") {
            return Ok((globals, rest));
        }
        rest = &rest[1..];
        let flag = matches!(name, "--debug" | "--systemd-cgroup");
        if !flag && value.is_none() {
            let (next, more) =
                rest.split_first().ok_or_else(|| Failure::usage(format!("option \"{name}\" needs a value")))?;
            value = Some(next.to_string_lossy().into_owned());
            rest = more;
        }
        let value = value.unwrap_or_default();
        match name {
            "--root" => globals.root = Some(std::path::absolute(&value).unwrap_or_else(|_| value.into())),
            "--log" => globals.log = Some(value.into()),
            "--log-format" => globals.log_json = value == "json",
            "--debug" => {}
            // What it asks to be ignored, rights that are missing, is found out where they are needed.
            "--rootless" if matches!(value.as_str(), "auto" | "true" | "false" | "1" | "0") => {}
            "--rootless" => {
                return Err(Failure::usage(format!("invalid value \"{value}\" of --rootless: auto, true or false")));
            }
            "--systemd-cgroup" => globals.systemd = value != "false",
            _ => return Err(Failure::usage(format!("unknown option \"{name}\" (hint: see \"tare runtime --help\")"))),
        }
    }
}

fn failure(error: CreateError) -> Failure {
    match error {
        CreateError::ProgramNotFound(error) | CreateError::ProgramNotExecutable(error) | CreateError::Setup(error) => {
            Failure::new(1, error)
        }
    }
}

fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| eprintln!("WARNING: {warning}"));
}
