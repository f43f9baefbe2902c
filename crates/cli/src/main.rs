//! `tare`: the command line. Arguments in, one library call, text out; the only crate that prints.
//!
//! Seven programs live in this binary, told apart by an argument: the command line, a container's monitor
//! (`__monitor`), that of a further process in it (`__exec`), a container's first process (`__init`), the removal of a
//! container that has ended (`__cleanup`), the resolver of names (`__resolver`), and what is left to do after an interruption
//! (`__interrupted`).

mod build_progress;
mod colour;
mod commands;
mod container_args;
mod error;
mod explanation;
mod filter;
mod format;
mod health_args;
mod interrupt;
mod limit_args;
mod output_file;
mod stream;
mod table;
mod terminal;
mod times;
mod transfer;

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use engine::{CgroupDriver, Dirs, Engine};
use error::Failure;
use stdx::Context;

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = match run(&args) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    };
    std::process::exit(code);
}

fn run(args: &[OsString]) -> Result<i32, Failure> {
    match args.first().and_then(|first| first.to_str()) {
        Some(monitor::spawn::ARGUMENT) => return monitor_main(args),
        Some(monitor::exec::ARGUMENT) => {
            let dir = args.get(1).ok_or_else(|| stdx::Error::invalid("a monitor needs its directory"))?;
            return Ok(monitor::exec::main(Path::new(dir)).map(|()| 0)?);
        }
        Some(engine::containers::INIT_ARGUMENT) => {
            return runtime::reaper::run(&args[1..]).map_err(|error| {
                let code = if error.kind() == stdx::Kind::Denied { 126 } else { 127 };
                Failure::new(code, error)
            });
        }
        Some("runtime") => return commands::runtime::main(&args[1..]),
        _ if called_as(commands::runtime::BINARY) => return commands::runtime::main(args),
        _ => {}
    }
    // What is completed may begin with options of its own.
    let is_completion = args.first().is_some_and(|first| first == commands::COMPLETE);
    let (globals, rest) = Globals::split(if is_completion { &args[1..] } else { args })?;
    let cgroup_driver = CgroupDriver::choose(globals.cgroup_driver.as_deref().and_then(Path::to_str))?;
    let engine = Engine::new(Dirs::choose(globals.root, globals.run_root)?).with_cgroup_driver(cgroup_driver);
    if is_completion {
        return commands::complete(&engine, rest);
    }
    commands::dispatch(&engine, rest)
}

/// Whether this program was started by the name `name`.
fn called_as(name: &str) -> bool {
    let own = std::env::args_os().next();
    own.as_deref().and_then(|path| Path::new(path).file_name()).is_some_and(|own| own == name)
}

fn monitor_main(args: &[OsString]) -> Result<i32, Failure> {
    let dir = args.get(1).ok_or_else(|| stdx::Error::invalid("a monitor needs its directory"))?;
    match monitor::main(Path::new(dir))? {
        monitor::Outcome::Done => Ok(0),
        monitor::Outcome::Execute(args) => match execute(Path::new("/proc/self/exe"), args)? {},
        monitor::Outcome::Restart { program, arguments, lock } => {
            sys::fds::inherit_as(lock.into_file().as_fd(), 3).context(|| "cannot pass the monitor's lock on".into())?;
            match execute(&program, arguments)? {}
        }
    }
}

pub(crate) fn execute(program: &Path, args: Vec<impl Into<OsString>>) -> Result<Infallible, Failure> {
    let c_string = |text: OsString| {
        CString::new(text.into_vec()).map_err(|_| stdx::Error::invalid("an argument holds a NUL byte"))
    };
    let args: Vec<CString> = [OsString::from("tare")]
        .into_iter()
        .chain(args.into_iter().map(Into::into))
        .map(c_string)
        .collect::<Result<_, _>>()?;
    let env: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()).ok())
        .collect();
    let program = CString::new(program.as_os_str().as_bytes())
        .map_err(|_| stdx::Error::invalid("this program's path holds a NUL byte"))?;
    sys::exec::execve(&program, &args, &env).map_err(|errno| {
        stdx::Error::new(stdx::Kind::Internal, format!("cannot execute this program again: {errno}")).into()
    })
}

/// What stands before the command.
#[derive(Default)]
struct Globals {
    root: Option<PathBuf>,
    run_root: Option<PathBuf>,
    cgroup_driver: Option<PathBuf>,
}

impl Globals {
    fn split(args: &[OsString]) -> Result<(Self, &[OsString]), Failure> {
        let mut globals = Self::default();
        let mut rest = args;
        loop {
            let Some(text) = rest.first().and_then(|arg| arg.to_str()) else { return Ok((globals, rest)) };
            let (name, value) =
                text.split_once('=').map_or((text, None), |(name, value)| (name, Some(PathBuf::from(value))));
            let target = match name {
                "--root" => &mut globals.root,
                "--run-root" => &mut globals.run_root,
                "--cgroup-driver" => &mut globals.cgroup_driver,
                _ => return Ok((globals, rest)),
            };
            rest = &rest[1..];
            *target = match (value, rest.split_first()) {
                (Some(value), _) => Some(value),
                (None, Some((value, more))) => {
                    rest = more;
                    Some(PathBuf::from(value))
                }
                (None, None) => return Err(Failure::usage(format!("option \"{name}\" needs a value"))),
            };
        }
    }
}
