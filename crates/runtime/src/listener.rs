//! `SCMP_ACT_NOTIFY`: the descriptor on which the kernel reports a container's system calls reaches the agent that decides
//! about them (config-linux.md, "Seccomp" and "The Container Process State").
//!
//! The process that loads the filter may not be able to send the descriptor any more, since sending is a system call that
//! the filter may report, and nobody listens yet. So it says its number with a plain `write`, which may not be reported,
//! and whoever starts it takes a copy, sends that to the agent, and lets the process go on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime_spec::{ContainerProcessState, SECCOMP_FD_NAME, Seccomp, State, VERSION};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use stdx::{Context, Error, Result};

/// A process that has loaded a filter with a listener, as the process that starts it knows it.
pub(crate) struct Filtered<'a> {
    pub(crate) pid: i32,
    pub(crate) pidfd: BorrowedFd<'a>,
    /// The container's filter.
    pub(crate) seccomp: Option<&'a Seccomp>,
    /// The container.
    pub(crate) state: State,
}

impl Filtered<'_> {
    /// Sends the agent the listener that has this number in the process.
    pub(crate) fn pass_on(&self, number: i32) -> Result<()> {
        let seccomp = self.seccomp.ok_or_else(|| Error::unsupported("system calls can be reported to no agent"))?;
        let listener = sys::process::descriptor_of(self.pidfd, number)
            .context(|| "cannot take the seccomp listener from the container".into())?;
        let message = ContainerProcessState {
            oci_version: VERSION.into(),
            fds: vec![SECCOMP_FD_NAME.into()],
            pid: self.pid,
            metadata: seccomp.listener_metadata.clone(),
            state: self.state.clone(),
        };
        let message = serde_json::to_vec(&message).context(|| "cannot write the container's state".into())?;
        let path = &seccomp.listener_path;
        let agent =
            connect_to(Path::new(path)).context(|| format!("failed to connect with seccomp agent \"{path}\""))?;
        sys::socket::send_all(&agent, &message, &[listener.as_fd()])
            .context(|| format!("cannot send the seccomp listener to \"{path}\""))
    }
}

fn connect_to(path: &Path) -> sys::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}
