//! `tare runtime create`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use runtime::Created;
use runtime::bundle::Bundle;
use runtime::container::{self, Container, CreateOptions};
use stdx::Error;

use super::{Globals, protect, streams};
use crate::error::Failure;

/// Create a container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime create")]
struct Args {
    #[command(flatten)]
    create: CreateArgs,
}

/// What `create` and `run` share.
#[derive(clap::Args, Debug)]
pub(super) struct CreateArgs {
    /// Path to the root of the bundle directory
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// A socket that receives the terminal
    #[arg(long, value_name = "SOCKET")]
    pub(super) console_socket: Option<PathBuf>,
    /// A socket that receives a descriptor of init
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// A file to write the pid of init to
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Pass this many more descriptors to the container
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(super) preserve_fds: u32,
    /// Do not use pivot_root but chroot, for an initramfs
    #[arg(long)]
    no_pivot: bool,
    /// Do not create a new session keyring: the container has the caller's
    #[arg(long)]
    no_new_keyring: bool,
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    protect::protect()?;
    protect::close_others(streams::listen_fds() + args.create.preserve_fds, &globals.log)?;
    let (_, created) = create(globals, &args.create, true)?;
    globals.warn(&created.warnings);
    Ok(0)
}

/// Creates the container, hands its terminal over and writes its pid file.
pub(super) fn create(globals: &Globals, args: &CreateArgs, detached: bool) -> Result<(Container, Created), Failure> {
    let dir = std::path::absolute(&args.bundle).map_err(|_| Error::invalid("the bundle has no path"))?;
    let bundle = Bundle::load(&dir)?;
    let process = bundle.spec.process.clone().unwrap_or_default();
    streams::check_console(&process, args.console_socket.as_deref(), detached)?;
    let options = CreateOptions {
        id: args.id.clone(),
        now: jiff::Timestamp::now().to_string(),
        stdio: streams::stdio(&process, !detached && args.console_socket.is_none())?,
        listen_fds: streams::listen_fds(),
        preserve_fds: args.preserve_fds,
        new_keyring: !args.no_new_keyring,
        no_pivot: args.no_pivot,
        systemd: globals.systemd,
    };
    let trace: runtime::Trace<'_> = &|step| globals.log.debug(step);
    let (container, created) = container::create(&globals.root(), &bundle, options, trace).map_err(super::failure)?;
    let finish = || {
        if let (Some(socket), Some(terminal)) = (&args.console_socket, &created.terminal) {
            streams::send_terminal(socket, terminal)?;
        }
        if let Some(socket) = &args.pidfd_socket {
            streams::send_pidfd(socket, created.pidfd.as_fd())?;
        }
        streams::write_pid(args.pid_file.as_deref(), created.pid)
    };
    if let Err(error) = finish() {
        // The error that led here is the one to report.
        let _ = container.delete(true);
        return Err(error.into());
    }
    Ok((container, created))
}
