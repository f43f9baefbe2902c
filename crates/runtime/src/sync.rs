//! The messages between the process that creates a container and the container's init, over a pair of sockets that keep
//! message boundaries. The end of the stream is a message too: to init it says "give up", to the creator "executed".

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use stdx::{Context, Error, Kind, Result};
use sys::signal::SignalFd;
use sys::socket;

/// Longest message: an error sentence may quote a path of 4 KiB.
const MAX_MESSAGE: usize = 16 << 10;

/// From the creator to init.
#[derive(Debug)]
pub(crate) enum ToInit {
    /// Step 5 is done: id maps are written.
    Mapped,
    /// Step 6: detached mounts, in the order of the plan. Several messages if there are many.
    Trees(Vec<OwnedFd>),
    /// Step 6 is done.
    TreesEnd,
    /// Step 8: the creator's hooks have run. Init's pid on the host, for its own.
    Hooked(i32),
    /// Step 11: execute the program.
    Exec,
    /// Step 12: the agent has the listener.
    Heard,
}

/// From init to the creator.
#[derive(Debug)]
pub(crate) enum FromInit {
    /// Step 4: init is another process than was cloned, which has ended.
    Cloned(OwnedFd),
    /// Something was asked for that cannot be had here, and the container runs without.
    Warning(String),
    /// Step 8: everything is mounted; waiting for [`ToInit::Hooked`]. Only said if there are hooks.
    Mounted,
    /// Step 9: the engine's side of the terminal.
    Terminal(OwnedFd),
    /// Step 10: everything is made; waiting for [`ToInit::Exec`].
    Ready,
    /// Step 12: the filter reports calls on the descriptor of this number; waiting for [`ToInit::Heard`].
    Listener(i32),
    /// A step failed; init has ended.
    Failed(Failure),
}

/// Why init gave up.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What went wrong, for the command line's exit code.
    pub(crate) kind: FailureKind,
    /// The whole sentence.
    pub(crate) message: String,
}

/// What a failure means for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The program does not exist.
    ProgramNotFound,
    /// The program exists and cannot be executed.
    ProgramNotExecutable,
    /// Anything else, with its kind.
    Setup(Kind),
}

const KINDS: [Kind; 8] = [
    Kind::Invalid,
    Kind::NotFound,
    Kind::Conflict,
    Kind::Denied,
    Kind::Unsupported,
    Kind::NoSpace,
    Kind::Corrupt,
    Kind::Internal,
];

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { kind: FailureKind::Setup(error.kind()), message: error.to_string() }
    }
}

