//! Between a program's streams, its log and its clients: one round of waiting and moving at a time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SocketFlags;
use stdx::{Context, Result};
use sys::Errno;
use sys::socket::SocketType;

use crate::config::SOCKET;
use crate::events::{Attributes, Teller};
use crate::log::{Log, Stream};
use crate::output::Client;
use crate::protocol::{Event, Request};
use crate::stdin::Stdin;
use crate::streams::Output;

/// Bytes read at a time: a pipe holds as many.
const CHUNK: usize = 64 << 10;
/// Large enough for the allocator to map it by itself, so that only the pages that were ever used exist.
const BUFFER: usize = 256 << 10;

/// How long clients have to say whether they clean up.
const GOODBYE: Duration = Duration::from_secs(10);

/// A process that ends without closing its streams to everybody (it passed them to somebody outside) is not waited for
/// longer than it takes to read what is there.
const DRAIN_ROUNDS: usize = 1024;

/// The clients of a monitor, and what goes between them and the program.
pub(crate) struct Hub {
    listener: OwnedFd,
    clients: Vec<Client>,
    stdin: Stdin,
    /// The input ends when a client that writes to it leaves.
    stdin_once: bool,
    outputs: Vec<Output>,
    log: Option<Log>,
    /// Tells of the terminal's new size.
    pub(crate) teller: Option<Teller>,
    buffer: Vec<u8>,
    /// A client has said that it will clean up.
    pub(crate) bye: bool,
    /// A client has said that the next end is wanted.
    pub(crate) end_wanted: bool,
}

/// What a round has seen beside the streams.
pub(crate) struct Round {
    /// The program has ended.
    pub(crate) ended: bool,
    /// The further descriptor has something.
    pub(crate) noticed: Vec<bool>,
}

#[derive(PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    End,
}

impl Hub {
    /// Opens the control socket in `dir`, for a program that has no streams yet.
    pub(crate) fn open(dir: &Path, first: Client) -> Result<Self> {
        Ok(Self {
            listener: listen(dir)?,
            clients: vec![first],
            stdin: Stdin::new(None, false),
            stdin_once: false,
            outputs: Vec::new(),
            log: None,
            teller: None,
            buffer: vec![0; BUFFER],
            bye: false,
            end_wanted: false,
        })
    }

    /// Takes on the program's streams.
    pub(crate) fn connect(
        &mut self,
        (stdin, outputs): (Option<OwnedFd>, Vec<Output>),
        stdin_once: bool,
        log: Option<Log>,
    ) {
        let terminal = outputs.iter().any(|output| output.terminal);
        self.stdin = Stdin::new(stdin, terminal);
        self.stdin_once = stdin_once;
        self.outputs = outputs;
        self.log = log;
    }

    /// No client is left.
    pub(crate) fn is_alone(&self) -> bool {
        self.clients.is_empty()
    }

    /// Says something to everybody.
    pub(crate) fn broadcast(&mut self, event: &Event) {
        self.clients.retain_mut(|client| client.send(event));
    }

    /// Says the last thing to everybody, waiting for those that are slow.
    pub(crate) fn tell_all(&mut self, event: &Event) {
        self.clients.iter_mut().for_each(|client| client.tell(event));
    }

    /// Serves the first client until it says start. `false`: it has left without.
    pub(crate) fn wait_for_start(&mut self) -> bool {
        loop {
            let Some(client) = self.clients.first_mut() else { return false };
            match client.request() {
                Ok(Some(Request::Start)) => return true,
                Ok(Some(request)) => {
                    self.answer(0, request, None);
                    continue;
                }
                Ok(None) => {}
                Err(_) => return false,
            }
            let _ = poll(&mut [PollFd::new(&*client, PollFlags::IN)], None);
            if !client.fill(&mut self.buffer) {
                return false;
            }
        }
    }

