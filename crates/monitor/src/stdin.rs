//! The program's standard input: what clients send, passed on as fast as the program reads.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::Errno;

/// The writing end of the program's standard input, and what it has not taken yet.
#[derive(Debug)]
pub(crate) struct Stdin {
    /// `None` once closed.
    fd: Option<OwnedFd>,
    pending: VecDeque<u8>,
    ending: bool,
    /// A terminal has no end of input that could be passed on by closing.
    terminal: bool,
}

impl Stdin {
    /// `fd` is non-blocking.
    pub(crate) fn new(fd: Option<OwnedFd>, terminal: bool) -> Self {
        Self { fd, pending: VecDeque::new(), ending: false, terminal }
    }

    /// Takes bytes from a client and writes what the program takes now.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.fd.is_some() && !self.ending {
            self.pending.extend(bytes);
            self.flush();
        }
    }

    /// No more will come.
    pub(crate) fn end(&mut self) {
        if !self.terminal {
            self.ending = true;
            self.flush();
        }
    }

    /// Writes what is pending, as far as the program takes it.
    pub(crate) fn flush(&mut self) {
        let Some(fd) = &self.fd else { return };
        while !self.pending.is_empty() {
            match rustix::io::write(fd, self.pending.as_slices().0) {
                Ok(len) => drop(self.pending.drain(..len)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The program reads no more (EPIPE) or is gone.
                Err(_) => {
                    self.fd = None;
                    break;
                }
            }
        }
        self.pending = VecDeque::new();
        if self.ending {
            self.fd = None;
        }
    }

    /// Whether clients should wait with more.
    pub(crate) fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The descriptor to wait for, when something is pending.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }
}
