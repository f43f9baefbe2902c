//! The commands: one file each, whose `Args` is its help. Only the command that was named is built.

mod attach;
pub(crate) mod build;
mod commit;
mod cp;
mod create;
mod diff;
mod exec;
mod explain;
mod export;
mod history;
mod image_inspect;
mod images;
mod import;
mod inspect;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod manifest;
mod network;
mod pause;
mod port;
mod ps;
pub(crate) mod pull;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
pub(crate) mod runtime;
mod save;
mod search;
mod start;
mod stats;
mod stop;
pub(crate) mod system;
mod tag;
mod top;
mod update;
mod version;
mod volume;
mod wait;

use std::ffi::OsString;

use clap::Parser;
use clap::error::ErrorKind;
use engine::Engine;
use engine::containers::prepare::Legacy;
use engine::containers::{CLEANUP_ARGUMENT, RESTART_ARGUMENT};
use engine::networks::resolver::KEEPER_ARGUMENT;

use crate::error::Failure;
use crate::interrupt;
use crate::table::out;

type Run = fn(&Engine, &[OsString]) -> Result<i32, Failure>;

/// One command: its names (`container ls` under the name `ps`), what it does in a line, and how.
struct Command {
    name: &'static str,
    /// The spelling with a group before it.
    long: &'static str,
    about: &'static str,
    run: Run,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "run",
        long: "container run",
        about: "Create and run a new container from an image",
        run: run::main,
    },
    Command { name: "create", long: "container create", about: "Create a new container", run: create::main },
    Command { name: "start", long: "container start", about: "Start stopped containers", run: start::main },
    Command {
        name: "exec",
        long: "container exec",
        about: "Execute a command in a running container",
        run: exec::main,
    },
    Command {
        name: "attach",
        long: "container attach",
        about: "Attach this terminal to a running container",
        run: attach::main,
    },
    Command { name: "ps", long: "container ls", about: "List containers", run: ps::main },
    Command { name: "logs", long: "container logs", about: "Fetch the logs of a container", run: logs::main },
    Command {
        name: "inspect",
        long: "container inspect",
        about: "Show all that is known of containers or images",
        run: inspect::main,
    },
    Command { name: "explain", long: "container explain", about: "Say what makes a container one", run: explain::main },
    Command { name: "stop", long: "container stop", about: "Stop running containers", run: stop::main },
    Command { name: "restart", long: "container restart", about: "Stop and start containers", run: restart::main },
    Command {
        name: "pause",
        long: "container pause",
        about: "Stop all processes of containers for a while",
        run: pause::pause,
    },
    Command { name: "unpause", long: "container unpause", about: "Continue paused containers", run: pause::unpause },
    Command { name: "kill", long: "container kill", about: "Send a signal to running containers", run: kill::main },
    Command {
        name: "wait",
        long: "container wait",
        about: "Wait until containers end, then print their exit codes",
        run: wait::main,
    },
    Command { name: "rename", long: "container rename", about: "Give a container another name", run: rename::main },
    Command {
        name: "update",
        long: "container update",
        about: "Change the limits of containers, running or not",
        run: update::main,
    },
    Command { name: "top", long: "container top", about: "Show the processes of a container", run: top::main },
    Command { name: "stats", long: "container stats", about: "Show what containers use, live", run: stats::main },
    Command { name: "rm", long: "container rm", about: "Remove containers", run: rm::main },
    Command { name: "pull", long: "image pull", about: "Download an image from a registry", run: pull::main },
    Command { name: "push", long: "image push", about: "Upload an image to a registry", run: push::main },
    Command { name: "login", long: "login", about: "Log in to a registry", run: login::main },
    Command { name: "logout", long: "logout", about: "Forget the credentials for a registry", run: logout::main },
    Command { name: "search", long: "search", about: "Search Docker Hub for images", run: search::main },
    Command {
        name: "manifest inspect",
        long: "manifest inspect",
        about: "Show the manifest of an image in a registry",
        run: manifest::main,
    },
    Command { name: "cp", long: "container cp", about: "Copy files into a container or out of it", run: cp::main },
    Command {
        name: "commit",
        long: "container commit",
        about: "Make an image of a container's changes",
        run: commit::main,
    },
    Command { name: "diff", long: "container diff", about: "Show what a container changed", run: diff::main },
    Command {
        name: "export",
        long: "container export",
        about: "Write a container's root filesystem as a tar",
        run: export::main,
    },
    Command { name: "history", long: "image history", about: "Show how an image was made", run: history::main },
    Command { name: "save", long: "image save", about: "Write images to an archive", run: save::main },
    Command { name: "images", long: "image ls", about: "List images", run: images::main },
    Command {
        name: "image inspect",
        long: "image inspect",
        about: "Show all that is known of images",
        run: image_inspect::main,
    },
    Command { name: "load", long: "image load", about: "Load images from an archive", run: load::main },
    Command {
        name: "import",
        long: "image import",
        about: "Make an image from a root filesystem's tar",
        run: import::main,
    },
    Command { name: "build", long: "image build", about: "Build an image from a Dockerfile", run: build::main },
    Command {
        name: "builder prune",
        long: "builder prune",
        about: "Remove what builds have kept",
        run: build::prune::main,
    },
    Command { name: "tag", long: "image tag", about: "Give an image another name", run: tag::main },
    Command { name: "rmi", long: "image rm", about: "Remove images", run: rmi::main },
    Command { name: "volume create", long: "volume create", about: "Create a volume", run: volume::create::main },
    Command { name: "volume ls", long: "volume ls", about: "List volumes", run: volume::list::main },
    Command {
        name: "volume inspect",
        long: "volume inspect",
        about: "Show all that is known of volumes",
        run: volume::inspect::main,
    },
    Command { name: "volume rm", long: "volume rm", about: "Remove volumes", run: volume::remove::main },
    Command { name: "volume prune", long: "volume prune", about: "Remove unused volumes", run: volume::prune::main },
    Command { name: "port", long: "container port", about: "Show where ports are published", run: port::main },
    Command { name: "network create", long: "network create", about: "Create a network", run: network::create::main },
    Command { name: "network ls", long: "network ls", about: "List networks", run: network::list::main },
    Command {
        name: "network inspect",
        long: "network inspect",
        about: "Show all that is known of networks",
        run: network::inspect::main,
    },
    Command {
        name: "network connect",
        long: "network connect",
        about: "Join a container to a network",
        run: network::connect::main,
    },
    Command {
        name: "network disconnect",
        long: "network disconnect",
        about: "Take a container out of a network",
        run: network::disconnect::main,
    },
    Command { name: "network rm", long: "network rm", about: "Remove networks", run: network::remove::main },
    Command {
        name: "network prune",
        long: "network prune",
        about: "Remove unused networks",
        run: network::prune::main,
    },
    Command {
        name: "container prune",
        long: "container prune",
        about: "Remove stopped containers",
        run: system::prune::containers,
    },
    Command { name: "image prune", long: "image prune", about: "Remove images not in use", run: system::prune::images },
    Command { name: "system df", long: "system df", about: "Show where the room goes", run: system::df::main },
    Command { name: "info", long: "system info", about: "Show this installation", run: system::info::main },
    Command { name: "events", long: "system events", about: "Show what happens, live", run: system::events::main },
    Command {
        name: "system start",
        long: "system start",
        about: "Start what should run after a boot",
        run: system::start::main,
    },
    Command {
        name: "system check",
        long: "system check",
        about: "Verify everything, find what crashes left",
        run: system::check::main,
    },
    Command {
        name: "system prune",
        long: "system prune",
        about: "Remove what is not in use",
        run: system::prune::system,
    },
    Command { name: "version", long: "version", about: "Show the version", run: version::main },
];

