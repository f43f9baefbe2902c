//! Init's side of making a container: a copy of the creator, alone in its new namespaces, that ends in `execve` or
//! `_exit`. The step numbers are those of [`crate::create`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use stdx::{Context, Error, Kind, Result};
use sys::mount;
use sys::proc::Procfs;
use sys::pty::Pty;
use sys::root::Root;

use crate::cgroup::Entrance;
use crate::create::{Plan, Stdio};
use crate::mounts::Mounter;
use crate::sync::{Channel, Failure, FromInit, ToInit};
use crate::users::{self, Identity};
use crate::{devices, masks, process, rootfs};

/// Runs init to its end.
pub(crate) fn run(plan: &Plan<'_>, entrance: &Entrance, channel: Channel) -> ! {
    let failure = match steps(plan, entrance, &channel) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    // If the creator is gone nobody is left to be told.
    let _ = channel.send_from_init(&FromInit::Failed(failure));
    sys::process::exit_now(1)
}

fn steps(plan: &Plan<'_>, entrance: &Entrance, channel: &Channel) -> std::result::Result<Infallible, Failure> {
    let mut warn = |warning: String| {
        // As in `run`.
        let _ = channel.send_from_init(&FromInit::Warning(warning));
    };
    // 4. before anything else that could be counted or limited
    entrance.enter()?;
    // 5. wait until the creator has mapped the ids
    expect(channel, |message| matches!(message, ToInit::Mapped))?;
    // 7. the other namespaces, a session of our own
    enter_namespaces(plan)?;
    // 6. the creator's trees
    let (attached, trees) = receive_trees(channel)?;
    // 8. root and mounts
    let terminal = build_root(plan, &attached, trees)?;
    mount::pivot_root(&attached).context(|| "cannot change the root".into())?;
    drop(attached);
    // 9. terminal, names, limits
    set_stdio(plan, terminal, channel)?;
    set_names(plan)?;
    process::set_rlimits(&plan.process.rlimits, &mut warn)?;
    // 10. user and program
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = Root::new(root.context(|| "cannot open the root".into())?);
    let identity = find_user(plan, &root)?;
    own_stdio(plan, &identity);
    let env = environment(plan, &identity);
    let program = enter_cwd(plan).map_err(Failure::from).and_then(|()| {
        let name = plan.process.args.first().map_or("", String::as_str);
        process::find_program(name, &env)
    })?;
    drop(root);
    channel.send_from_init(&FromInit::Ready)?;
    // 11. wait for the start
    expect(channel, |message| matches!(message, ToInit::Exec))?;
    // 12. become the program
    become_program(plan, &identity, &program, &env)
}

fn expect(channel: &Channel, wanted: impl Fn(&ToInit) -> bool) -> Result<()> {
    match channel.receive_to_init()? {
        Some(message) if wanted(&message) => Ok(()),
        // The creator has given up or was killed: so do we, and nobody hears it.
        _ => Err(Error::new(Kind::Internal, "the creator of the container is gone")),
    }
}

fn enter_namespaces(plan: &Plan<'_>) -> Result<()> {
    plan.namespaces.enter_in_init()?;
    if plan.namespaces.new_user() {
        sys::process::set_groups(&[])
            .and_then(|()| sys::process::set_gid(0))
            .and_then(|()| sys::process::set_uid(0))
            .context(|| "cannot become root of the user namespace".into())?;
    }
    rustix::process::setsid().context(|| "cannot start a session".into())?;
    // A kernel without keyrings has none to separate.
    let _ = sys::process::new_session_keyring();
    if plan.namespaces.new_network() {
        sys::net::loopback_up().context(|| "cannot bring the loopback interface up".into())?;
    }
    Ok(())
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
    mount::attach_over_root(attached).context(|| "cannot attach the root filesystem".into())?;
    let root = Root::new(attached.try_clone().context(|| "cannot hold the root filesystem".into())?);
    // Directories made on the way get the modes they are made with.
    rustix::process::umask(Mode::empty());
    let views = plan.config.cgroup.views();
    let mut mounter = Mounter { root: &root, trees, cgroups: &views, own_cgroups: plan.namespaces.new_cgroup };
    plan.mounts.iter().try_for_each(|planned| mounter.mount(planned))?;
    devices::make_nodes(&root, &plan.devices)?;
    devices::make_links(&root)?;
    let terminal = match plan.config.stdio {
        Stdio::Terminal { rows, columns } => Some(open_terminal(&root, rows, columns)?),
        Stdio::Files(_) => None,
    };
    make_cwd(&root, &plan.process.cwd)?;
    set_sysctls(plan)?;
    masks::make_readonly(&root, &plan.linux.readonly_paths)?;
    masks::mask(&root, &plan.linux.masked_paths)?;
    rootfs::seal(attached, plan.linux, plan.readonly)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(terminal)
}

