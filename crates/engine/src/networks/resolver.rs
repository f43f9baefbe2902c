//! The resolver is told of containers; who finds none starts one.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use network::dns::serve::{self, SOCKET};
use stdx::{Context, Error, Kind, Result};
use sys::socket::{SocketType, connect_in};

use super::run_dir;
use crate::Engine;

/// The argument that makes this binary the parent of the resolver, and that of the resolver.
pub const KEEPER_ARGUMENT: &str = "__resolver";
const SERVE: &str = "serve";

/// How long a resolver may take to come up, or to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it is there.
const PAUSE: Duration = Duration::from_millis(1);
/// After one that has died.
const REST: Duration = Duration::from_millis(50);

/// Tells the resolver how a container is joined now; returns when it knows.
pub(crate) fn tell(engine: &Engine, id: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut started = false;
    loop {
        if say(&run_dir(engine), id).is_ok() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::new(Kind::Internal, "the resolver of names does not answer"));
        }
        if !started {
            start(engine)?;
            started = true;
        }
        std::thread::sleep(PAUSE);
    }
}

fn say(dir: &Path, id: &str) -> Result<()> {
    let what = || "cannot reach the resolver".to_owned();
    let dir = std::fs::File::open(dir).context(what)?;
    let mut stream =
        UnixStream::from(connect_in(std::os::fd::AsFd::as_fd(&dir), SOCKET, SocketType::STREAM).context(what)?);
    stream.set_read_timeout(Some(PATIENCE)).context(what)?;
    stream.write_all(id.as_bytes()).context(what)?;
    stream.read_exact(&mut [0]).context(what)
}

fn start(engine: &Engine) -> Result<()> {
    run(engine, &[KEEPER_ARGUMENT])?.spawn().map(drop).context(|| "cannot start the resolver".into())
}

fn run(engine: &Engine, words: &[&str]) -> Result<Command> {
    let program = std::env::current_exe().context(|| "cannot tell this program's path".into())?;
    let mut command = Command::new(program);
    command.args(engine.dirs().arguments()).args(words).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// What the process that [`KEEPER_ARGUMENT`] names does: `rest` are the words behind it. The keeper starts the resolver again when
/// that dies; it has nothing to die of itself.
pub fn main(engine: &Engine, rest: Option<&str>) -> Result<ExitCode> {
    sys::fds::close_inherited_from(3).context(|| "cannot close the descriptors".into())?;
    if rest == Some(SERVE) {
        serve::main(&run_dir(engine), &engine.dirs().run.join("containers"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let _ = rustix::process::setsid();
    while !run(engine, &[KEEPER_ARGUMENT, SERVE])?.status().context(|| "cannot start the resolver".into())?.success() {
        std::thread::sleep(REST);
    }
    Ok(ExitCode::SUCCESS)
}
