//! The program's three streams: pipes or a terminal, the program's ends and ours.

use std::os::fd::OwnedFd;

use runtime::{Stdio, Terminal};
use stdx::{Context, Error, Result};

use crate::log::Stream;

/// One of the program's output streams, or its terminal.
pub(crate) struct Output {
    pub(crate) fd: OwnedFd,
    pub(crate) stream: Stream,
    /// Whether `fd` is a terminal, which is also its input.
    pub(crate) terminal: bool,
}

/// What streams a program gets.
pub(crate) struct Wanted {
    pub(crate) terminal: bool,
    /// The terminal's first size; 0: unknown.
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    /// Without a terminal: its input is a pipe, and not at its end from the start.
    pub(crate) stdin: bool,
    /// The host's id of the container's root: a program may open `/dev/stdout` again only if it owns the pipe.
    pub(crate) owner: u32,
}

/// Our ends of the program's streams.
pub(crate) struct Ends {
    stdin: Option<OwnedFd>,
    outputs: Vec<Output>,
}

impl Ends {
    /// With a terminal, both directions are its one descriptor.
    pub(crate) fn join(self, terminal: Option<&OwnedFd>) -> Result<(Option<OwnedFd>, Vec<Output>)> {
        let Some(terminal) = terminal else { return Ok((self.stdin, self.outputs)) };
        let copy = || -> Result<OwnedFd> {
            let fd = terminal.try_clone().context(|| "cannot hold the terminal".into())?;
            rustix::io::ioctl_fionbio(&fd, true).context(|| "cannot use the terminal".into())?;
            Ok(fd)
        };
        Ok((Some(copy()?), vec![Output { fd: copy()?, stream: Stream::Stdout, terminal: true }]))
    }
}

/// Makes the streams: what the program is given, and what is kept.
pub(crate) fn make(wanted: &Wanted) -> Result<(Stdio, Ends)> {
    if wanted.terminal {
        let stdio = Stdio::Terminal(Terminal { rows: wanted.rows, columns: wanted.columns, plain_newlines: false });
        return Ok((stdio, Ends { stdin: None, outputs: Vec::new() }));
    }
    let what = || "cannot make the program's streams".to_owned();
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(what);
    let ours = |fd: OwnedFd| rustix::io::ioctl_fionbio(&fd, true).map(|()| fd).context(what);
    let (stdin, our_stdin) = match wanted.stdin {
        true => {
            let (read, write) = pipe()?;
            (read, Some(ours(write)?))
        }
        false => (open_null()?, None),
    };
    let mut files = vec![stdin];
    let mut outputs = Vec::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (read, write) = pipe()?;
        files.push(write);
        outputs.push(Output { fd: ours(read)?, stream, terminal: false });
    }
    if wanted.owner != 0 {
        for file in files.iter().filter(|file| sys::root::file_type(file).is_ok_and(|kind| kind.is_fifo())) {
            rustix::fs::fchown(file, Some(rustix::fs::Uid::from_raw(wanted.owner)), None).context(what)?;
        }
    }
    let files: [OwnedFd; 3] = files.try_into().map_err(|_| Error::invalid("three streams are made"))?;
    Ok((Stdio::Files(files), Ends { stdin: our_stdin, outputs }))
}

pub(crate) fn open_null() -> Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).context(|| "cannot open \"/dev/null\"".into())
}