/// Runs the command that the arguments name.
pub(crate) fn dispatch(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let word = |index: usize| args.get(index).and_then(|arg| arg.to_str()).unwrap_or_default();
    match word(0) {
        "" | "help" | "-h" | "--help" => {
            help();
            return Ok(if args.is_empty() { 1 } else { 0 });
        }
        "-v" | "--version" => {
            out(&format!("tare version {}\n", env!("CARGO_PKG_VERSION")));
            return Ok(0);
        }
        RESTART_ARGUMENT => {
            // What keeps its ports is handed on from monitor to monitor as standard output.
            let legacy = Legacy { lock: sys::fds::take_inherited(3), ports: sys::fds::take_inherited(1) };
            engine::containers::restart::again(engine, word(1), legacy)?;
            return Ok(0);
        }
        KEEPER_ARGUMENT => {
            engine::networks::resolver::main(engine, args.get(1).and_then(|arg| arg.to_str()))?;
            return Ok(0);
        }
        CLEANUP_ARGUMENT => {
            engine::containers::remove::clean_up(engine, word(1))?;
            return Ok(0);
        }
        interrupt::ARGUMENT => return Ok(interrupt::clean_up(engine, &args[1..])?),
        _ => {}
    }
    if let Some(command) = COMMANDS.iter().find(|command| command.name == word(0)) {
        return (command.run)(engine, &args[1..]);
    }
    if word(0) == "builder" && word(1) == "build" {
        return build::main(engine, &args[2..]);
    }
    let long = format!(
        "{} {}",
        word(0),
        match word(1) {
            "list" | "ps" => "ls",
            "remove" => "rm",
            other => other,
        }
    );
    if let Some(command) = COMMANDS.iter().find(|command| command.long == long) {
        return (command.run)(engine, &args[2..]);
    }
    Err(unknown(word(0)))
}

