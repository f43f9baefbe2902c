//! The commands: one file each, whose `Args` is its help. Only the command that was named is built.

mod attach;
pub(crate) mod build;
mod commit;
mod complete;
mod cp;
mod create;
mod diff;
mod exec;
mod explain;
mod export;
mod help;
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
mod usage;
mod version;
mod volume;
mod wait;

use std::ffi::OsString;

use engine::Engine;
use engine::containers::prepare::Legacy;
use engine::containers::{CLEANUP_ARGUMENT, RESTART_ARGUMENT};
use engine::networks::resolver::KEEPER_ARGUMENT;
use stdx::Context;

use crate::error::Failure;
use crate::interrupt;
use crate::table::out;
use usage::parse;

/// Asks what can come next on a command line.
pub(crate) const COMPLETE: &str = "__complete";

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
    Command { name: "completion", long: "completion", about: "Print a shell's completions", run: complete::script },
    Command { name: "version", long: "version", about: "Show the version", run: version::main },
];

/// Runs the command that the arguments name.
pub(crate) fn dispatch(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let word = |index: usize| args.get(index).and_then(|arg| arg.to_str()).unwrap_or_default();
    match word(0) {
        "" | "-h" | "--help" => {
            help::all();
            return Ok(if args.is_empty() { 1 } else { 0 });
        }
        "help" => return help::help(engine, &args[1..]),
        usage::DESCRIBE => return describe(engine, &args[1..]),
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
    match help::find(args) {
        Some((command, used)) => (command.run)(engine, &args[used..]),
        None => help::no_command(args),
    }
}

/// Prints what can come after these words, the last of which is being typed.
pub(crate) fn complete(engine: &Engine, words: &[OsString]) -> Result<i32, Failure> {
    complete::main(engine, words)
}

/// `tare __describe [COMMAND]`: the names of all commands, or what one of them takes, as JSON; for manuals and tests.
fn describe(engine: &Engine, words: &[OsString]) -> Result<i32, Failure> {
    let json = |value: serde_json::Result<String>| value.context(|| "cannot write JSON".into());
    let text = match help::find(words) {
        Some((command, _)) => json(serde_json::to_string(&complete::describe(engine, command).unwrap_or_default()))?,
        None if words.is_empty() => {
            let names = COMMANDS.iter().map(|command| [command.name, command.long, command.about]);
            json(serde_json::to_string(&names.collect::<Vec<_>>()))?
        }
        None => return help::no_command(words),
    };
    out(&format!("{text}\n"));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_well_formed() {
        use clap::CommandFactory;
        for command in [
            run::Args::command(),
            create::Args::command(),
            start::Args::command(),
            ps::Args::command(),
            logs::Args::command(),
            cp::Args::command(),
            explain::Args::command(),
        ] {
            command.debug_assert();
        }
    }
}
