//! From inside a container to its program: the last steps of init (9, 10 and 12 of [`crate::create`]), and of a process
//! that [`crate::exec`] brings in.

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use oci::runtime_spec::{Hook, MemoryPolicy, Personality, Process, State};
use rustix::fs::{Mode, OFlags};
use stdx::{Context, Error, Kind, Result};
use sys::pty::Pty;
use sys::root::Root;

use crate::create::{Stdio, Terminal};
use crate::seccomp::Program;
use crate::sync::{Channel, Failure, FromInit, ToInit};
use crate::users::{self, Identity};
use crate::{Trace, hooks, labels, process, scheduling};

/// A program to become, and how.
pub(crate) struct Launch<'a> {
    pub(crate) process: &'a Process,
    /// Looked up inside, instead of the numbers of `process`.
    pub(crate) user: Option<&'a str>,
    pub(crate) groups: &'a [String],
    pub(crate) stdio: &'a Stdio,
    pub(crate) filter: Option<&'a Program>,
    pub(crate) memory_policy: Option<&'a MemoryPolicy>,
    pub(crate) personality: Option<&'a Personality>,
    /// What the process runs before it becomes the program, and the state it tells.
    pub(crate) start_hooks: Option<(&'a [Hook], State)>,
    pub(crate) trace: Trace<'a>,
    pub(crate) die_with_creator: bool,
    /// Descriptors after the first three that the program inherits.
    pub(crate) preserve_fds: u32,
}

/// A terminal of the devpts instance in directory `devpts`.
pub(crate) fn open_terminal(devpts: OwnedFd, terminal: Terminal) -> sys::Result<Pty> {
    let pty = Pty::open(devpts, "ptmx")?;
    if terminal.rows > 0 && terminal.columns > 0 {
        sys::pty::resize(&pty.master, terminal.rows, terminal.columns)?;
    }
    if terminal.plain_newlines {
        sys::pty::keep_newlines(&pty.master)?;
    }
    Ok(pty)
}

/// A program that was found, and what it runs as.
pub(crate) struct Found {
    identity: Identity,
    path: PathBuf,
    env: Vec<String>,
}