fn help() {
    let mut text = "Usage:  tare [--root DIR] [--run-root DIR] [--cgroup-driver cgroupfs|systemd] COMMAND\n\nA container engine that weighs almost nothing.\n\nCommands:\n".to_owned();
    for command in COMMANDS {
        text.push_str(&format!("  {:16} {}\n", command.name, command.about));
    }
    text.push_str("\nRun \"tare COMMAND --help\" for more about a command.\n");
    out(&text);
}

fn unknown(name: &str) -> Failure {
    let nearest = COMMANDS.iter().map(|command| (distance(command.name, name), command.name)).min();
    let hint = match nearest {
        Some((0..=2, nearest)) => format!("did you mean \"{nearest}\"?"),
        _ => "see \"tare --help\"".into(),
    };
    Failure::usage(format!("unknown command \"{name}\" (hint: {hint})"))
}

/// How many letters have to be changed, added or left out to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
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

/// What other engines have and this one does not yet: refused by name.
const LATER: [&str; 15] = [
    "--volume-driver",
    "--link",
    "--gpus",
    "--isolation",
    "--runtime",
    "--storage-opt",
    "--cache-from",
    "--cache-to",
    "--squash",
    "--provenance",
    "--sbom",
    "--attest",
    "--debug-on-failure",
    "--push",
    "--builder",
];

/// Parses a command's arguments. Help is printed here; wrong usage is a failure.
fn parse<A: Parser>(args: &[OsString]) -> Result<Option<A>, Failure> {
    let name = A::command().get_name().to_owned();
    let words = std::iter::once(OsString::from(name)).chain(args.iter().cloned());
    // As everywhere: of an option given twice the last counts.
    let parsed = A::command().args_override_self(true).try_get_matches_from(words);
    let error = match parsed.and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(parsed) => return Ok(Some(parsed)),
        Err(error) => error,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        out(&error.render().to_string());
        return Ok(None);
    }
    let flag = match error.get(clap::error::ContextKind::InvalidArg) {
        Some(clap::error::ContextValue::String(flag)) => flag.split('=').next().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    if error.kind() == ErrorKind::UnknownArgument && LATER.contains(&flag.as_str()) {
        return Err(Failure::usage(format!("option \"{flag}\" is not supported yet")));
    }
    let text = error.render().to_string();
    let text = text.lines().next().unwrap_or_default();
    let hint = match error.get(clap::error::ContextKind::SuggestedArg) {
        Some(clap::error::ContextValue::String(near)) if distance(near, &flag) <= 3 => {
            format!("did you mean \"{near}\"?")
        }
        _ => format!("see \"{} --help\"", A::command().get_name()),
    };
    Err(Failure::usage(format!("{} (hint: {hint})", text.strip_prefix("error: ").unwrap_or(text))))
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
    fn every_command_is_well_formed() {
        use clap::CommandFactory;
        for command in [
            run::Args::command(),
            create::Args::command(),
            start::Args::command(),
            ps::Args::command(),
            logs::Args::command(),
        ] {
            command.debug_assert();
        }
    }
}