/// A terminal of the container's own devpts, also mounted on `/dev/console`.
fn open_terminal(root: &Root, rows: u16, columns: u16) -> Result<Pty> {
    let what = || "cannot make a terminal".to_owned();
    let devpts = root.open("dev/pts", OFlags::PATH | OFlags::DIRECTORY).context(what)?;
    let pty = Pty::open(devpts, "ptmx").context(what)?;
    if rows > 0 && columns > 0 {
        sys::pty::resize(&pty.master, rows, columns).context(what)?;
    }
    let console = root.make_file("dev/console", Mode::from_raw_mode(0o600)).context(what)?;
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

/// Kernel parameters, through a procfs nobody else has touched, and before `/proc/sys` is made read-only.
fn set_sysctls(plan: &Plan<'_>) -> Result<()> {
    if plan.linux.sysctl.is_empty() {
        return Ok(());
    }
    let procfs = mount::Filesystem::open("proc").and_then(|filesystem| filesystem.mount(0)).and_then(Procfs::from_fd);
    let procfs = procfs.context(|| "cannot mount a private procfs".into())?;
    for (name, value) in &plan.linux.sysctl {
        // A dot separates, and a slash stands for a dot inside a name, or the other way round if a slash comes first.
        let path: String = match (name.find('/'), name.find('.')) {
            (Some(slash), Some(dot)) if dot < slash => name
                .chars()
                .map(|c| {
                    if c == '.' {
                        '/'
                    } else if c == '/' {
                        '.'
                    } else {
                        c
                    }
                })
                .collect(),
            (None, _) => name.replace('.', "/"),
            _ => name.clone(),
        };
        procfs
            .write(&format!("sys/{path}"), value)
            .context(|| format!("cannot set kernel parameter \"{name}\" to \"{value}\""))?;
    }
    Ok(())
}

/// Step 9. The program's first three descriptors.
fn set_stdio(plan: &Plan<'_>, terminal: Option<Pty>, channel: &Channel) -> Result<()> {
    let what = || "cannot hand over the standard streams".to_owned();
    match (&plan.config.stdio, terminal) {
        (Stdio::Files(files), _) => {
            for (target, file) in files.iter().enumerate() {
                sys::fds::inherit_as(file.as_fd(), target as i32).context(what)?;
            }
        }
        (Stdio::Terminal { .. }, Some(pty)) => {
            sys::pty::set_controlling(&pty.slave).context(|| "cannot take the terminal".into())?;
            for target in 0..3 {
                sys::fds::inherit_as(pty.slave.as_fd(), target).context(what)?;
            }
            channel.send_from_init(&FromInit::Terminal(pty.master))?;
        }
        (Stdio::Terminal { .. }, None) => return Err(Error::new(Kind::Internal, "no terminal was made")),
    }
    Ok(())
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

fn find_user(plan: &Plan<'_>, root: &Root) -> Result<Identity> {
    if plan.config.user.is_some() || !plan.config.groups.is_empty() {
        return users::resolve(root, plan.config.user.unwrap_or_default(), plan.config.groups);
    }
    let user = &plan.process.user;
    Ok(Identity {
        uid: user.uid,
        gid: user.gid,
        groups: user.additional_gids.clone(),
        home: users::home_of(root, user.uid)?,
    })
}

/// The user may open `/dev/stdout` again only if the pipe behind it is theirs.
fn own_stdio(plan: &Plan<'_>, identity: &Identity) {
    if identity.uid == 0 {
        return;
    }
    let files: Vec<_> = match &plan.config.stdio {
        Stdio::Files(files) => {
            files.iter().filter(|file| sys::root::file_type(file).is_ok_and(|kind| kind.is_fifo())).collect()
        }
        Stdio::Terminal { .. } => Vec::new(),
    };
    let uid = Some(rustix::fs::Uid::from_raw(identity.uid));
    for file in files {
        // Best effort: with a user namespace the creator has given them away already.
        let _ = rustix::fs::fchown(file, uid, None);
    }
    if matches!(plan.config.stdio, Stdio::Terminal { .. }) {
        let _ = rustix::fs::fchown(rustix::stdio::stdin(), uid, None);
    }
}

fn environment(plan: &Plan<'_>, identity: &Identity) -> Vec<String> {
    let mut env = plan.process.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    env
}

fn enter_cwd(plan: &Plan<'_>) -> Result<()> {
    let cwd = &plan.process.cwd;
    rustix::process::chdir(cwd.as_str()).context(|| format!("cannot enter working directory \"{cwd}\""))?;
    // A directory outside the root, reached through a descriptor somebody left open, has no path.
    let path = rustix::process::getcwd(Vec::new()).context(|| "cannot tell the working directory".into())?;
    if !path.to_bytes().starts_with(b"/") {
        return Err(Error::new(Kind::Denied, format!("the working directory \"{cwd}\" is outside the container")));
    }
    Ok(())
}

/// Step 12.
fn become_program(
    plan: &Plan<'_>,
    identity: &Identity,
    program: &Path,
    env: &[String],
) -> std::result::Result<Infallible, Failure> {
    let process = plan.process;
    if let Some(profile) = process.apparmor_profile.as_deref().filter(|profile| !profile.is_empty()) {
        set_apparmor(profile)?;
    }
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).context(|| "cannot give up new privileges".into())?;
    }
    // Loading needs no_new_privs or CAP_SYS_ADMIN: as late as that allows.
    if !process.no_new_privileges {
        load_filter(plan)?;
    }
    process::set_credentials(process, identity)?;
    if let Some(umask) = process.user.umask {
        rustix::process::umask(Mode::from_raw_mode(umask));
    }
    if plan.config.die_with_creator {
        sys::process::die_with_parent(rustix::process::Signal::KILL).context(|| "cannot follow the creator".into())?;
    }
    if process.no_new_privileges {
        load_filter(plan)?;
    }
    sys::signal::reset();
    sys::fds::close_on_exec_from(3).context(|| "cannot close the descriptors".into())?;
    process::execute(program, process, env)
}

fn load_filter(plan: &Plan<'_>) -> Result<()> {
    let Some(filter) = &plan.filter else { return Ok(()) };
    let loaded = sys::seccomp::load(&filter.code(), filter.flags());
    loaded.map(drop).context(|| "cannot load the seccomp filter".into())
}

fn set_apparmor(profile: &str) -> Result<()> {
    let what = || format!("cannot use AppArmor profile \"{profile}\"");
    let procfs = Procfs::open().context(what)?;
    let command = format!("exec {profile}");
    procfs
        .write("self/attr/apparmor/exec", &command)
        .or_else(|_| procfs.write("self/attr/exec", &command))
        .context(what)
}
