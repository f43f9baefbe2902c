//! The monitor's life: make the container, wait for the start, move streams until the program ends, write down how.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use network::Live;
use network::firewall::Firewall;
use runtime::Config as RuntimeConfig;
use runtime::bundle::Bundle;
use runtime::cgroup::{self, Cgroup};
use runtime::create::{CreateError, Created, Started};
use rustix::event::PollFlags;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use stdx::flock::Flock;
use stdx::{Context, Error, Result};
use sys::signal::SignalFd;

use crate::config::{Config, lock_path};
use crate::events::{Attributes, Teller};
use crate::health::watch::Watch;
use crate::health::{OnFailure, Status};
use crate::hub::Hub;
use crate::log::Log;
use crate::output::Client;
use crate::protocol::{Event, Failed, Ready};
use crate::restart::Restart;
use crate::state::{Exit, Process, State};
use crate::streams::{self, Output};

/// Runs the monitor whose run directory is `dir`. Standard input is the first client's connection.
///
/// Returns when everything is over; the caller then executes what [`Outcome`] says.
pub fn main(dir: &Path) -> Result<Outcome> {
    let first = take_first_client()?;
    let config = Config::load(dir)?;
    let lock = take_lock(dir, &config)?;
    let state = config.state.clone();
    become_monitor();
    let mut hub = Hub::open(dir, first)?;
    match prepare(dir, config, &mut hub) {
        Ok((monitor, created)) => monitor.run(created, hub, lock, dir),
        Err(failure) => {
            let failed = failure.failed();
            let (exit_code, error) = (failed.exit_code, failed.message.clone());
            // The client hears it in any case.
            let _ = State::Failed { exit_code, error, at: Timestamp::now() }.save(&state);
            hub.tell_all(&Event::Failed(failed));
            remove_run_dir(dir);
            Ok(Outcome::Done)
        }
    }
}

/// How long somebody who only looks may hold the lock, on a machine that is busy.
const LOOK: Duration = Duration::from_secs(5);

/// Whoever asks whether there is a monitor takes its lock for a moment, if it is free: so one attempt is not enough.
fn take_lock(dir: &Path, config: &Config) -> Result<Flock> {
    let end = Instant::now() + LOOK;
    loop {
        match Flock::try_exclusive(&lock_path(dir))? {
            Some(lock) => return Ok(lock),
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            None => return Err(Error::conflict(format!("container {} has a monitor already", config.id))),
        }
    }
}

/// Cuts this process off from its starter but for the connection on standard input.
pub(crate) fn take_first_client() -> Result<Client> {
    // Whoever waits for the end of a pipe of our starter's must not wait for us.
    sys::fds::close_inherited_from(3).context(|| "cannot close the descriptors".into())?;
    // Executed through a descriptor, this process would go by that number in process lists.
    let _ = rustix::thread::set_name(c"tare");
    let first = sys::fds::take_inherited(0).ok_or_else(|| Error::invalid("a monitor is started by the engine"))?;
    // Number 0 is free again, and the next file opened would get it: the program's own streams must not be confused.
    let null = streams::open_null()?;
    let first = rustix::io::fcntl_dupfd_cloexec(&first, 3).context(|| "cannot keep the first connection".into())?;
    sys::fds::inherit_as(null.as_fd(), 0).context(|| "cannot close standard input".into())?;
    rustix::io::ioctl_fionbio(&first, true).context(|| "cannot use the first connection".into())?;
    Ok(Client::new(first))
}

