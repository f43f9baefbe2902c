//! The creator's side of making a container. The steps, with the same numbers in [`crate::init`]:
//!
//! 1. decide: namespaces, mounts, devices, from the configuration alone
//! 2. make the control groups and set the limits
//! 3. enter the namespaces that only a child can be in (pid, time)
//! 4. clone init with the new namespaces, into its v2 control group; init first of all enters the v1 groups
//! 5. write init's id maps, move network devices to it → *mapped*
//! 6. mount the root and open the host's trees, detached → *trees* (with a user namespace they are idmapped, so it has
//!    to exist); meanwhile init goes on to 7
//! 7. init: enter the other namespaces, leave the host's session
//! 8. init: attach the root, make the mounts, mask; hooks of both sides, if there are any; pivot
//! 9. init: terminal, names, limits
//! 10. init: find the user and the program → *ready*
//! 11. start → *exec*
//! 12. init: user, capabilities, filter, `execve`; the closing socket says that it worked
//!
//! A user namespace that is joined is entered by the child of 4, which then clones init beside itself and ends.
//!
//! With a user namespace the difference is only who may do what: `clone3` makes it first, so that it owns the other
//! namespaces; init becomes its root after 5; nodes in `/dev` are mounts of the host's (6) instead of `mknod` (8).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci::runtime_spec::{Device, Hook, Hooks, Linux, NamespaceType, Process, Spec, State};
use stdx::{Context, Error, Kind, Result};
use sys::clone::{Cloned, clone3};
use sys::mount::Mount;

use crate::cgroup::{Cgroup, Subgroups};
use crate::launch::Launch;
use crate::listener::Filtered;
use crate::mounts::Planned;
use crate::namespaces;
use crate::sync::{Channel, Failure, FailureKind, FromInit, ToInit};
use crate::{Trace, devices, hooks, init, labels, mounts, net_devices, rootfs, seccomp, sysctl, userns};

/// What to create.
pub struct Config<'a> {
    /// The runtime configuration.
    pub spec: &'a Spec,
    /// Where its relative paths start.
    pub bundle: &'a Path,
    /// The root filesystem.
    pub root: &'a Mount,
    /// Load the engine's own system call filter for these capabilities, instead of the configuration's.
    pub default_filter: bool,
    /// A user to look up inside the container, in Docker's form `name|uid[:group|gid]`, instead of the numbers of the
    /// configuration.
    pub user: Option<&'a str>,
    /// Names or numbers of further groups, looked up likewise.
    pub groups: &'a [String],
    /// The container's control groups, not yet made.
    pub cgroup: &'a dyn Cgroup,
    /// Where the program reads and writes.
    pub stdio: Stdio,
    /// Kill the container when the creator ends.
    pub die_with_creator: bool,
    /// A listening socket on which init waits for its start, for a creator that does not stay. See [`start_at`].
    pub start_socket: Option<OwnedFd>,
    /// Descriptors from 3 on that the program inherits.
    pub preserve_fds: u32,
    /// The session keyring that the container's processes share. `None`: they keep the caller's.
    pub keyring: Option<String>,
    /// Move the root over `/` and `chroot` to it, where `/` cannot be pivoted away (an initramfs).
    pub no_pivot: bool,
    /// What the configuration's hooks are told, but for the pid. `None`: it has none.
    pub state: Option<State>,
    /// Is told what is being done.
    pub trace: Trace<'a>,
}

/// Where the program reads and writes.
#[derive(Debug)]
pub enum Stdio {
    /// These three descriptors.
    Files([OwnedFd; 3]),
    /// A new terminal of the container.
    Terminal(Terminal),
}

/// How a new terminal is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// 0: unknown.
    pub rows: u16,
    pub columns: u16,
    /// A newline is handed on as it was written, without a carriage return before it: whoever shows it adds what that needs.
    pub plain_newlines: bool,
}

