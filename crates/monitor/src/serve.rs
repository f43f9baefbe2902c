//! The monitor's life: make the container, wait for the start, move streams until the program ends, write down how.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime::bundle::Bundle;
use runtime::cgroup::{self, Cgroup};
use runtime::create::{CreateError, Created, Started};
use runtime::{Config as RuntimeConfig, Stdio};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SocketFlags;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use stdx::flock::Flock;
use stdx::{Context, Error, Result};
use sys::Errno;
use sys::socket::SocketType;

use crate::config::{Config, SOCKET, lock_path};
use crate::log::{Log, Stream};
use crate::output::Client;
use crate::protocol::{Event, Failed, Ready, Request};
use crate::state::{Exit, Process, State};
use crate::stdin::Stdin;

/// Bytes read at a time: a pipe holds as many.
const CHUNK: usize = 64 << 10;
/// Large enough for the allocator to map it by itself, so that only the pages that were ever used exist.
const BUFFER: usize = 256 << 10;

/// How long clients have to say whether they clean up.
const GOODBYE: Duration = Duration::from_secs(10);

/// A process that ends without closing its streams to everybody (it passed them to somebody outside) is not waited for
/// longer than it takes to read what is there.
const DRAIN_ROUNDS: usize = 1024;

/// Runs the monitor whose run directory is `dir`. Standard input is the first client's connection.
///
/// Returns when everything is over; the caller then executes what [`Outcome`] says.
pub fn main(dir: &Path) -> Result<Outcome> {
    // Whoever waits for the end of a pipe of our starter's must not wait for us.
    sys::fds::close_inherited_from(3).context(|| "cannot close the descriptors".into())?;
    // Executed through a descriptor, this process would go by that number in process lists.
    let _ = rustix::thread::set_name(c"tare");
    let first = sys::fds::take_inherited(0).ok_or_else(|| Error::invalid("a monitor is started by the engine"))?;
    // Number 0 is free again, and the next file opened would get it: the program's own streams must not be confused.
    let null = open_null()?;
    let first = rustix::io::fcntl_dupfd_cloexec(&first, 3).context(|| "cannot keep the first connection".into())?;
    sys::fds::inherit_as(null.as_fd(), 0).context(|| "cannot close standard input".into())?;
    rustix::io::ioctl_fionbio(&first, true).context(|| "cannot use the first connection".into())?;
    let mut first = Client::new(first);
    let config = Config::load(dir)?;
    let lock = lock_path(dir);
    let lock = Flock::try_exclusive(&lock)?
        .ok_or_else(|| Error::conflict(format!("container {} has a monitor already", config.id)))?;
    let state = config.state.clone();
    match prepare(dir, config) {
        Ok((monitor, created)) => monitor.run(created, first, lock, dir),
        Err(failure) => {
            let failed = failure.failed();
            let (exit_code, error) = (failed.exit_code, failed.message.clone());
            // The client hears it in any case.
            let _ = State::Failed { exit_code, error, at: Timestamp::now() }.save(&state);
            tell(&mut first, &Event::Failed(failed));
            remove_run_dir(dir);
            Ok(Outcome::Done)
        }
    }
}

/// A container without a process has no live side. Renamed first, so that a start that follows at once makes its own;
/// the lock in it is held until this process ends, so that such a start waits.
fn remove_run_dir(dir: &Path) {
    let gone = dir.with_file_name(format!(".{}", dir.file_name().unwrap_or_default().to_string_lossy()));
    if std::fs::rename(dir, &gone).is_ok() {
        // What cannot be removed is removed with the container, or by the next boot.
        let _ = std::fs::remove_dir_all(gone);
    }
}

/// What is left to do when a monitor is finished.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Done,
    /// Execute this binary with these arguments.
    Execute(Vec<String>),
}

/// Sends to a client that may be slow, waiting for it.
fn tell(client: &mut Client, event: &Event) {
    let mut alive = client.send(event);
    while alive && client.has_outgoing() {
        let _ = poll(&mut [PollFd::new(&*client, PollFlags::OUT)], None);
        alive = client.flush();
    }
}

struct Failure {
    exit_code: i32,
    error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { exit_code: 125, error }
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::ProgramNotFound(error) => Self { exit_code: 127, error },
            CreateError::ProgramNotExecutable(error) => Self { exit_code: 126, error },
            CreateError::Setup(error) => Self { exit_code: 125, error },
        }
    }
}