    /// Waits for something to happen, at most `timeout`, and handles what is the clients' and the streams'. `program` is the
    /// handle whose end is waited for, if there is one.
    pub(crate) fn round(
        &mut self,
        program: Option<BorrowedFd<'_>>,
        others: &[(BorrowedFd<'_>, PollFlags)],
        timeout: Option<Duration>,
    ) -> Round {
        let full = self.clients.iter().any(Client::is_full);
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        // With no program to wait for, the listener once more: then the numbers below are the same.
        let program_or_listener = program.unwrap_or(self.listener.as_fd());
        fds.push(PollFd::new(&program_or_listener, PollFlags::IN));
        fds.extend(others.iter().map(|(fd, interest)| PollFd::new(fd, *interest)));
        let stdin = self.stdin.fd().filter(|_| self.stdin.is_full());
        fds.extend(stdin.map(|stdin| PollFd::from_borrowed_fd(stdin, PollFlags::OUT)));
        let waits_for_stdin = stdin.is_some();
        let outputs = if full { 0 } else { self.outputs.len() };
        fds.extend(self.outputs[..outputs].iter().map(|output| PollFd::new(&output.fd, PollFlags::IN)));
        for client in &self.clients {
            // A client that writes faster than the program reads waits, and so is not listened to.
            let mut interest = if client.stdin && self.stdin.is_full() { PollFlags::empty() } else { PollFlags::IN };
            interest.set(PollFlags::OUT, client.has_outgoing());
            fds.push(PollFd::new(client, interest));
        }
        let timeout =
            timeout.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted.
            return Round { ended: false, noticed: vec![false; others.len()] };
        }
        let happened: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let some = |events: &PollFlags| !events.is_empty();
        let (head, rest) = happened.split_at(2);
        let (noticed, rest) = rest.split_at(others.len());
        let (_, rest) = rest.split_at(usize::from(waits_for_stdin));
        let (from_outputs, from_clients) = rest.split_at(outputs);
        self.stdin.flush();
        self.read_outputs(&from_outputs.iter().map(some).collect::<Vec<_>>());
        self.serve_clients(program, from_clients);
        if some(&head[0]) {
            self.accept();
        }
        Round { ended: program.is_some() && some(&head[1]), noticed: noticed.iter().map(some).collect() }
    }

    /// Handles what clients have said already, in one breath with the start.
    pub(crate) fn serve_early(&mut self, program: BorrowedFd<'_>) {
        self.serve_clients(Some(program), &[]);
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            self.clients.push(Client::new(socket));
        }
    }

    /// Reads once from each output that has something; one that is at its end is closed.
    fn read_outputs(&mut self, ready: &[bool]) {
        let mut remaining = Vec::with_capacity(self.outputs.len());
        for (index, output) in std::mem::take(&mut self.outputs).into_iter().enumerate() {
            let is_ready = ready.get(index).copied().unwrap_or(false);
            if !is_ready || self.read_output(&output) != Read::End {
                remaining.push(output);
            }
        }
        self.outputs = remaining;
    }

    fn read_output(&mut self, output: &Output) -> Read {
        let len = match rustix::io::read(&output.fd, &mut self.buffer[..CHUNK]) {
            Ok(0) => return Read::End,
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => return Read::Nothing,
            // A terminal whose program side is closed by everybody. Somebody may open it again while the program lives.
            Err(Errno::IO) if output.terminal => return Read::End,
            Err(_) => return Read::End,
        };
        let bytes = &self.buffer[..len];
        if let Some(log) = &mut self.log {
            // A full disk must not stop the program; what cannot be logged still reaches the clients.
            let _ = log.write(output.stream, bytes);
        }
        if self.clients.iter().any(|client| client.wants(output.stream)) {
            let event = match output.stream {
                Stream::Stdout => Event::Stdout(bytes.to_vec()),
                Stream::Stderr => Event::Stderr(bytes.to_vec()),
            };
            self.clients.retain_mut(|client| !client.wants(output.stream) || client.send(&event));
        }
        Read::Some
    }