/// In a session of its own, where the terminal that started it sends it nothing, and ending only with its program: the
/// front that started it may be interrupted, a monitor not.
pub(crate) fn become_monitor() {
    let _ = rustix::process::setsid();
    [libc_signal::HUP, libc_signal::INT, libc_signal::QUIT, libc_signal::TERM]
        .into_iter()
        .for_each(sys::signal::ignore);
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
#[derive(Debug)]
pub enum Outcome {
    /// Nothing.
    Done,
    /// Execute this binary with these arguments.
    Execute(Vec<String>),
    /// Execute this program with these, to start the container again. The lock goes on being held.
    Restart { program: PathBuf, arguments: Vec<String>, lock: Flock },
}

/// A program that could not be started, with Docker's exit code for why.
pub(crate) struct Failure {
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
    pub(crate) fn failed(&self) -> Failed {
        Failed { exit_code: self.exit_code, message: self.error.to_string() }
    }
}

/// A monitor with its container made.
struct Monitor {
    dir: PathBuf,
    config: Config,
    cgroup: Box<dyn Cgroup>,
    process: Process,
    own_pids: bool,
    /// Tells of want of memory in time, where the group is gone before it can be asked.
    oom_notice: Option<File>,
    oom_killed: bool,
    /// It was short of memory. The kernel tells of the kill a moment later, and by then the group may be gone.
    was_short: bool,
    /// Asks it whether it is well.
    watch: Option<Watch>,
    /// Tells of children that have ended.
    children: Option<SignalFd>,
    /// Tells what happens to the container.
    teller: Teller,
}

fn prepare(dir: &Path, config: Config, hub: &mut Hub) -> std::result::Result<(Monitor, Created), Failure> {
    sys::process::become_subreaper().context(|| "cannot adopt orphans".into())?;
    let bundle = Bundle::load(dir)?;
    let cgroup = cgroup::at(&config.cgroup)?;
    let (stdio, ends) = streams::make(&streams::Wanted {
        terminal: config.terminal,
        rows: config.rows,
        columns: config.columns,
        stdin: config.stdin,
        owner: pipe_owner(&bundle),
    })?;
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
        trace: &|_| {},
        no_pivot: false,
        state: None,
    })?;
    let ends: (Option<OwnedFd>, Vec<Output>) = ends.join(created.terminal.as_ref())?;
    let process = Process::current(created.pid)?;
    let log = config.log.clone().map(Log::open).transpose().context(|| "cannot open the container's log".into())?;
    hub.connect(ends, config.stdin_once, log);
    let monitor = Monitor {
        dir: dir.to_owned(),
        config,
        oom_notice: cgroup.oom_notice(),
        cgroup,
        process,
        own_pids: has_own_pids(&bundle),
        oom_killed: false,
        was_short: false,
        watch: None,
        children: None,
        teller: Teller::new(dir),
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

fn pipe_owner(bundle: &Bundle) -> u32 {
    let Some(linux) = &bundle.spec.linux else { return 0 };
    let uid = bundle.spec.process.as_ref().map_or(0, |process| process.user.uid);
    runtime::userns::to_host(&linux.uid_mappings, uid)
}

impl Monitor {
    /// `lock` is held for life; the kernel releases it however this process ends.
    fn run(mut self, created: Created, mut hub: Hub, lock: Flock, dir: &Path) -> Result<Outcome> {
        match self.serve(created, &mut hub) {
            Ok(Next::Restart) => {
                let Restart { program, arguments, .. } = self.config.restart;
                return Ok(Outcome::Restart { program, arguments, lock });
            }
            // The removal takes the run directory too.
            Ok(Next::Cleanup) if hub.bye => {}
            Ok(Next::Cleanup) => return Ok(Outcome::Execute(self.config.cleanup.take().unwrap_or_default())),
            Ok(Next::Nothing) => remove_run_dir(dir),
            Err(error) => {
                remove_run_dir(dir);
                return Err(error);
            }
        }
        Ok(Outcome::Done)
    }

    fn serve(&mut self, created: Created, hub: &mut Hub) -> Result<Next> {
        State::Created { process: self.process }.save(&self.config.state)?;
        hub.broadcast(&Event::Ready(Ready { pid: created.pid, warnings: created.warnings.clone() }));
        if !hub.wait_for_start() {
            // Nobody is left who could start it.
            drop(created);
            let _ = self.cgroup.kill();
            // A group with a process in it cannot be removed.
            while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::empty()) {}
            let _ = self.cgroup.remove();
            self.unpublish();
            let _ = std::fs::remove_file(&self.config.state);
            return Ok(self.after_the_end());
        }
        match created.start() {
            Ok(started) => self.live(started, hub),
            Err(error) => {
                let failed = Failure::from(error).failed();
                let _ = self.cgroup.remove();
                self.unpublish();
                let (exit_code, error) = (failed.exit_code, failed.message.clone());
                State::Failed { exit_code, error, at: Timestamp::now() }.save(&self.config.state)?;
                hub.tell_all(&Event::Failed(failed));
                Ok(Next::Nothing)
            }
        }
    }

    /// From the start of the program to its end.
    fn live(&mut self, started: Started, hub: &mut Hub) -> Result<Next> {
        let (started_at, since) = (Timestamp::now(), Instant::now());
        let restarts = self.config.restart.count;
        // Without it they are reaped at the end.
        self.children = SignalFd::new(&[sys::signal::CHLD]).ok();
        self.reap_orphans();
        self.watch = self.config.health.take().map(|settings| Watch::begin(settings, &self.dir, &self.config.state));
        State::Running { process: self.process, started_at, restarts }.save(&self.config.state)?;
        self.teller.tell("start", Attributes::default());
        hub.teller = Some(self.teller.clone());
        hub.broadcast(&Event::Started);
        hub.serve_early(started.pidfd.as_fd());
        sys::process::slim_down();
        let ending = self.wait_for_the_end(started.pidfd.as_fd(), hub);
        let exit = Exit { error: ending.reason(), ..self.bury(&started, started_at, hub.end_wanted) };
        hub.drain();
        let again = match ending {
            Ending::Again { .. } if !exit.wanted => Some(Duration::ZERO),
            _ => self.next_start(&exit, since.elapsed()),
        };
        let state = match again {
            Some(delay) => State::Restarting { exit: exit.clone(), delay_ms: delay.as_millis() as u64 },
            None => State::Exited(exit.clone()),
        };
        state.save(&self.config.state)?;
        self.tell_of_the_end(&exit, since.elapsed());
        hub.broadcast(&Event::Exited(exit.exit_code));
        // Published; now what takes time. The root's mount goes first: its last user is gone.
        drop(started);
        // What cannot be removed now is found and removed with the container.
        let _ = self.cgroup.remove();
        if let Some(delay) = again {
            if pause(hub, delay) {
                return Ok(Next::Restart);
            }
            State::Exited(Exit { wanted: true, ..exit }).save(&self.config.state)?;
        }
        self.unpublish();
        hub.finish_sending();
        if self.config.cleanup.is_some() {
            hub.wait_for_bye();
        }
        Ok(self.after_the_end())
    }

    fn tell_of_the_end(&self, exit: &Exit, ran: Duration) {
        if exit.oom_killed {
            self.teller.tell("oom", Attributes::default());
        }
        let how = Attributes::default().with("exitCode", exit.exit_code).with("execDuration", ran.as_secs());
        self.teller.tell("die", how);
        self.teller.tell_of_volumes();
    }

    /// Serves until the program has ended; gives what was done to it meanwhile.
    fn wait_for_the_end(&mut self, program: BorrowedFd<'_>, hub: &mut Hub) -> Ending {
        let mut ending = Ending::ByItself;
        loop {
            let oom = self.oom_notice.as_ref().map(|file| (file.as_fd(), PollFlags::PRI));
            let check = self.watch.as_ref().and_then(Watch::fd).map(|fd| (fd, PollFlags::IN));
            let children = self.children.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN));
            let others: Vec<_> = children.into_iter().chain(oom).chain(check).collect();
            let timeout = self.watch.as_ref().and_then(Watch::timeout).or(ending.patience());
            let round = hub.round(Some(program), &others, timeout);
            let (has_children, has_oom) = (children.is_some(), oom.is_some());
            let mut noticed = round.noticed.into_iter();
            if has_children && noticed.next() == Some(true) {
                self.reap_orphans();
            }
            if has_oom && noticed.next() == Some(true) {
                self.note_oom();
            }
            if round.ended {
                break;
            }
            if self.config.attended && hub.is_alone() {
                // Its end is seen by the next round.
                let _ = self.cgroup.kill();
                kill(program);
            }
            let cgroup = self.cgroup.as_ref();
            let readable = noticed.next().unwrap_or(false);
            let changed = self.watch.as_mut().and_then(|watch| watch.go_on(readable, || cgroup.is_frozen()));
            if let Some(status) = changed {
                self.teller.tell(&format!("health_status: {}", status.name()), Attributes::default());
            }
            if changed == Some(Status::Unhealthy) {
                ending = self.end_unhealthy(program, hub).unwrap_or(ending);
            }
            if ending.patience().is_some_and(|left| left.is_zero()) {
                kill(program);
                ending.note_killed();
            }
        }
        self.watch.take().into_iter().for_each(Watch::end_of_program);
        ending
    }

    /// Reaps whoever is our child because its parent has ended. One that is in the container's pid namespace has to be:
    /// until then the kernel does not let init end.
    fn reap_orphans(&mut self) {
        while let Some(Ok(Some(_))) = self.children.as_mut().map(SignalFd::read) {}
        sys::process::reap_others(self.process.pid);
    }

    /// Does what is to be done about a container that has become unhealthy.
    fn end_unhealthy(&mut self, program: BorrowedFd<'_>, hub: &mut Hub) -> Option<Ending> {
        let settings = self.watch.as_ref()?.settings();
        let (on_failure, signal) = (settings.on_failure, settings.stop_signal);
        let kill_at = settings.stop_timeout.map(|timeout| Instant::now() + timeout);
        let ending = match on_failure {
            OnFailure::None => return None,
            OnFailure::Kill => Ending::Killed,
            OnFailure::Stop => Ending::Stopped { kill_at },
            OnFailure::Restart => Ending::Again { kill_at },
        };
        hub.end_wanted |= on_failure == OnFailure::Stop;
        // It has ended already, or does so now.
        let signal = if on_failure == OnFailure::Kill { sys::signal::KILL } else { signal };
        let _ = sys::process::kill_pidfd(program, signal);
        // Asked once, it is asked no more.
        self.watch.take().into_iter().for_each(Watch::end_of_program);
        Some(ending)
    }

    /// How long to wait before the container is started again. `None`: it is not.
    fn next_start(&self, exit: &Exit, ran: Duration) -> Option<Duration> {
        if exit.wanted {
            return None;
        }
        // `update` may have changed the policy since.
        let policy = Config::load(&self.dir).map_or(self.config.restart.policy, |config| config.restart.policy);
        Restart { policy, ..self.config.restart.clone() }.next(exit.exit_code, ran)
    }

    /// Ports of the host lead nowhere any more.
    fn unpublish(&self) {
        if !self.config.ports.is_empty() {
            // What cannot be taken back now is taken back with the container.
            let done = Firewall::open().and_then(|mut firewall| firewall.unpublish(&self.config.ports));
            done.map(|()| Live::forget(&self.dir)).unwrap_or_default();
        }
    }

    fn after_the_end(&self) -> Next {
        if self.config.cleanup.is_some() { Next::Cleanup } else { Next::Nothing }
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

    /// Reaps init and whoever it left behind.
    fn bury(&mut self, started: &Started, started_at: Timestamp, wanted: bool) -> Exit {
        let exit_code = reap(started.pidfd.as_fd());
        if !self.own_pids {
            // Without a pid namespace the kernel does not end the rest with init.
            let _ = self.cgroup.kill();
        }
        while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
        let killed = exit_code == 128 + sys::signal::KILL;
        let perhaps = (killed || self.was_short) && self.cgroup.perhaps_oom_killed();
        let oom_killed = self.oom_killed || self.cgroup.oom_kills() > 0 || perhaps;
        let (finished_at, restarts) = (Timestamp::now(), self.config.restart.count);
        Exit { exit_code, oom_killed, started_at, finished_at, error: None, wanted, restarts }
    }
}