impl Failure {
    fn failed(&self) -> Failed {
        Failed { exit_code: self.exit_code, message: self.error.to_string() }
    }
}

/// A monitor with its container made and its socket open.
struct Monitor {
    config: Config,
    cgroup: Box<dyn Cgroup>,
    listener: OwnedFd,
    stdin: Stdin,
    outputs: Vec<Output>,
    log: Option<Log>,
    clients: Vec<Client>,
    process: Process,
    own_pids: bool,
    /// A client has said that it will clean up.
    bye: bool,
    /// Tells of want of memory in time, where the group is gone before it can be asked.
    oom_notice: Option<File>,
    oom_killed: bool,
    /// It was short of memory. The kernel tells of the kill a moment later, and by then the group may be gone.
    was_short: bool,
}

/// One of the program's output streams, or its terminal.
struct Output {
    fd: OwnedFd,
    stream: Stream,
    /// Whether `fd` is a terminal, which is also its input.
    terminal: bool,
}

fn prepare(dir: &Path, config: Config) -> std::result::Result<(Monitor, Created), Failure> {
    // A session of our own: the terminal that started us sends us nothing.
    let _ = rustix::process::setsid();
    // Ends only with its container. The front that started it may be interrupted, this one not.
    [libc_signal::HUP, libc_signal::INT, libc_signal::QUIT, libc_signal::TERM]
        .into_iter()
        .for_each(sys::signal::ignore);
    sys::process::become_subreaper().context(|| "cannot adopt orphans".into())?;
    let bundle = Bundle::load(dir)?;
    let listener = listen(dir)?;
    let cgroup = cgroup::at(&config.cgroup)?;
    let (stdio, ends) = streams(&config, &bundle)?;
    let created = runtime::create(&RuntimeConfig {
        spec: &bundle.spec,
        bundle: &bundle.dir,
        root: &config.root,
        default_filter: config.default_filter,
        user: config.user.as_deref(),
        groups: &config.groups,
        cgroup: cgroup.as_ref(),
        stdio,
        die_with_creator: true,
        start_socket: None,
        preserve_fds: 0,
        keyring: Some(runtime::keyring::name(&config.id)),
        no_pivot: false,
        state: None,
    })?;
    let (stdin, outputs) = ends.join(&created)?;
    let process = Process::current(created.pid)?;
    let log = config.log.clone().map(Log::open).transpose().context(|| "cannot open the container's log".into())?;
    let own_pids = has_own_pids(&bundle);
    let stdin = Stdin::new(stdin, config.terminal);
    let monitor = Monitor {
        config,
        oom_notice: cgroup.oom_notice(),
        cgroup,
        listener,
        stdin,
        outputs,
        log,
        clients: Vec::new(),
        process,
        own_pids,
        bye: false,
        oom_killed: false,
        was_short: false,
    };
    Ok((monitor, created))
}

/// The signals a terminal or an administrator ends ordinary programs with.
mod libc_signal {
    pub(super) const HUP: i32 = 1;
    pub(super) const INT: i32 = 2;
    pub(super) const QUIT: i32 = 3;
    pub(super) const TERM: i32 = 15;
}

fn has_own_pids(bundle: &Bundle) -> bool {
    use oci::runtime_spec::NamespaceType;
    let namespaces = bundle.spec.linux.as_ref().map_or(&[][..], |linux| &linux.namespaces);
    namespaces.iter().any(|namespace| namespace.typ == NamespaceType::Pid && namespace.path.is_none())
}

fn open_null() -> Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).context(|| "cannot open \"/dev/null\"".into())
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

/// Our ends of the program's streams.
struct Ends {
    stdin: Option<OwnedFd>,
    outputs: Vec<Output>,
}

impl Ends {
    /// With a terminal, both directions are its one descriptor.
    fn join(self, created: &Created) -> Result<(Option<OwnedFd>, Vec<Output>)> {
        let Some(terminal) = &created.terminal else { return Ok((self.stdin, self.outputs)) };
        let copy = || -> Result<OwnedFd> {
            let fd = terminal.try_clone().context(|| "cannot hold the terminal".into())?;
            rustix::io::ioctl_fionbio(&fd, true).context(|| "cannot use the terminal".into())?;
            Ok(fd)
        };
        Ok((Some(copy()?), vec![Output { fd: copy()?, stream: Stream::Stdout, terminal: true }]))
    }
}

