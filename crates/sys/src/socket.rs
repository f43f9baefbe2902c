//! Local sockets that carry descriptors beside bytes.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub use rustix::net::SocketType;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, bind, connect, listen, recvmsg, sendmsg, socket_with, socketpair,
};

use crate::{Errno, Result};

/// The kernel's limit of descriptors in one message (`SCM_MAX_FD`).
pub const MAX_FDS: usize = 253;

/// A connected pair of sockets that keep message boundaries; close-on-exec.
pub fn message_pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// A connected pair of byte-stream sockets; close-on-exec.
pub fn stream_pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Opens a listening socket `name` in the directory `dir` is open on, usable by this user alone; one that was left there
/// is replaced. The path goes through the descriptor: an address holds 107 bytes, directories are longer.
pub fn listen_in(dir: BorrowedFd<'_>, name: &str, kind: SocketType) -> Result<OwnedFd> {
    match rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let bound = bind(&socket, &address_in(dir, name)?);
    rustix::process::umask(before);
    bound?;
    listen(&socket, 64)?;
    Ok(socket)
}

/// Connects to the socket `name` in the directory `dir` is open on.
pub fn connect_in(dir: BorrowedFd<'_>, name: &str, kind: SocketType) -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &address_in(dir, name)?)?;
    Ok(socket)
}

fn address_in(dir: BorrowedFd<'_>, name: &str) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

/// Sends one message, and copies of `fds` with it: at most [`MAX_FDS`].
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    send_some(socket, bytes, fds).map(drop)
}

fn send_some(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && (fds.len() > MAX_FDS || !control.push(SendAncillaryMessage::ScmRights(fds))) {
        return Err(Errno::TOOBIG);
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent,
        }
    }
}

/// Sends all of `bytes` over a byte stream, and copies of `fds` with the first of them.
pub fn send_all(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut fds = fds;
    let mut rest = bytes;
    while !rest.is_empty() {
        let sent = send_some(&socket, rest, fds)?;
        rest = &rest[sent..];
        fds = &[];
    }
    Ok(())
}

/// Receives one message into `buffer`; gives its length (0: the other end is closed) and the descriptors sent with it.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        match recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(message) => {
                let fds = control.drain().flat_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
                    _ => Vec::new(),
                });
                return Ok((message.bytes, fds.collect()));
            }
        }
    }
}