/// A container whose init waits to be started.
#[derive(Debug)]
pub struct Created {
    /// Init's pid on the host.
    pub pid: i32,
    /// A handle on init.
    pub pidfd: OwnedFd,
    /// The root's mount. While it is held, ending the container does not wait for its filesystem to be taken down.
    pub root: OwnedFd,
    /// The engine's side of the terminal.
    pub terminal: Option<OwnedFd>,
    /// What was asked for and cannot be had here.
    pub warnings: Vec<String>,
    channel: Channel,
}

/// A container that could not be created or started.
#[derive(Debug)]
pub enum CreateError {
    /// The program does not exist in the container: exit code 127.
    ProgramNotFound(Error),
    /// The program cannot be executed: exit code 126.
    ProgramNotExecutable(Error),
    /// Anything else: exit code 125.
    Setup(Error),
}

impl From<Error> for CreateError {
    fn from(error: Error) -> Self {
        Self::Setup(error)
    }
}

impl From<Failure> for CreateError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::ProgramNotFound => Self::ProgramNotFound(Error::new(Kind::NotFound, failure.message)),
            FailureKind::ProgramNotExecutable => Self::ProgramNotExecutable(Error::new(Kind::Denied, failure.message)),
            FailureKind::Setup(kind) => Self::Setup(Error::new(kind, failure.message)),
        }
    }
}

/// Everything decided before anything is done: what init works from, too, since it is a copy of the creator.
pub(crate) struct Plan<'a> {
    pub(crate) config: &'a Config<'a>,
    pub(crate) process: &'a Process,
    pub(crate) linux: &'a Linux,
    pub(crate) namespaces: namespaces::Plan,
    pub(crate) mounts: Vec<Planned>,
    pub(crate) devices: Vec<Device>,
    pub(crate) readonly: bool,
    /// `/dev` becomes read-only once everything in it is made.
    pub(crate) readonly_dev: bool,
    pub(crate) filter: Option<seccomp::Program>,
}

impl<'a> Plan<'a> {
    /// Whether there are hooks up to the start: init stops for them before it changes the root, and learns its pid.
    pub(crate) fn has_create_hooks(&self) -> bool {
        let hooks = self.config.spec.hooks.as_ref();
        let any = |hooks: &Hooks| {
            let lists = [&hooks.prestart, &hooks.create_runtime, &hooks.create_container, &hooks.start_container];
            lists.iter().any(|list| !list.is_empty())
        };
        self.config.state.is_some() && hooks.is_some_and(any)
    }

    /// Runs the configuration's hooks of one kind, telling them init's pid.
    pub(crate) fn run_hooks(&self, kind: &str, which: impl Fn(&Hooks) -> &[Hook], pid: i32) -> Result<()> {
        match (&self.config.spec.hooks, &self.config.state) {
            (Some(hooks), Some(state)) => {
                hooks::run(kind, which(hooks), &State { pid: Some(pid), ..state.clone() }, None)
            }
            _ => Ok(()),
        }
    }

    /// The hooks that the program's own process runs, last of all.
    fn start_hooks(&self) -> &[Hook] {
        self.config.spec.hooks.as_ref().map_or(&[], |hooks| &hooks.start_container)
    }

