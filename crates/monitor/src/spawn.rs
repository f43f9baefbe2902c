//! Starting a monitor.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stdx::{Context, Result};
use sys::mount::{Attributes, attribute, clone_path, set_attributes};

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
pub fn spawn(dir: &Path) -> Result<Connection> {
    let (ours, theirs) = sys::socket::stream_pair().context(|| "cannot make a socket pair".into())?;
    let binary = protected_binary();
    let program = match &binary {
        Some(tree) => PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd())),
        None => PathBuf::from("/proc/self/exe"),
    };
    let spawned = Command::new(program)
        .arg0("tare")
        .arg(ARGUMENT)
        .arg(dir)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .env("GLIBC_TUNABLES", ALLOCATOR)
        .spawn();
    spawned.context(|| "cannot start a monitor".into())?;
    Ok(Connection::new(ours))
}

/// This binary behind a read-only mount of its own: a container that gets hold of `/proc/PID/exe` of its monitor or of
/// its init before exec cannot open it for writing. Without the right to mount, it is executed as it is.
fn protected_binary() -> Option<OwnedFd> {
    let path = std::fs::read_link("/proc/self/exe").ok()?;
    let tree = clone_path(&path, false).ok()?;
    set_attributes(&tree, &Attributes { set: attribute::RDONLY, ..Attributes::default() }, false).ok()?;
    Some(tree)
}