/// What was done to a program that did not do what it is for.
enum Ending {
    /// Nothing: whatever ended it was its own, or somebody else's.
    ByItself,
    Killed,
    /// It was asked to end, and is killed at this moment if it does not.
    Stopped {
        kill_at: Option<Instant>,
    },
    /// The same, and it is to be started again.
    Again {
        kill_at: Option<Instant>,
    },
}

impl Ending {
    /// How long until it is killed.
    fn patience(&self) -> Option<Duration> {
        match self {
            Self::ByItself | Self::Killed => None,
            Self::Stopped { kill_at } | Self::Again { kill_at } => {
                kill_at.map(|at| at.saturating_duration_since(Instant::now()))
            }
        }
    }

    fn note_killed(&mut self) {
        match self {
            Self::ByItself | Self::Killed => {}
            Self::Stopped { kill_at } | Self::Again { kill_at } => *kill_at = None,
        }
    }

    fn reason(&self) -> Option<String> {
        let what = match self {
            Self::ByItself => return None,
            Self::Killed => "killed",
            Self::Stopped { .. } => "stopped",
            Self::Again { .. } => "restarted",
        };
        Some(format!("the container was unhealthy, and so was {what}"))
    }
}

/// Kills a program; one that has ended is fine.
fn kill(program: BorrowedFd<'_>) {
    let _ = sys::process::kill_pidfd(program, sys::signal::KILL);
}

/// What follows the end of a container.
enum Next {
    Nothing,
    /// It is removed: by a client that says so, or by what this process becomes.
    Cleanup,
    Restart,
}

/// Serves clients for so long. `false`: one of them has said that the container is not to be started again.
fn pause(hub: &mut Hub, delay: Duration) -> bool {
    let end = Instant::now() + delay;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if hub.end_wanted || left.is_zero() {
            return !hub.end_wanted;
        }
        hub.round(None, &[], Some(left));
    }
}

/// The exit code of a child that has ended: its own, or 128 and the signal that ended it.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> i32 {
    let status = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED).ok().flatten();
    status.map_or(255, |status| {
        let signal = status.terminating_signal().map(|signal| 128 + signal);
        status.exit_status().or(signal).unwrap_or(255)
    })
}