    /// The last steps; `pid` is init's on the host.
    pub(crate) fn launch(&'a self, pid: i32) -> Launch<'a> {
        let state = self.config.state.clone().map(|state| State { pid: Some(pid), ..state });
        Launch {
            process: self.process,
            user: self.config.user,
            groups: self.config.groups,
            stdio: &self.config.stdio,
            filter: self.filter.as_ref(),
            memory_policy: self.linux.memory_policy.as_ref(),
            personality: self.linux.personality.as_ref(),
            start_hooks: state.filter(|_| !self.start_hooks().is_empty()).map(|state| (self.start_hooks(), state)),
            trace: self.config.trace,
            die_with_creator: self.config.die_with_creator,
            preserve_fds: self.config.preserve_fds,
        }
    }
}

/// Makes a container up to the moment before its program runs.
///
/// The calling process must be single-threaded. On failure nothing is left behind: init has ended and its control
/// groups are removed.
pub fn create(config: &Config<'_>) -> std::result::Result<Created, CreateError> {
    // 1. decide
    let plan = decide(config)?;
    let mut resources = plan.linux.resources.clone().unwrap_or_default();
    if !resources.devices.is_empty() {
        resources.devices.extend(devices::default_rules());
    }
    // 2. make the control groups and set the limits
    let mut undo = Undo { cgroup: Some(config.cgroup), pidfd: None };
    (config.trace)("making the control groups");
    let mut warnings = config.cgroup.create(&resources)?;
    // 3. enter the namespaces that only a child can be in
    plan.namespaces.enter_before_clone()?;
    // 4. clone init
    let (channel, init_channel) = Channel::pair()?;
    let entrance = config.cgroup.entrance(&Subgroups::default())?;
    let into = entrance.clone_into.as_ref().map(AsFd::as_fd);
    let (joined_user, new) = (plan.namespaces.joined_user(), plan.namespaces.clone);
    // Three lines are in runc's words, since people look for them.
    (config.trace)(&format!("nsexec container setup: init in new namespaces {new:#x}"));
    let cloned = clone3(if joined_user.is_some() { 0 } else { new }, into);
    let cloned = cloned.context(|| "cannot make the container's namespaces".into())?;
    let (mut pid, pidfd) = match cloned {
        Cloned::Child => {
            drop(channel);
            init::run(&plan, entrance, init_channel)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(init_channel);
    let pidfd = undo.pidfd.insert(pidfd);
    drop(entrance);
    plan.namespaces.leave_joined_time()?;
    if joined_user.is_some() {
        pid = take_over(&channel, pidfd)?;
    }
    // 5, 6. what the creator gives
    let root = match equip(&plan, pid, &channel, &mut warnings) {
        Ok(root) => root,
        // Whoever is gone has said why, and that is what led here.
        Err(error) => return Err(last_words(&channel).map_or_else(|| error.into(), CreateError::from)),
    };
    // 7–10. init
    let mut terminal = None;
    loop {
        match channel.receive_from_init()? {
            Some(FromInit::Warning(warning)) => warnings.push(warning),
            Some(FromInit::Terminal(master)) => terminal = Some(master),
            Some(FromInit::Mounted) => {
                plan.run_hooks("prestart", |hooks| &hooks.prestart, pid)?;
                plan.run_hooks("createRuntime", |hooks| &hooks.create_runtime, pid)?;
                channel.send_to_init(&ToInit::Hooked(pid))?;
            }
            Some(FromInit::Ready) => break,
            Some(FromInit::Failed(failure)) => return Err(failure.into()),
            Some(FromInit::Listener(_) | FromInit::Cloned(_)) => return Err(out_of_turn().into()),
            None => return Err(died(pidfd.as_fd(), config.cgroup).into()),
        }
    }
    let pidfd = undo.pidfd.take().ok_or_else(|| Error::new(Kind::Internal, "init has no handle"))?;
    undo.cgroup = None;
    Ok(Created { pid, pidfd, root, terminal, warnings, channel })
}

/// 5 and 6. Gives the root's mount.
fn equip(plan: &Plan<'_>, pid: i32, channel: &Channel, warnings: &mut Vec<String>) -> Result<OwnedFd> {
    // 5. id maps
    if plan.namespaces.new_user() {
        userns::write_maps(pid, plan.linux)?;
    }
    set_oom_score(pid, plan.process, warnings)?;
    if !plan.linux.net_devices.is_empty() {
        let network =
            plan.namespaces.network(pid)?.ok_or_else(|| Error::new(Kind::Internal, "no network namespace"))?;
        net_devices::move_all(&plan.linux.net_devices, &network)?;
    }
    channel.send_to_init(&ToInit::Mapped)?;
    // 6. the root and the host's trees
    let user_namespace = plan.namespaces.new_user().then(|| userns::of(pid)).transpose()?;
    let user_namespace = user_namespace.as_ref().or(plan.namespaces.joined_user());
    let root = rootfs::open(plan.config.root, plan.linux, user_namespace)?;
    let mut trees = vec![root.try_clone().context(|| "cannot hold the root filesystem".into())?];
    trees.extend(mounts::open_host_trees(&plan.mounts, user_namespace)?);
    channel.send_to_init(&ToInit::Trees(trees))?;
    channel.send_to_init(&ToInit::TreesEnd)?;
    Ok(root)
}

/// Why init has ended, if it has and said so.
fn last_words(channel: &Channel) -> Option<Failure> {
    if !channel.is_closed() {
        return None;
    }
    loop {
        match channel.receive_from_init() {
            Ok(Some(FromInit::Failed(failure))) => return Some(failure),
            Ok(Some(_)) => {}
            _ => return None,
        }
    }
}

/// 4, with a user namespace that is joined: the child has entered it, so that it owns the new namespaces, and has cloned
/// init into these. Buries the child; gives init's pid.
fn take_over(channel: &Channel, pidfd: &mut OwnedFd) -> std::result::Result<i32, CreateError> {
    let init = match channel.receive_from_init()? {
        Some(FromInit::Cloned(init)) => init,
        Some(FromInit::Failed(failure)) => return Err(failure.into()),
        _ => return Err(out_of_turn().into()),
    };
    let child = std::mem::replace(pidfd, init);
    rustix::process::waitid(rustix::process::WaitId::PidFd(child.as_fd()), rustix::process::WaitIdOptions::EXITED)
        .context(|| "cannot wait for the container's first process".into())?;
    Ok(sys::process::pid_of(&*pidfd).context(|| "cannot tell the pid of init".into())?)
}

impl Created {
    /// 11. Lets init execute the program; returns when it has, or could not.
    pub fn start(self) -> std::result::Result<Started, CreateError> {
        self.channel.send_to_init(&ToInit::Exec)?;
        match self.channel.receive_from_init()? {
            None => Ok(Started { pidfd: self.pidfd, root: self.root }),
            Some(FromInit::Failed(failure)) => Err(failure.into()),
            Some(_) => Err(out_of_turn().into()),
        }
    }
}

fn out_of_turn() -> Error {
    Error::new(Kind::Internal, "init answered out of turn")
}

/// 11. Starts a container whose init waits on the socket `name` in `dir`; returns when the program runs, or could not.
pub(crate) fn start_at(dir: &Path, name: &str, init: &Filtered<'_>) -> std::result::Result<(), CreateError> {
    let channel = Channel::connect(dir, name)?;
    channel.send_to_init(&ToInit::Exec)?;
    loop {
        match channel.receive_from_init()? {
            Some(FromInit::Listener(number)) => {
                init.pass_on(number)?;
                channel.send_to_init(&ToInit::Heard)?;
            }
            None => return Ok(()),
            Some(FromInit::Failed(failure)) => return Err(failure.into()),
            Some(_) => return Err(out_of_turn().into()),
        }
    }
}

/// A container whose program runs.
#[derive(Debug)]
pub struct Started {
    /// A handle on init.
    pub pidfd: OwnedFd,
    /// The root's mount, as in [`Created`].
    pub root: OwnedFd,
}

fn decide<'a>(config: &'a Config<'a>) -> Result<Plan<'a>> {
    let process = config.spec.process.as_ref().ok_or_else(|| Error::invalid("the configuration has no process"))?;
    let linux = config.spec.linux.as_ref().ok_or_else(|| Error::invalid("the configuration has no linux section"))?;
    labels::check_process(process)?;
    labels::check_mounts(linux)?;
    let namespaces = namespaces::Plan::new(linux)?;
    net_devices::check(&linux.net_devices, namespaces.owns(NamespaceType::Network))?;
    sysctl::check(&linux.sysctl, &namespaces)?;
    check_names(config.spec, &namespaces)?;
    let mut mounts: Vec<Planned> =
        config.spec.mounts.iter().map(|mount| mounts::plan(mount, config.bundle, linux)).collect::<Result<_>>()?;
    mounts::find_inside(&mut mounts, config.root);
    let readonly_dev = mounts::defer_readonly(&mut mounts, Path::new("/dev"));
    let own_dev =
        !mounts.iter().any(|m| m.target == Path::new("/dev") && matches!(m.source, mounts::Source::Host { .. }));
    let mut devices = if own_dev { devices::plan(linux) } else { linux.devices.clone() };
    if namespaces.own_user() {
        mounts.extend(devices::as_mounts(&devices));
        devices.clear();
    }
    let filter = match (&linux.seccomp, config.default_filter) {
        (_, true) => {
            let bounding = process.capabilities.as_ref().map_or(&[][..], |capabilities| &capabilities.bounding);
            Some(seccomp::default_program(bounding, seccomp::KernelVersion::running()?)?)
        }
        (Some(profile), false) => Some(seccomp::compile(profile)?),
        (None, false) => None,
    };
    if config.start_socket.is_none() && filter.as_ref().is_some_and(seccomp::Program::has_listener) {
        // Whoever starts it has no state to tell the agent.
        return Err(Error::unsupported("seccomp action \"SCMP_ACT_NOTIFY\" is known to \"tare runtime\" only"));
    }
    let readonly = config.spec.root.as_ref().is_some_and(|root| root.readonly);
    Ok(Plan { config, process, linux, namespaces, mounts, devices, readonly, readonly_dev, filter })
}

/// A name is set in the UTS namespace that init is in.
fn check_names(spec: &Spec, namespaces: &namespaces::Plan) -> Result<()> {
    let named = [("hostname", &spec.hostname), ("domainname", &spec.domainname)];
    match named.iter().find(|(_, name)| name.as_ref().is_some_and(|name| !name.is_empty())) {
        Some((what, _)) if !namespaces.owns(NamespaceType::Uts) => {
            Err(Error::invalid(format!("the configuration's {what} needs a UTS namespace of the container's own")))
        }
        _ => Ok(()),
    }
}

/// Less than the creator's own score needs a capability that a sandboxed engine lacks: then it stays, with a warning.
fn set_oom_score(pid: i32, process: &Process, warnings: &mut Vec<String>) -> Result<()> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    match std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string()) {
        Err(error) if error.raw_os_error() == Some(sys::Errno::ACCESS.raw_os_error()) => {
            warnings.push(format!("cannot lower the out-of-memory score to {score}: CAP_SYS_RESOURCE is missing"));
            Ok(())
        }
        result => result.context(|| format!("cannot set the out-of-memory score to {score}")),
    }
}

/// Init ended without a word: say what the kernel knows of it.
fn died(pidfd: std::os::fd::BorrowedFd<'_>, cgroup: &dyn Cgroup) -> Error {
    if cgroup.oom_kills() > 0 {
        return Error::new(Kind::NoSpace, "cannot start the container: it was killed for want of memory")
            .hint("raise --memory; starting takes about 4 MiB");
    }
    let status = rustix::process::waitid(
        rustix::process::WaitId::PidFd(pidfd),
        rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
    );
    let how = match status.ok().flatten() {
        Some(status) if status.terminating_signal().is_some() => {
            format!("killed by signal {}", status.terminating_signal().unwrap_or(0))
        }
        Some(status) => format!("exit status {}", status.exit_status().unwrap_or(-1)),
        None => "no status".into(),
    };
    Error::new(Kind::Internal, format!("cannot start the container: its init ended early ({how})"))
}

/// Takes back what a failed `create`, or `exec`, has made.
pub(crate) struct Undo<'a> {
    pub(crate) cgroup: Option<&'a dyn Cgroup>,
    pub(crate) pidfd: Option<OwnedFd>,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(pidfd) = &self.pidfd {
            // Both fail only if init is gone already, which is what they are for.
            let _ = sys::process::kill_pidfd(pidfd, sys::signal::KILL);
            let _ = rustix::process::waitid(
                rustix::process::WaitId::PidFd(pidfd.as_fd()),
                rustix::process::WaitIdOptions::EXITED,
            );
        }
        if let Some(cgroup) = self.cgroup {
            // The error that led here is the one to report.
            let _ = cgroup.remove();
        }
    }
}
