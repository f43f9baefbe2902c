//! Starting a monitor.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use stdx::{Context, Result};

use crate::client::Connection;

/// The first argument that makes this binary a monitor; the second is the run directory.
pub const ARGUMENT: &str = "__monitor";

/// The allocator of a process that works for a moment and then waits for days: nothing is kept for later, so that what
/// starting needed can be given back. Other C libraries ignore it.
const ALLOCATOR: &str = "glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=65536:glibc.malloc.top_pad=4096";

/// Starts a monitor for the container whose run directory is `dir` (with `config.json` and `monitor.json`), and gives its
/// first connection. The next thing to come is [`crate::protocol::Event::Ready`] or `Failed`.
///
/// If the connection is closed before [`crate::protocol::Request::Start`], the monitor takes everything back.
///
/// `keeper` keeps ports of the host for as long as somebody has it open. The monitor does, as its standard output, which it
/// does not use, and hands it on to whoever starts the container again.
pub fn spawn(dir: &Path, keeper: Option<OwnedFd>) -> Result<Connection> {
    spawn_as(ARGUMENT, dir, keeper)
}

/// Starts the monitor of a further process, whose directory is `dir` (with `exec.json`), and gives its first connection.
pub fn spawn_exec(dir: &Path) -> Result<Connection> {
    spawn_as(crate::exec::ARGUMENT, dir, None)
}

fn spawn_as(argument: &str, dir: &Path, stdout: Option<OwnedFd>) -> Result<Connection> {
    let (ours, theirs) = sys::socket::stream_pair().context(|| "cannot make a socket pair".into())?;
    let binary = sys::binary::protected().context(|| "cannot protect this program from its containers".into())?;
    let spawned = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()))
        .arg0("tare")
        .arg(argument)
        .arg(dir)
        .stdin(Stdio::from(theirs))
        .stdout(stdout.map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::null())
        .current_dir("/")
        .env("GLIBC_TUNABLES", ALLOCATOR)
        .spawn();
    spawned.context(|| "cannot start a monitor".into())?;
    Ok(Connection::new(ours))
}