impl Launch<'_> {
    /// Step 9. The program's first three descriptors, its resource limits and how it is scheduled.
    pub(crate) fn set_streams(&self, terminal: Option<Pty>, channel: &Channel) -> Result<()> {
        let what = || "cannot hand over the standard streams".to_owned();
        match (self.stdio, terminal) {
            (Stdio::Files(files), _) => {
                for (target, file) in files.iter().enumerate() {
                    sys::fds::inherit_as(file.as_fd(), target as i32).context(what)?;
                }
            }
            (Stdio::Terminal(_), Some(pty)) => {
                sys::pty::set_controlling(&pty.slave).context(|| "cannot take the terminal".into())?;
                for target in 0..3 {
                    sys::fds::inherit_as(pty.slave.as_fd(), target).context(what)?;
                }
                channel.send_from_init(&FromInit::Terminal(pty.master))?;
            }
            (Stdio::Terminal(_), None) => return Err(Error::new(Kind::Internal, "no terminal was made")),
        }
        let mut warn = |warning: String| {
            // If the creator is gone nobody is left to be told.
            let _ = channel.send_from_init(&FromInit::Warning(warning));
        };
        process::set_rlimits(&self.process.rlimits, &mut warn)?;
        scheduling::set_memory_policy(self.memory_policy)?;
        scheduling::set_personality(self.personality)?;
        scheduling::apply(self.process)
    }

    /// Step 10. Finds user and program inside the current root, and enters the working directory.
    pub(crate) fn find(&self) -> std::result::Result<Found, Failure> {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let root = Root::new(root.context(|| "cannot open the root".into())?);
        let identity = self.find_user(&root)?;
        self.own_streams(&identity);
        let env = process::environment(&self.process.env, &identity.home);
        self.enter_cwd()?;
        // A container may be created without a command: it is its start that fails.
        let path = self.process.args.first().map(|name| process::find_program(name, &env)).transpose()?;
        let path = path.unwrap_or_default();
        Ok(Found { identity, path, env })
    }

    fn find_user(&self, root: &Root) -> Result<Identity> {
        if self.user.is_some() || !self.groups.is_empty() {
            return users::resolve(root, self.user.unwrap_or_default(), self.groups);
        }
        let user = &self.process.user;
        let home = users::home_of(root, user.uid)?;
        Ok(Identity { uid: user.uid, gid: user.gid, groups: user.additional_gids.clone(), home })
    }

    /// The user may open `/dev/stdout` again only if the pipe behind it is theirs.
    fn own_streams(&self, identity: &Identity) {
        if identity.uid == 0 {
            return;
        }
        let give = |file: std::os::fd::BorrowedFd<'_>| {
            // Best effort: with a user namespace the creator has given them away already.
            let _ = rustix::fs::fchown(file, Some(rustix::fs::Uid::from_raw(identity.uid)), None);
        };
        match self.stdio {
            Stdio::Terminal(_) => give(rustix::stdio::stdin()),
            Stdio::Files(files) => {
                let is_pipe = |file: &&OwnedFd| sys::root::file_type(file).is_ok_and(|kind| kind.is_fifo());
                files.iter().filter(is_pipe).for_each(|file| give(file.as_fd()));
            }
        }
    }

    fn enter_cwd(&self) -> Result<()> {
        let cwd = &self.process.cwd;
        rustix::process::chdir(cwd.as_str()).context(|| format!("cannot enter working directory \"{cwd}\""))?;
        // A directory outside the root, reached through a descriptor somebody left open, has no path.
        let path = rustix::process::getcwd(Vec::new()).context(|| "cannot tell the working directory".into())?;
        if !path.to_bytes().starts_with(b"/") {
            return Err(Error::new(Kind::Denied, format!("the working directory \"{cwd}\" is outside the container")));
        }
        Ok(())
    }

    /// Step 12. Becomes the program; returns only the failure.
    pub(crate) fn become_program(&self, found: &Found, channel: &Channel) -> std::result::Result<Infallible, Failure> {
        let process = self.process;
        labels::apply(process)?;
        // Before the filter, which may allow no more than the program itself needs.
        sys::signal::reset();
        sys::fds::close_on_exec_from(3 + self.preserve_fds as i32).context(|| "cannot close the descriptors".into())?;
        if process.no_new_privileges {
            rustix::thread::set_no_new_privs(true).context(|| "cannot give up new privileges".into())?;
        }
        // What a filter need not allow.
        sys::signal::reset();
        sys::fds::close_on_exec_from(3 + self.preserve_fds as i32).context(|| "cannot close the descriptors".into())?;
        // Loading needs no_new_privs or CAP_SYS_ADMIN: as late as that allows.
        if !process.no_new_privileges {
            self.load_filter(channel)?;
        }
        process::set_credentials(process, &found.identity)?;
        if let Some(umask) = process.user.umask {
            rustix::process::umask(Mode::from_raw_mode(umask));
        }
        if self.die_with_creator {
            sys::process::die_with_parent(rustix::process::Signal::KILL)
                .context(|| "cannot follow the creator".into())?;
            // It may have died before this was set.
            if channel.is_closed() {
                return Err(Error::new(Kind::Internal, "the creator of the container is gone").into());
            }
        }
        if process.no_new_privileges {
            self.load_filter(channel)?;
        }
        if let Some((hooks, state)) = &self.start_hooks {
            // They are the image's: nothing may be theirs that is not the program's.
            hooks::run("startContainer", hooks, state, Some(&found.env))?;
        }
        process::execute(&found.path, process, &found.env)
    }

    fn load_filter(&self, channel: &Channel) -> Result<()> {
        let Some(filter) = self.filter else { return Ok(()) };
        (self.trace)(&format!("seccomp filter flags: {}", filter.flags()));
        let listener = sys::seccomp::load(&filter.code(), filter.flags());
        let Some(listener) = listener.context(|| "cannot load the seccomp filter".into())? else { return Ok(()) };
        channel.send_from_init(&FromInit::Listener(listener.as_raw_fd()))?;
        match channel.receive_to_init()? {
            // Ours has to go, or whoever is reported after the agent's end waits for an answer for ever.
            Some(ToInit::Heard) => {
                drop(listener);
                Ok(())
            }
            _ => Err(Error::new(Kind::Internal, "whoever starts this process is gone")),
        }
    }
}