fn streams(config: &Config, bundle: &Bundle) -> Result<(Stdio, Ends)> {
    if config.terminal {
        let stdio = Stdio::Terminal { rows: config.rows, columns: config.columns };
        return Ok((stdio, Ends { stdin: None, outputs: Vec::new() }));
    }
    let what = || "cannot make the program's streams".to_owned();
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(what);
    let owner = pipe_owner(bundle);
    let ours = |fd: OwnedFd| rustix::io::ioctl_fionbio(&fd, true).map(|()| fd).context(what);
    let (stdin, our_stdin) = match config.stdin {
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
    if owner != 0 {
        for file in files.iter().filter(|file| sys::root::file_type(file).is_ok_and(|kind| kind.is_fifo())) {
            rustix::fs::fchown(file, Some(rustix::fs::Uid::from_raw(owner)), None).context(what)?;
        }
    }
    let files: [OwnedFd; 3] = files.try_into().map_err(|_| Error::invalid("three streams are made"))?;
    Ok((Stdio::Files(files), Ends { stdin: our_stdin, outputs }))
}

/// The host's id of the container's root: a program may open `/dev/stdout` again only if it owns the pipe.
fn pipe_owner(bundle: &Bundle) -> u32 {
    let Some(linux) = &bundle.spec.linux else { return 0 };
    let uid = bundle.spec.process.as_ref().map_or(0, |process| process.user.uid);
    runtime::userns::to_host(&linux.uid_mappings, uid)
}

impl Monitor {
    /// `lock` is held for life; the kernel releases it however this process ends.
    fn run(mut self, created: Created, first: Client, lock: Flock, dir: &Path) -> Result<Outcome> {
        let outcome = self.serve(created, first);
        // With a removal to follow, that takes the run directory too.
        if !matches!(outcome, Ok(Outcome::Execute(_))) && !self.bye {
            remove_run_dir(dir);
        }
        drop(lock);
        outcome
    }

    fn serve(&mut self, created: Created, first: Client) -> Result<Outcome> {
        State::Created { process: self.process }.save(&self.config.state)?;
        let ready = Event::Ready(Ready { pid: created.pid, warnings: created.warnings.clone() });
        self.clients.push(first);
        self.broadcast(&ready);
        if !self.wait_for_start() {
            // Nobody is left who could start it.
            drop(created);
            let _ = self.cgroup.kill();
            let _ = self.cgroup.remove();
            let _ = std::fs::remove_file(&self.config.state);
            return Ok(self.outcome());
        }
        match created.start() {
            Ok(started) => self.live(started),
            Err(error) => {
                let failed = Failure::from(error).failed();
                let _ = self.cgroup.remove();
                let (exit_code, error) = (failed.exit_code, failed.message.clone());
                State::Failed { exit_code, error, at: Timestamp::now() }.save(&self.config.state)?;
                self.clients.iter_mut().for_each(|client| tell(client, &Event::Failed(failed.clone())));
                Ok(Outcome::Done)
            }
        }
    }

    /// Serves clients until one says start. `false`: the first one has left without.
    fn wait_for_start(&mut self) -> bool {
        let mut buffer = vec![0; BUFFER];
        loop {
            let Some(client) = self.clients.first_mut() else { return false };
            let _ = poll(&mut [PollFd::new(&*client, PollFlags::IN)], None);
            if !client.fill(&mut buffer) {
                return false;
            }
            loop {
                let Ok(request) = self.clients[0].request() else { return false };
                match request {
                    Some(Request::Start) => return true,
                    Some(request) => self.answer(0, request, None),
                    None => break,
                }
            }
        }
    }

    /// From the start of the program to its end.
    fn live(&mut self, started: Started) -> Result<Outcome> {
        let started_at = Timestamp::now();
        State::Running { process: self.process, started_at }.save(&self.config.state)?;
        self.broadcast(&Event::Started);
        let mut buffer = vec![0; BUFFER];
        let buffer = &mut buffer[..CHUNK];
        // What was said in one breath with the start.
        self.serve_clients(buffer, &started.pidfd, &[]);
        sys::process::slim_down();
        while !self.wait(&started.pidfd, buffer) {}
        let exit = self.bury(&started, started_at);
        self.drain(buffer);
        State::Exited(exit.clone()).save(&self.config.state)?;
        self.broadcast(&Event::Exited(exit.exit_code));
        // Published; now what takes time. The root's mount goes first: its last user is gone.
        drop(started);
        // What cannot be removed now is found and removed with the container.
        let _ = self.cgroup.remove();
        self.say_goodbye(buffer);
        Ok(self.outcome())
    }

    /// Waits for something to happen and handles it. `true`: the program has ended.
    fn wait(&mut self, pidfd: &OwnedFd, buffer: &mut [u8]) -> bool {
        let full = self.clients.iter().any(Client::is_full);
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN), PollFd::new(pidfd, PollFlags::IN)];
        let stdin = self.stdin.fd().filter(|_| self.stdin.is_full());
        if let Some(stdin) = &stdin {
            fds.push(PollFd::from_borrowed_fd(*stdin, PollFlags::OUT));
        }
        let oom_notice = self.oom_notice.as_ref();
        fds.extend(oom_notice.map(|file| PollFd::new(file, PollFlags::PRI)));
        let outputs = if full { 0 } else { self.outputs.len() };
        fds.extend(self.outputs[..outputs].iter().map(|output| PollFd::new(&output.fd, PollFlags::IN)));
        for client in &self.clients {
            // A client that writes faster than the program reads waits, and so is not listened to.
            let mut interest = if client.stdin && self.stdin.is_full() { PollFlags::empty() } else { PollFlags::IN };
            interest.set(PollFlags::OUT, client.has_outgoing());
            fds.push(PollFd::new(client, interest));
        }
        if poll(&mut fds, None).is_err() {
            // Interrupted.
            return false;
        }
        let happened: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let mut events = happened.into_iter();
        let none = PollFlags::empty();
        let (listener, ended) = (events.next().unwrap_or(none), events.next().unwrap_or(none));
        if stdin.is_some() {
            events.next();
        }
        if oom_notice.is_some() && events.next().is_some_and(|events| !events.is_empty()) {
            self.note_oom();
        }
        let from_outputs: Vec<bool> = events.by_ref().take(outputs).map(|events| !events.is_empty()).collect();
        let from_clients: Vec<PollFlags> = events.collect();
        self.stdin.flush();
        self.read_outputs(&from_outputs, buffer);
        self.serve_clients(buffer, pidfd, &from_clients);
        if !listener.is_empty() {
            self.accept();
        }
        !ended.is_empty()
    }

    /// The file is read to the end, for it to tell of the next time; one that cannot be read is gone.
    fn note_oom(&mut self) {
        let Some(file) = &mut self.oom_notice else { return };
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut Vec::new()));
        self.oom_killed |= self.cgroup.oom_kills() > 0;
        self.was_short |= self.cgroup.shortages() > 0;
        if self.oom_killed || read.is_err() {
            self.oom_notice = None;
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            self.clients.push(Client::new(socket));
        }
    }

    /// Reads once from each output that has something; one that is at its end is closed.
    fn read_outputs(&mut self, ready: &[bool], buffer: &mut [u8]) {
        let mut remaining = Vec::with_capacity(self.outputs.len());
        for (index, output) in std::mem::take(&mut self.outputs).into_iter().enumerate() {
            let is_ready = ready.get(index).copied().unwrap_or(false);
            if !is_ready || self.read_output(&output, buffer) != Read::End {
                remaining.push(output);
            }
        }
        self.outputs = remaining;
    }

    fn read_output(&mut self, output: &Output, buffer: &mut [u8]) -> Read {
        let len = match rustix::io::read(&output.fd, &mut *buffer) {
            Ok(0) => return Read::End,
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => return Read::Nothing,
            // A terminal whose program side is closed by everybody. Somebody may open it again while the program lives.
            Err(Errno::IO) if output.terminal => return Read::End,
            Err(_) => return Read::End,
        };
        let bytes = &buffer[..len];
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
    fn serve_clients(&mut self, buffer: &mut [u8], pidfd: &OwnedFd, events: &[PollFlags]) {
        let mut left_stdin = false;
        let mut keep = Vec::with_capacity(self.clients.len());
        for index in 0..self.clients.len() {
            let happened = events.get(index).copied().unwrap_or(PollFlags::empty());
            let client = &mut self.clients[index];
            let mut alive = !happened.contains(PollFlags::OUT) || client.flush();
            if alive && happened.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                alive = client.fill(buffer);
            }
            loop {
                match self.clients[index].request() {
                    Ok(Some(request)) => self.answer(index, request, Some(pidfd.as_fd())),
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
        if left_stdin && self.config.stdin_once {
            self.stdin.end();
        }
    }

    fn answer(&mut self, index: usize, request: Request, pidfd: Option<BorrowedFd<'_>>) {
        match request {
            Request::Attach { stdin, stdout, stderr } => self.clients[index].attach(stdin, stdout, stderr),
            Request::Stdin(bytes) => self.stdin.push(&bytes),
            Request::StdinEnd => self.stdin.end(),
            Request::Resize { rows, columns } => {
                if let Some(output) = self.outputs.iter().find(|output| output.terminal) {
                    // The terminal is closing: its size no longer matters.
                    let _ = sys::pty::resize(&output.fd, rows, columns);
                }
            }
            Request::Signal(number) => {
                let sent = pidfd.map_or(Err(Errno::SRCH), |pidfd| sys::process::kill_pidfd(pidfd, number));
                self.clients[index].send(&Event::Signalled(sent.map_or_else(Errno::raw_os_error, |()| 0)));
            }
            Request::Bye => self.bye = true,
            // It runs already.
            Request::Start => {}
        }
    }

    fn broadcast(&mut self, event: &Event) {
        self.clients.retain_mut(|client| client.send(event));
    }

    /// Reaps init and whoever it left behind.
    fn bury(&mut self, started: &Started, started_at: Timestamp) -> Exit {
        let status = waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED).ok().flatten();
        let exit_code = status.map_or(255, |status| {
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            status.exit_status().or(signal).unwrap_or(255)
        });
        if !self.own_pids {
            // Without a pid namespace the kernel does not end the rest with init.
            let _ = self.cgroup.kill();
        }
        while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
        let killed = exit_code == 128 + sys::signal::KILL;
        let perhaps = (killed || self.was_short) && self.cgroup.perhaps_oom_killed();
        let oom_killed = self.oom_killed || self.cgroup.oom_kills() > 0 || perhaps;
        Exit { exit_code, oom_killed, started_at, finished_at: Timestamp::now(), error: None }
    }

    /// Reads what the program wrote before it ended. Clients that are slow are not waited for: how the program ended is
    /// written down first, and what a pipe can still hold is little enough to keep for them.
    fn drain(&mut self, buffer: &mut [u8]) {
        for output in std::mem::take(&mut self.outputs) {
            for _ in 0..DRAIN_ROUNDS {
                if self.read_output(&output, buffer) != Read::Some {
                    break;
                }
            }
        }
        if let Some(log) = &mut self.log {
            // As in `read_output`.
            let _ = log.finish();
        }
    }

    fn flush_clients(&mut self) {
        let waiting = |client: &&Client| client.has_outgoing();
        let mut fds: Vec<PollFd<'_>> =
            self.clients.iter().filter(waiting).map(|client| PollFd::new(client, PollFlags::OUT)).collect();
        // Interrupted: the next round waits again.
        let _ = poll(&mut fds, None);
        self.clients.retain_mut(Client::flush);
    }

    /// Sends the rest to everybody, and hears whether the first client cleans up.
    fn say_goodbye(&mut self, buffer: &mut [u8]) {
        while self.clients.iter().any(Client::has_outgoing) {
            self.flush_clients();
        }
        // Who sees the end and has something to say says it; the others just leave. One that does neither, because it was
        // stopped, cannot keep the container from being removed.
        let deadline = Instant::now() + GOODBYE;
        while Instant::now() < deadline && self.config.cleanup.is_some() && !self.bye && !self.clients.is_empty() {
            let mut fds: Vec<PollFd<'_>> =
                self.clients.iter().map(|client| PollFd::new(client, PollFlags::IN)).collect();
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            let _ = poll(&mut fds, Some(&second));
            drop(fds);
            let mut bye = false;
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

    fn outcome(&mut self) -> Outcome {
        match self.config.cleanup.take() {
            Some(args) if !self.bye => Outcome::Execute(args),
            _ => Outcome::Done,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Read {
    Some,
    Nothing,
    End,
}
