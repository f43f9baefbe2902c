//! `create`: from a bundle to a container that waits for its start.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci::runtime_spec::{Process, Spec, State, Status, VERSION};
use rustix::fs::{Mode, OFlags};
use stdx::{Context, Error, Result};
use sys::mount::Mount;
use sys::socket::{SocketType, listen_in};

use super::{Container, START_SOCKET, check_id};
use crate::bundle::Bundle;
use crate::cgroup::{self, Cgroup, View};
use crate::create::{Config, CreateError, Created, Stdio};
use crate::process;
use crate::resctrl::Class;
use crate::{Trace, keyring};

/// How to create a container.
#[derive(Debug)]
pub struct CreateOptions {
    pub id: String,
    /// RFC 3339.
    pub now: String,
    pub stdio: Stdio,
    /// Sockets, from descriptor 3 on, that the program gets as systemd passes them on, sd_listen_fds(3).
    pub listen_fds: u32,
    /// Descriptors after those that it inherits.
    pub preserve_fds: u32,
    /// The container's processes share a session keyring of their own.
    pub new_keyring: bool,
    /// Instead of `pivot_root`: see [`Config::no_pivot`].
    pub no_pivot: bool,
    /// systemd makes the control group, and the configuration names it as `SLICE:PREFIX:NAME`.
    pub systemd: bool,
}

/// Makes a container of `bundle`, kept below `root`. Gives our side of its terminal and the warnings too.
pub fn create(
    root: &Path,
    bundle: &Bundle,
    options: CreateOptions,
    trace: Trace<'_>,
) -> std::result::Result<(Container, Created), CreateError> {
    check_id(&options.id)?;
    check_version(&bundle.spec.oci_version)?;
    let dir = root.join(&options.id);
    make_root(root)?;
    match fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::conflict(format!("container with id \"{}\" already exists", options.id)).into());
        }
        made => made.context(|| format!("cannot make {dir:?}"))?,
    }
    create_in(&dir, bundle, options, trace).inspect_err(|_| {
        // The error that led here is the one to report.
        let _ = fs::remove_dir_all(&dir);
    })
}

/// A configuration of another major version may mean something else by the same words (config.md, "Specification version").
fn check_version(version: &str) -> Result<()> {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(1)), Some(Ok(_)), Some(Ok(_))) => Ok(()),
        (Some(Ok(_)), Some(Ok(_)), Some(Ok(_))) => {
            Err(Error::unsupported(format!("configurations of version {version} are not supported"))
                .hint("1.0.0 to 1.3.0 are"))
        }
        _ => Err(Error::invalid(format!("invalid ociVersion \"{version}\""))),
    }
}

fn make_root(root: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(root).context(|| format!("cannot make {root:?}"))
}

fn create_in(
    dir: &Path,
    bundle: &Bundle,
    options: CreateOptions,
    trace: Trace<'_>,
) -> std::result::Result<(Container, Created), CreateError> {
    let cgroup_path = match options.systemd {
        true => scope(&bundle.spec, &options.id)?,
        false => cgroup_path(&bundle.spec, &options.id)?,
    };
    let cgroup = cgroup::at(&cgroup_path)?;
    // Refused before anything is made.
    check_unused(cgroup.as_ref())?;
    let rdt = bundle.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    rdt.map(|rdt| Class::new(&options.id, rdt)).transpose()?;
    let rootfs = bundle.spec.root.as_ref().map(|root| bundle.dir.join(&root.path));
    let rootfs = rootfs.ok_or_else(|| Error::invalid("the configuration has no root"))?;
    let mut spec = bundle.spec.clone();
    // What is created need not be startable (config.md, "Process": required when `start` is called).
    spec.process.get_or_insert_with(|| Process { cwd: "/".into(), ..Process::default() });
    pass_sockets(&mut spec, options.listen_fds);
    let mut created = crate::create::create(&Config {
        spec: &spec,
        bundle: &bundle.dir,
        root: &Mount::Bind(rootfs),
        default_filter: false,
        user: None,
        groups: &[],
        cgroup: cgroup.as_ref(),
        stdio: options.stdio,
        die_with_creator: false,
        start_socket: Some(listen(dir)?),
        preserve_fds: options.listen_fds + options.preserve_fds,
        keyring: options.new_keyring.then(|| keyring::name(&options.id)),
        no_pivot: options.no_pivot,
        trace,
        state: Some(State {
            oci_version: VERSION.into(),
            id: options.id.clone(),
            status: Status::Creating,
            pid: None,
            bundle: bundle.dir.to_string_lossy().into_owned(),
            annotations: bundle.spec.annotations.clone(),
        }),
    })?;
    created.warnings.extend(spec.process.iter().flat_map(process::capability_warnings));
    let start = sys::proc::start_time(created.pid).context(|| "cannot read the start time of init".into())?;
    let container = Container {
        id: options.id,
        bundle: bundle.dir.clone(),
        init_process_pid: created.pid,
        init_process_start: start,
        created: options.now,
        cgroup_paths: cgroup_paths(&cgroup.views()),
        namespace_paths: namespace_paths(created.pid),
        cgroup: cgroup_path,
        new_keyring: options.new_keyring,
        config: bundle.spec.clone(),
        dir: dir.to_owned(),
    };
    let settle = || {
        container.save()?;
        // Before its program, so that what that starts is in the class as well.
        container.class()?.map_or(Ok(()), |class| class.make(created.pid))
    };
    if let Err(error) = settle() {
        // The error that led here is the one to report.
        let _ = container.delete(true);
        return Err(error.into());
    }
    Ok((container, created))
}

