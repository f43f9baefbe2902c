//! Init's side of making a container: a copy of the creator, alone in its new namespaces, that ends in `execve` or
//! `_exit`. The step numbers are those of [`crate::create`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use stdx::{Context, Error, Kind, Result};
use sys::clone::{Cloned, clone_sibling};
use sys::pty::Pty;
use sys::root::Root;
use sys::signal::SignalFd;
use sys::{mount, namespace};

use crate::cgroup::Entrance;
use crate::create::{Plan, Stdio, Terminal};
use crate::mounts::Mounter;
use crate::sync::{Channel, Failure, FromInit, ToInit};
use crate::{devices, keyring, launch, masks, rootfs, scheduling, sysctl};

/// Runs init to its end.
pub(crate) fn run(plan: &Plan<'_>, entrance: Entrance, mut channel: Channel) -> ! {
    let failure = match steps(plan, entrance, &mut channel) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    // If the creator is gone nobody is left to be told.
    let _ = channel.send_from_init(&FromInit::Failed(failure));
    sys::process::exit_now(1)
}

/// The signals that end a container which waits for its start.
const ENDING: [i32; 4] = [sys::signal::HUP, sys::signal::INT, sys::signal::QUIT, sys::signal::TERM];

fn steps(plan: &Plan<'_>, entrance: Entrance, channel: &mut Channel) -> std::result::Result<Infallible, Failure> {
    // 4. before anything else that could be counted or limited
    entrance.enter()?;
    scheduling::reset_affinity();
    (plan.config.trace)("child process in init()");
    if let Some(user) = plan.namespaces.joined_user() {
        clone_in_user_namespace(plan, user, channel)?;
    }
    // 5. wait until the creator has mapped the ids
    expect(channel, |message| matches!(message, ToInit::Mapped))?;
    // 7. the other namespaces, a session of our own
    enter_namespaces(plan)?;
    // 6. the creator's trees
    let (attached, trees) = receive_trees(channel)?;
    // 8. root and mounts
    let terminal = build_root(plan, &attached, trees)?;
    let pid = run_create_hooks(plan, &attached, channel)?;
    rootfs::change_root(&attached, plan.config.no_pivot)?;
    rootfs::set_propagation(&attached, plan.linux)?;
    drop(attached);
    let launch = plan.launch(pid);
    // 9. terminal, names, limits
    launch.set_streams(terminal, channel)?;
    set_names(plan)?;
    // 10. user and program
    let found = launch.find()?;
    // As the first process of a pid namespace it is not ended by what ends others, unless it says so itself.
    let mut end = SignalFd::new(&ENDING).context(|| "cannot collect signals".into())?;
    (plan.config.trace)("init: closing the pipe to signal completion");
    channel.send_from_init(&FromInit::Ready)?;
    // 11. wait for the start
    if let Some(listener) = &plan.config.start_socket {
        // The creator does not stay: from here on whoever says start is who is told.
        *channel = Channel::accept(listener.as_fd(), &mut end)?;
    }
    expect(channel, |message| matches!(message, ToInit::Exec))?;
    // 12. become the program
    launch.become_program(&found, channel)
}

/// Step 4. Returns in the process that is init from here on, in new namespaces which the user namespace owns.
fn clone_in_user_namespace(plan: &Plan<'_>, user: &OwnedFd, channel: &Channel) -> Result<()> {
    // The namespaces to join need not be the user namespace's: with the rights of the host they can all be entered.
    plan.namespaces.enter_in_init()?;
    namespace::enter(user.as_fd(), namespace::flag::USER).context(|| "cannot join the User namespace".into())?;
    become_root()?;
    match clone_sibling(plan.namespaces.clone).context(|| "cannot make the container's namespaces".into())? {
        Cloned::Child => Ok(()),
        Cloned::Parent { pidfd, .. } => {
            channel.send_from_init(&FromInit::Cloned(pidfd))?;
            sys::process::exit_now(0)
        }
    }
}

fn become_root() -> Result<()> {
    sys::process::set_groups(&[])
        .and_then(|()| sys::process::set_gid(0))
        .and_then(|()| sys::process::set_uid(0))
        .context(|| "cannot become root of the user namespace".into())
}

fn expect(channel: &Channel, wanted: impl Fn(&ToInit) -> bool) -> Result<()> {
    match channel.receive_to_init()? {
        Some(message) if wanted(&message) => Ok(()),
        // The creator has given up or was killed: so do we, and nobody hears it.
        _ => Err(Error::new(Kind::Internal, "the creator of the container is gone")),
    }
}

fn enter_namespaces(plan: &Plan<'_>) -> Result<()> {
    if plan.namespaces.joined_user().is_none() {
        plan.namespaces.enter_in_init()?;
    }
    plan.namespaces.make_in_init()?;
    if plan.namespaces.new_user() {
        become_root()?;
    }
    rustix::process::setsid().context(|| "cannot start a session".into())?;
    keyring::join(plan.config.keyring.as_deref())?;
    if plan.namespaces.new_network() {
        sys::net::loopback_up().context(|| "cannot bring the loopback interface up".into())?;
    }
    Ok(())
}

