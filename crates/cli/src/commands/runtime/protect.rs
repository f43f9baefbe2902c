//! What a process of this runtime must not take into a container: its own file within reach of writing, and descriptors
//! that its caller has left open.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use stdx::{Context, Error, Kind, Result};

use super::log::Log;

/// Tells a second execution from the first.
const MARK: &str = "_TARE_RUNTIME_PROTECTED";

/// To be called before this process opens anything that it keeps. Closes all but `inherited` descriptors from 3 on.
pub(super) fn close_others(inherited: u32, log: &Log) -> Result<()> {
    sys::fds::close_inherited_from(3 + inherited as i32).context(|| "cannot close what the caller left open".into())?;
    log.debug("this program's own file cannot be written from here on");
    Ok(())
}

/// Returns in a process whose own file cannot be written through it, executed again if need be with the same arguments.
pub(super) fn protect() -> Result<()> {
    let what = || "cannot protect the runtime's own file from the container".to_owned();
    if sys::binary::is_protected().context(what)? {
        return Ok(());
    }
    if std::env::var_os(MARK).is_some() {
        return Err(Error::new(Kind::Denied, format!("{}: it is still writable when executed again", what())));
    }
    let binary = sys::binary::protected().context(what)?;
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_else(|| OsString::from("tare"));
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    Err(command.arg0(name).args(args).env(MARK, "1").exec()).context(what)
}
