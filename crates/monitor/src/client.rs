//! The engine's end of `control.sock`.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use stdx::{Context, Result};

use sys::socket::{SocketType, connect_in};

use crate::config::SOCKET;
use crate::protocol::{Decoder, Event, Request};

/// A connection to a monitor.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    unsent: Vec<u8>,
}

impl Connection {
    /// Connects to the monitor whose run directory is `dir`.
    ///
    /// # Errors
    /// [`stdx::Kind::NotFound`] or a refused connection if there is no monitor.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(SOCKET);
        let connect = || -> sys::Result<OwnedFd> {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
            let dir = rustix::fs::open(dir, flags, rustix::fs::Mode::empty())?;
            connect_in(dir.as_fd(), SOCKET, SocketType::STREAM)
        };
        let socket = connect().context(|| format!("cannot reach the monitor at {path:?}"))?;
        Ok(Self::new(socket))
    }

    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { stream: UnixStream::from(socket), decoder: Decoder::default(), unsent: Vec::new() }
    }

    /// Says `request`, waiting while the monitor is busy.
    pub fn send(&mut self, request: &Request) -> Result<()> {
        // Behind what is still unsent: a frame begun must be ended.
        self.unsent.extend_from_slice(&request.encode());
        let unsent = std::mem::take(&mut self.unsent);
        self.stream.write_all(&unsent).context(|| "cannot write to the monitor".into())
    }

    /// Says `request` as far as the monitor listens now, and keeps the rest for [`Self::flush`].
    pub fn queue(&mut self, request: &Request) -> Result<()> {
        self.unsent.extend_from_slice(&request.encode());
        self.flush()
    }

    /// Whether something is kept.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what is kept, without waiting.
    pub fn flush(&mut self) -> Result<()> {
        use rustix::net::SendFlags;
        let mut sent = 0;
        while sent < self.unsent.len() {
            match rustix::net::send(&self.stream, &self.unsent[sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(len) => sent += len,
                Err(sys::Errno::INTR) => {}
                Err(sys::Errno::AGAIN) => break,
                // The monitor has ended: what it said last is still to be read.
                Err(sys::Errno::PIPE | sys::Errno::CONNRESET) => sent = self.unsent.len(),
                Err(errno) => return Err(errno).context(|| "cannot write to the monitor".into()),
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }

    /// Waits for the next event. `None`: the monitor is gone.
    pub fn receive(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.decoder.event()? {
                return Ok(Some(event));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads what has arrived (waits if nothing has) for [`Self::pending`]. `false`: the monitor is gone.
    pub fn fill(&mut self) -> Result<bool> {
        let mut buffer = [0; 32 << 10];
        let len = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break 0,
                result => break result.context(|| "cannot read from the monitor".into())?,
            }
        };
        self.decoder.push(&buffer[..len]);
        Ok(len > 0)
    }

    /// The next event that has arrived whole.
    pub fn pending(&mut self) -> Result<Option<Event>> {
        self.decoder.event()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