impl FailureKind {
    fn to_byte(self) -> u8 {
        match self {
            Self::ProgramNotFound => b'n',
            Self::ProgramNotExecutable => b'x',
            Self::Setup(kind) => KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1) as u8,
        }
    }

    fn from_byte(byte: u8) -> Self {
        match byte {
            b'n' => Self::ProgramNotFound,
            b'x' => Self::ProgramNotExecutable,
            index => Self::Setup(KINDS.get(usize::from(index)).copied().unwrap_or(Kind::Internal)),
        }
    }
}

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    /// The creator's end and init's end.
    pub(crate) fn pair() -> Result<(Self, Self)> {
        let (a, b) = socket::message_pair().context(|| "cannot make a socket pair".into())?;
        Ok((Self(a), Self(b)))
    }

    /// Waits for somebody to connect to a listening socket, or for a signal, which is an error.
    pub(crate) fn accept(listener: BorrowedFd<'_>, signals: &mut SignalFd) -> Result<Self> {
        use rustix::event::{PollFd, PollFlags, poll};
        let what = || "cannot wait for the start".to_owned();
        loop {
            let mut fds =
                [PollFd::new(&listener, PollFlags::IN), PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(sys::Errno::INTR) => continue,
                polled => polled.context(what)?,
            };
            let connected = !fds[0].revents().is_empty();
            if let Some(signal) = signals.read().context(what)? {
                return Err(Error::conflict(format!("ended by signal {signal} before its start")));
            }
            if connected {
                return rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC).map(Self).context(what);
            }
        }
    }

    /// Connects to the socket `name` in `dir`.
    pub(crate) fn connect(dir: &Path, name: &str) -> Result<Self> {
        use rustix::fs::{Mode, OFlags, open};
        let connect = || {
            let dir = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            socket::connect_in(dir.as_fd(), name, socket::SocketType::SEQPACKET)
        };
        connect().map(Self).context(|| format!("cannot reach the container's init in {dir:?}"))
    }

    /// Whether the other end is gone.
    pub(crate) fn is_closed(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
    }

    fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        socket::send(&self.0, bytes, fds).context(|| "cannot reach the other side of the container's start".into())
    }

    pub(crate) fn send_to_init(&self, message: &ToInit) -> Result<()> {
        match message {
            ToInit::Mapped => self.send(b"m", &[]),
            ToInit::Trees(fds) => {
                for chunk in fds.chunks(socket::MAX_FDS) {
                    let fds: Vec<BorrowedFd<'_>> = chunk.iter().map(AsFd::as_fd).collect();
                    self.send(b"t", &fds)?;
                }
                Ok(())
            }
            ToInit::TreesEnd => self.send(b"e", &[]),
            ToInit::Hooked(pid) => self.send(&[b"h", pid.to_ne_bytes().as_slice()].concat(), &[]),
            ToInit::Exec => self.send(b"x", &[]),
            ToInit::Heard => self.send(b"l", &[]),
        }
    }

    /// `None`: the creator is gone.
    pub(crate) fn receive_to_init(&self) -> Result<Option<ToInit>> {
        let (bytes, fds) = self.receive()?;
        Ok(match bytes.first() {
            Some(b'm') => Some(ToInit::Mapped),
            Some(b't') => Some(ToInit::Trees(fds)),
            Some(b'e') => Some(ToInit::TreesEnd),
            Some(b'h') => bytes[1..].try_into().ok().map(|pid| ToInit::Hooked(i32::from_ne_bytes(pid))),
            Some(b'x') => Some(ToInit::Exec),
            Some(b'l') => Some(ToInit::Heard),
            _ => None,
        })
    }

    pub(crate) fn send_from_init(&self, message: &FromInit) -> Result<()> {
        let text = |tag: &[u8], text: &str| {
            let len = text.len().min(MAX_MESSAGE - 2);
            self.send(&[tag, &text.as_bytes()[..len]].concat(), &[])
        };
        match message {
            FromInit::Warning(warning) => text(b"w", warning),
            FromInit::Terminal(master) => self.send(b"c", &[master.as_fd()]),
            FromInit::Cloned(pidfd) => self.send(b"p", &[pidfd.as_fd()]),
            FromInit::Mounted => self.send(b"m", &[]),
            FromInit::Ready => self.send(b"r", &[]),
            FromInit::Listener(number) => {
                let [a, b, c, d] = number.to_ne_bytes();
                // Neither memory is asked for nor another call made than the one that no filter may report.
                let written = rustix::io::write(&self.0, &[b'l', a, b, c, d]);
                written.map(drop).context(|| "cannot reach the other side of the container's start".into())
            }
            FromInit::Failed(failure) => text(&[b'f', failure.kind.to_byte()], &failure.message),
        }
    }

    /// `None`: init has executed the program, or ended without a word.
    pub(crate) fn receive_from_init(&self) -> Result<Option<FromInit>> {
        let (bytes, fds) = self.receive()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match bytes.as_slice() {
            [b'w', warning @ ..] => Some(FromInit::Warning(text(warning))),
            [b'c'] => fds.into_iter().next().map(FromInit::Terminal),
            [b'p'] => fds.into_iter().next().map(FromInit::Cloned),
            [b'm'] => Some(FromInit::Mounted),
            [b'r'] => Some(FromInit::Ready),
            [b'l', number @ ..] => number.try_into().ok().map(|n| FromInit::Listener(i32::from_ne_bytes(n))),
            [b'f', kind, message @ ..] => {
                Some(FromInit::Failed(Failure { kind: FailureKind::from_byte(*kind), message: text(message) }))
            }
            _ => None,
        })
    }

    fn receive(&self) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut buffer = vec![0; MAX_MESSAGE];
        // The other end died with our messages unread: that is told once, before what it has said itself.
        let received = match socket::receive(&self.0, &mut buffer) {
            Err(sys::Errno::CONNRESET) => socket::receive(&self.0, &mut buffer),
            received => received,
        };
        match received {
            Err(sys::Errno::CONNRESET) => Ok((Vec::new(), Vec::new())),
            result => {
                let (len, fds) = result.context(|| "cannot hear the other side of the container's start".into())?;
                buffer.truncate(len);
                Ok((buffer, fds))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_whole() {
        let (creator, init) = Channel::pair().unwrap();
        for kind in [FailureKind::ProgramNotFound, FailureKind::Setup(Kind::NoSpace), FailureKind::Setup(Kind::Invalid)]
        {
            init.send_from_init(&FromInit::Failed(Failure { kind, message: "cannot x".into() })).unwrap();
            let Some(FromInit::Failed(failure)) = creator.receive_from_init().unwrap() else { panic!("not a failure") };
            assert_eq!((failure.kind, failure.message.as_str()), (kind, "cannot x"));
        }
        drop(init);
        assert!(creator.receive_from_init().unwrap().is_none());
    }

    #[test]
    fn a_failure_is_heard_although_the_other_side_heard_nothing() {
        let (creator, init) = Channel::pair().unwrap();
        creator.send_to_init(&ToInit::Mapped).unwrap();
        let failure = Failure { kind: FailureKind::Setup(Kind::Denied), message: "cannot x".into() };
        init.send_from_init(&FromInit::Failed(failure)).unwrap();
        drop(init);
        assert!(creator.send_to_init(&ToInit::TreesEnd).is_err() && creator.is_closed());
        let Some(FromInit::Failed(failure)) = creator.receive_from_init().unwrap() else { panic!("not a failure") };
        assert_eq!(failure.message, "cannot x");
    }
}