/// Step 8. Hooks that want the new namespaces and the old root, and start in the new one. Gives init's pid on the host (0
/// where nobody needs it).
fn run_create_hooks(plan: &Plan<'_>, attached: &OwnedFd, channel: &Channel) -> Result<i32> {
    if !plan.has_create_hooks() {
        return Ok(0);
    }
    channel.send_from_init(&FromInit::Mounted)?;
    let Some(ToInit::Hooked(pid)) = channel.receive_to_init()? else {
        return Err(Error::new(Kind::Internal, "the creator of the container is gone"));
    };
    rustix::process::fchdir(attached).context(|| "cannot enter the root filesystem".into())?;
    plan.run_hooks("createContainer", |hooks| &hooks.create_container, pid)?;
    Ok(pid)
}

fn receive_trees(channel: &Channel) -> Result<(OwnedFd, VecDeque<OwnedFd>)> {
    let mut trees = VecDeque::new();
    loop {
        match channel.receive_to_init()? {
            Some(ToInit::Trees(more)) => trees.extend(more),
            Some(ToInit::TreesEnd) => break,
            _ => return Err(Error::new(Kind::Internal, "the creator of the container is gone")),
        }
    }
    let root = trees.pop_front().ok_or_else(|| Error::new(Kind::Internal, "the root filesystem did not arrive"))?;
    Ok((root, trees))
}

/// Step 8. The root is attached over `/`, where only its descriptor reaches it, filled, and made `/` by the caller.
fn build_root(plan: &Plan<'_>, attached: &OwnedFd, trees: VecDeque<OwnedFd>) -> Result<Option<Pty>> {
    rootfs::leave_host_mounts(plan.linux)?;
    rootfs::attach(attached, plan.config.root, plan.has_create_hooks())?;
    let root = Root::new(attached.try_clone().context(|| "cannot hold the root filesystem".into())?);
    // Directories made on the way get the modes they are made with.
    rustix::process::umask(Mode::empty());
    let views = plan.config.cgroup.views();
    let mut mounter = Mounter { root: &root, trees, cgroups: &views, own_cgroups: plan.namespaces.new_cgroup };
    plan.mounts.iter().try_for_each(|planned| mounter.mount(planned))?;
    devices::make_nodes(&root, &plan.devices)?;
    devices::make_links(&root)?;
    let terminal = match plan.config.stdio {
        Stdio::Terminal(terminal) => Some(open_terminal(&root, terminal)?),
        Stdio::Files(_) => None,
    };
    make_cwd(&root, &plan.process.cwd)?;
    sysctl::set(&plan.linux.sysctl)?;
    masks::make_readonly(&root, &plan.linux.readonly_paths)?;
    masks::mask(&root, &plan.linux.masked_paths)?;
    if plan.readonly_dev {
        let dev = root.open("dev", OFlags::PATH | OFlags::DIRECTORY).context(|| "cannot open \"/dev\"".into())?;
        rootfs::make_readonly(&dev)?;
    }
    if plan.readonly {
        rootfs::make_readonly(attached)?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(terminal)
}

/// A terminal of the container's own devpts, also mounted on `/dev/console`.
fn open_terminal(root: &Root, terminal: Terminal) -> Result<Pty> {
    let what = || "cannot make a terminal".to_owned();
    let devpts = root.open("dev/pts", OFlags::PATH | OFlags::DIRECTORY).context(what)?;
    let pty = launch::open_terminal(devpts, terminal).context(what)?;
    let console = root.make_own_file("dev", "console", Mode::from_raw_mode(0o600));
    let console = console.context(|| "cannot make \"/dev/console\"".into())?;
    let tree = mount::clone_tree(&pty.slave, Path::new(""), false).context(what)?;
    mount::attach(tree, console).context(|| "cannot mount the terminal on \"/dev/console\"".into())?;
    Ok(pty)
}

/// The working directory is made where the image lacks it, as Docker does.
fn make_cwd(root: &Root, cwd: &str) -> Result<()> {
    if !cwd.starts_with('/') {
        return Err(Error::invalid(format!("the working directory \"{cwd}\" is not an absolute path")));
    }
    match root.make_dirs(cwd, Mode::from_raw_mode(0o755)) {
        // Whoever may not make it may still be able to enter it; if not, entering says so.
        Ok(_) | Err(sys::Errno::ACCESS | sys::Errno::PERM | sys::Errno::ROFS) => Ok(()),
        Err(errno) => Err(errno).context(|| format!("cannot make working directory \"{cwd}\"")),
    }
}

fn set_names(plan: &Plan<'_>) -> Result<()> {
    let spec = plan.config.spec;
    if let Some(hostname) = &spec.hostname {
        rustix::system::sethostname(hostname.as_bytes()).context(|| format!("cannot set host name \"{hostname}\""))?;
    }
    if let Some(domain) = &spec.domainname {
        rustix::system::setdomainname(domain.as_bytes()).context(|| format!("cannot set domain name \"{domain}\""))?;
    }
    Ok(())
}
