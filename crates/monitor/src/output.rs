//! Clients: what each is still to be sent, and what each has said.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use stdx::Result;
use sys::Errno;

use crate::log::Stream;
use crate::protocol::{Decoder, Event, Request};

/// The program's output is not read while a client has this much waiting: then the program waits, as it would at a pipe.
const HIGH_WATER: usize = 256 << 10;

/// One connected client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    decoder: Decoder,
    outgoing: Vec<u8>,
    sent: usize,
    stdout: bool,
    stderr: bool,
    /// It attached to write to standard input.
    pub(crate) stdin: bool,
}

impl Client {
    /// A client on a non-blocking socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            outgoing: Vec::new(),
            sent: 0,
            stdout: false,
            stderr: false,
            stdin: false,
        }
    }

    pub(crate) fn attach(&mut self, stdin: bool, stdout: bool, stderr: bool) {
        (self.stdin, self.stdout, self.stderr) = (stdin, stdout, stderr);
    }

    pub(crate) fn wants(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    /// Sends what can be sent now and keeps the rest. `false`: the client is gone.
    pub(crate) fn send(&mut self, event: &Event) -> bool {
        self.outgoing.extend_from_slice(&event.encode());
        self.flush()
    }

    /// Sends to a client that may be slow, waiting for it.
    pub(crate) fn tell(&mut self, event: &Event) {
        let mut alive = self.send(event);
        while alive && self.has_outgoing() {
            let _ = poll(&mut [PollFd::new(&*self, PollFlags::OUT)], None);
            alive = self.flush();
        }
    }

    /// Sends what is kept. `false`: the client is gone.
    pub(crate) fn flush(&mut self) -> bool {
        while self.sent < self.outgoing.len() {
            match rustix::net::send(&self.socket, &self.outgoing[self.sent..], rustix::net::SendFlags::NOSIGNAL) {
                Ok(len) => self.sent += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        // Given back, not kept: an idle monitor weighs nothing.
        self.outgoing = Vec::new();
        self.sent = 0;
        true
    }

    /// Whether something is kept for this client.
    pub(crate) fn has_outgoing(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Whether so much is kept that the program has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.outgoing.len() - self.sent > HIGH_WATER
    }

    /// Reads what the client has said. `false`: it has left.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match rustix::net::recv(&self.socket, &mut *buffer, rustix::net::RecvFlags::empty()) {
            Ok((0, _)) => false,
            Ok((len, _)) => {
                self.decoder.push(&buffer[..len]);
                true
            }
            Err(errno) => matches!(errno, Errno::AGAIN | Errno::INTR),
        }
    }

    /// The next whole request.
    pub(crate) fn request(&mut self) -> Result<Option<Request>> {
        self.decoder.request()
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