    /// Handles what clients have said and sends what they are still to get. With no events given, only the former.
    fn serve_clients(&mut self, program: Option<BorrowedFd<'_>>, events: &[PollFlags]) {
        let mut left_stdin = false;
        let mut keep = Vec::with_capacity(self.clients.len());
        for index in 0..self.clients.len() {
            let happened = events.get(index).copied().unwrap_or(PollFlags::empty());
            let client = &mut self.clients[index];
            let mut alive = !happened.contains(PollFlags::OUT) || client.flush();
            if alive && happened.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                alive = client.fill(&mut self.buffer[..CHUNK]);
            }
            loop {
                match self.clients[index].request() {
                    Ok(Some(request)) => self.answer(index, request, program),
                    Ok(None) => break,
                    Err(_) => {
                        alive = false;
                        break;
                    }
                }
            }
            left_stdin |= !alive && self.clients[index].stdin;
            keep.push(alive);
        }
        let mut keep = keep.into_iter();
        self.clients.retain(|_| keep.next().unwrap_or(true));
        if left_stdin && self.stdin_once {
            self.stdin.end();
        }
    }

    fn answer(&mut self, index: usize, request: Request, program: Option<BorrowedFd<'_>>) {
        match request {
            Request::Attach { stdin, stdout, stderr } => self.clients[index].attach(stdin, stdout, stderr),
            Request::Stdin(bytes) => self.stdin.push(&bytes),
            Request::StdinEnd => self.stdin.end(),
            Request::Resize { rows, columns } => {
                if let Some(output) = self.outputs.iter().find(|output| output.terminal) {
                    // The terminal is closing: its size no longer matters.
                    let _ = sys::pty::resize(&output.fd, rows, columns);
                    let size = Attributes::default().with("height", rows).with("width", columns);
                    self.teller.iter().for_each(|teller| teller.tell("resize", size.clone()));
                }
            }
            Request::Signal(number) => {
                let sent = program.map_or(Err(Errno::SRCH), |pidfd| sys::process::kill_pidfd(pidfd, number));
                self.clients[index].send(&Event::Signalled(sent.map_or_else(Errno::raw_os_error, |()| 0)));
            }
            Request::KillAll => {
                // Not reaped by us, its number means nobody else. It may have ended.
                let _ = program.map(|pidfd| sys::process::pid_of(pidfd).and_then(sys::process::kill_group));
            }
            Request::EndWanted => self.end_wanted = true,
            Request::Bye => self.bye = true,
            // It runs already.
            Request::Start => {}
        }
    }

    /// Reads what the program wrote before it ended. Clients that are slow are not waited for: how the program ended is
    /// written down first, and what a pipe can still hold is little enough to keep for them.
    pub(crate) fn drain(&mut self) {
        for output in std::mem::take(&mut self.outputs) {
            for _ in 0..DRAIN_ROUNDS {
                if self.read_output(&output) != Read::Some {
                    break;
                }
            }
        }
        if let Some(log) = &mut self.log {
            // As in `read_output`.
            let _ = log.finish();
        }
    }

    /// Sends everybody what is left to be sent.
    pub(crate) fn finish_sending(&mut self) {
        while self.clients.iter().any(Client::has_outgoing) {
            let waiting = |client: &&Client| client.has_outgoing();
            let mut fds: Vec<PollFd<'_>> =
                self.clients.iter().filter(waiting).map(|client| PollFd::new(client, PollFlags::OUT)).collect();
            // Interrupted: the next round waits again.
            let _ = poll(&mut fds, None);
            self.clients.retain_mut(Client::flush);
        }
    }

    /// Hears whether a client cleans up. Who sees the end and has something to say says it; the others just leave. One that
    /// does neither, because it was stopped, cannot keep the container from being removed.
    pub(crate) fn wait_for_bye(&mut self) {
        let deadline = Instant::now() + GOODBYE;
        while Instant::now() < deadline && !self.bye && !self.clients.is_empty() {
            let mut fds: Vec<PollFd<'_>> =
                self.clients.iter().map(|client| PollFd::new(client, PollFlags::IN)).collect();
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            let _ = poll(&mut fds, Some(&second));
            drop(fds);
            let mut bye = false;
            let buffer = &mut self.buffer[..CHUNK];
            self.clients.retain_mut(|client| {
                let alive = client.fill(buffer);
                loop {
                    match client.request() {
                        Ok(Some(request)) => bye |= request == Request::Bye,
                        Ok(None) => return alive,
                        Err(_) => return false,
                    }
                }
            });
            self.bye |= bye;
        }
    }
}

fn listen(dir: &Path) -> Result<OwnedFd> {
    let make = || -> sys::Result<OwnedFd> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, rustix::fs::Mode::empty())?;
        let socket = sys::socket::listen_in(dir.as_fd(), SOCKET, SocketType::STREAM)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(socket)
    };
    make().context(|| format!("cannot open the control socket in {dir:?}"))
}