/// Two containers in one group would be limited, frozen and killed together; in a frozen one init would not get far.
fn check_unused(cgroup: &dyn Cgroup) -> Result<()> {
    let others = cgroup.pids()?.len();
    if others > 0 {
        return Err(Error::conflict(format!("container's cgroup is not empty: {others} process(es) found")));
    }
    if cgroup.is_frozen() {
        return Err(Error::conflict("container's cgroup unexpectedly frozen"));
    }
    Ok(())
}

fn cgroup_paths(views: &[View]) -> BTreeMap<String, PathBuf> {
    let controllers = |view: &View| view.option.split(',').map(str::to_owned).collect::<Vec<_>>();
    let paths = views.iter().flat_map(|view| controllers(view).into_iter().map(|name| (name, view.dir.clone())));
    paths.collect()
}

fn namespace_paths(pid: i32) -> BTreeMap<String, PathBuf> {
    const NAMES: [(&str, &str); 8] = [
        ("NEWCGROUP", "cgroup"),
        ("NEWIPC", "ipc"),
        ("NEWNET", "net"),
        ("NEWNS", "mnt"),
        ("NEWPID", "pid"),
        ("NEWTIME", "time"),
        ("NEWUSER", "user"),
        ("NEWUTS", "uts"),
    ];
    let path = |(key, name): (&str, &str)| (key.to_owned(), PathBuf::from(format!("/proc/{pid}/ns/{name}")));
    NAMES.into_iter().map(path).collect()
}

/// Tells the program, which will be process 1, of its sockets.
fn pass_sockets(spec: &mut Spec, number: u32) {
    if let (1.., Some(process)) = (number, &mut spec.process) {
        process.env.extend([format!("LISTEN_FDS={number}"), "LISTEN_PID=1".to_owned()]);
    }
}

fn listen(dir: &Path) -> Result<OwnedFd> {
    rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|dir| listen_in(dir.as_fd(), START_SOCKET, SocketType::SEQPACKET))
        .context(|| format!("cannot open the start socket in {dir:?}"))
}

/// The configuration's `SLICE:PREFIX:NAME`, where the slice may be left out, or a scope named by the id.
fn scope(spec: &Spec, id: &str) -> Result<String> {
    const SLICE: &str = "system.slice";
    let path = spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref()).filter(|path| !path.is_empty());
    let Some(path) = path else { return Ok(format!("{SLICE}:tare:{id}")) };
    let scope = if path.starts_with(':') { format!("{SLICE}{path}") } else { path.to_owned() };
    if scope.split(':').count() != 3 || scope.contains('/') || !scope.contains(".slice:") {
        return Err(Error::invalid(format!("invalid cgroups path \"{path}\" for systemd"))
            .hint("it must be \"SLICE:PREFIX:NAME\", as in \"system.slice:tare:web\""));
    }
    Ok(scope)
}

/// The configuration's path, or the id. Both mean the same place in every hierarchy.
fn cgroup_path(spec: &Spec, id: &str) -> Result<String> {
    let path = spec.linux.as_ref().and_then(|linux| linux.cgroups_path.clone()).filter(|path| !path.is_empty());
    let path = PathBuf::from(path.unwrap_or_else(|| id.to_owned()));
    // As in other runtimes: `..` cannot lead out, it only goes up as far as the root.
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => clean.push(name),
            std::path::Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    let clean = clean.to_str().filter(|path| !path.is_empty());
    // What would be a scope, were systemd asked, is a name with colons. A slash makes it a path.
    let clean = clean.map(|path| if path.contains(':') { format!("/{path}") } else { path.to_owned() });
    clean.ok_or_else(|| Error::invalid(format!("invalid cgroups path {path:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime_spec::Linux;

    #[test]
    fn cgroup_paths_stay_below_the_root() {
        let path = |path: &str| {
            let linux = Linux { cgroups_path: Some(path.into()), ..Linux::default() };
            cgroup_path(&Spec { linux: Some(linux), ..Spec::default() }, "id")
        };
        assert_eq!(path("/a/b").unwrap(), "a/b");
        assert_eq!(path("../../a").unwrap(), "a");
        assert_eq!(path("").unwrap(), "id");
        assert_eq!(path("system.slice:a:b").unwrap(), "/system.slice:a:b");
        assert!(path("/..").is_err());
    }

    #[test]
    fn scopes_have_three_parts() {
        let scope = |path: &str| {
            let linux = Linux { cgroups_path: Some(path.into()), ..Linux::default() };
            super::scope(&Spec { linux: Some(linux), ..Spec::default() }, "id")
        };
        assert_eq!(scope("work.slice:a:b").unwrap(), "work.slice:a:b");
        assert_eq!(scope(":a:b").unwrap(), "system.slice:a:b");
        assert_eq!(scope("").unwrap(), "system.slice:tare:id");
        for wrong in ["/a/b", "a:b:c", "a.slice:b", "a.slice:b:../c"] {
            assert!(scope(wrong).is_err(), "{wrong}");
        }
    }
}
