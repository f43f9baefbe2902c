//! One check that is being executed.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use stdx::{Context, Result, id};

use super::{Check, MAX_OUTPUT, TEMPLATE};
use crate::client::Connection;
use crate::exec;
use crate::protocol::{Event, Request};

/// A check whose process is on its way.
pub(super) struct Probe {
    connection: Connection,
    output: Vec<u8>,
    start: Timestamp,
    /// When it has taken too long.
    deadline: Instant,
    killed: bool,
}

impl Probe {
    /// Executes the check of the container whose run directory is `dir`.
    pub(super) fn begin(dir: &Path, timeout: Duration) -> Result<Self> {
        let (start, deadline) = (Timestamp::now(), Instant::now() + timeout);
        let what = || "cannot execute the health check".to_owned();
        let home = dir.join("exec").join(id::random_hex(32));
        DirBuilder::new().recursive(true).mode(0o711).create(&home).context(what)?;
        exec::Config::link(&dir.join(TEMPLATE), &home)?;
        let (ours, theirs) = sys::socket::stream_pair().context(what)?;
        // This process executes a protected file, and so does what executes the same.
        Command::new("/proc/self/exe")
            .arg0("tare")
            .arg(exec::ARGUMENT)
            .arg(&home)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(what)?;
        let connection = Connection::new(ours);
        let mut probe = Self { connection, output: Vec::new(), start, deadline, killed: false };
        probe.connection.queue(&Request::Attach { stdin: false, stdout: true, stderr: true })?;
        probe.connection.queue(&Request::Start)?;
        Ok(probe)
    }

    /// Readable when there is something for [`Self::read`].
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// How long it may still take. `None`: it has been killed already.
    pub(super) fn left(&self) -> Option<Duration> {
        (!self.killed).then(|| self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Kills it with whatever it has started in its session.
    pub(super) fn kill(&mut self) {
        self.killed = true;
        // One that has ended is fine.
        let _ = self.connection.queue(&Request::KillAll);
    }

    /// Reads what has come; gives the exit code if it has ended.
    pub(super) fn read(&mut self) -> Option<i32> {
        let alive = self.connection.fill().unwrap_or(false);
        while let Ok(Some(event)) = self.connection.pending() {
            match event {
                Event::Stdout(bytes) | Event::Stderr(bytes) => self.keep(&bytes),
                Event::Exited(code) => return Some(code),
                Event::Failed(failed) => {
                    self.keep(failed.message.as_bytes());
                    return Some(-1);
                }
                _ => {}
            }
        }
        (!alive).then_some(-1)
    }

    /// One byte more than is shown tells that there was more.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (MAX_OUTPUT + 1).saturating_sub(self.output.len());
        self.output.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What is to be remembered of it. Its monitor has nothing left to do, and is reaped as every child of this process.
    pub(super) fn end(self, exit_code: i32, timeout: Duration) -> Check {
        let (exit_code, output) = match self.killed {
            true => (-1, format!("Health check exceeded timeout ({timeout:?})")),
            false if self.output.len() > MAX_OUTPUT => (exit_code, lossy(&self.output[..MAX_OUTPUT]) + "..."),
            false => (exit_code, lossy(&self.output)),
        };
        Check { start: self.start, end: Timestamp::now(), exit_code, output }
    }

    /// Lets its process be: it ends with the container.
    pub(super) fn abandon(mut self) {
        self.kill();
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
