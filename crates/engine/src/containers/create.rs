//! `create`: the image is found, the program decided, the record written. Nothing runs yet.

use std::collections::BTreeMap;

use jiff::Timestamp;
use network::ports::Protocol;
use oci::image_config::Config as ImageDefaults;
use stdx::{Context, Error, Result, id};

use crate::config::make_dir;
use crate::containers::options::{Mount, MountKind, Namespace, Network, Options, Seccomp, User};
use crate::containers::record::{Record, RecordProcess};
use crate::containers::{find, health, names, options, remove, userns};
use crate::images;
use crate::networks;
use crate::volumes::{self, Wanted};
use crate::{CgroupDriver, Engine, events};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes a container from `options`.
pub fn create(engine: &Engine, options: Options) -> Result<Record> {
    check(&options)?;
    // Opens the store first: an unusable data root is found before anything is made in it. While it is held, an image that
    // is removed at this moment keeps its layers.
    let _hold = engine.store()?.hold()?;
    let (image, defaults) = images::resolve(engine, &options.image, options.platform.as_deref())?;
    let process = decide_process(&options, &defaults)?;
    let id = id::random_hex(32);
    // Names and ranges of ids are unique among complete containers: from the choice to the rename nobody else chooses.
    let lock = names::lock(engine)?;
    let mut anonymous = Vec::new();
    let name = names::reserve(engine, options.name.as_deref(), &id)?;
    sweep(engine);
    let unfinished = engine.dirs().unfinished().join(&id);
    let made = (|| {
        let user_range = match options.namespaces.user {
            User::Auto => Some(userns::allocate(engine)?),
            User::Host => None,
        };
        make_layer(&unfinished, user_range)?;
        let (created, cgroup_driver) = (Timestamp::now(), engine.cgroup_driver());
        let name = name.clone();
        let mut record = Record { id, name, created, image, process, options, user_range, cgroup_driver };
        check_cgroup(&record)?;
        make_volumes(engine, &mut record, &defaults, &mut anonymous)?;
        record.options.expose = exposed(&record.options, &defaults)?;
        record.save(&unfinished)?;
        let dir = engine.dirs().container(&record.id);
        make_dir(&engine.dirs().containers(), 0o711)?;
        std::fs::rename(&unfinished, &dir).context(|| format!("cannot make container directory {dir:?}"))?;
        Ok(record)
    })();
    let record = made.inspect_err(|_: &Error| {
        // The error that led here is the one to report.
        let _ = std::fs::remove_dir_all(&unfinished);
        let _ = names::release(engine, &name);
    });
    drop(lock);
    let record = record.inspect_err(|_| {
        // As above.
        anonymous.iter().for_each(|name| drop(volumes::remove(engine, name)));
    })?;
    // It holds its volumes from here on, and filling them takes as long as it takes.
    match volumes::fill(engine, &record) {
        Ok(()) => {
            events::of_container(engine, &record, "create");
            Ok(record)
        }
        Err(error) => {
            // As above.
            let _ = remove::remove(engine, &record.id, true, true);
            Err(error)
        }
    }
}

/// Makes the volumes among the mounts that are not there yet.
fn make_volumes(
    engine: &Engine,
    record: &mut Record,
    defaults: &ImageDefaults,
    anonymous: &mut Vec<String>,
) -> Result<()> {
    let mut mounts = decide_mounts(engine, &record.options, defaults)?;
    for mount in &mut mounts {
        if let MountKind::Volume { name, .. } = &mut mount.kind {
            let wanted = Wanted { name: name.clone(), ..Wanted::default() };
            let volume = volumes::create_locked(engine, &wanted)?;
            anonymous.extend(name.is_none().then(|| volume.name.clone()));
            *name = Some(volume.name);
        }
    }
    record.options.mounts = mounts;
    Ok(())
}

/// What is mounted where: the user's mounts, those of other containers, and the volumes the image asks for, the former
/// before the latter. Anonymous volumes have no name yet.
pub(crate) fn decide_mounts(engine: &Engine, options: &Options, defaults: &ImageDefaults) -> Result<Vec<Mount>> {
    let mut mounts = options.mounts.clone();
    let is_free = |mounts: &[Mount], target: &str| {
        let target = target.trim_end_matches('/');
        !mounts.iter().any(|mount| mount.target.trim_end_matches('/') == target)
    };
    for text in &options.volumes_from {
        for mount in of_container(engine, text)? {
            if is_free(&mounts, &mount.target) {
                mounts.push(mount);
            }
        }
    }
    for target in defaults.volumes.keys().filter(|target| target.starts_with('/')) {
        if is_free(&mounts, target) {
            let kind = MountKind::Volume { name: None, anonymous: true, nocopy: false };
            mounts.push(Mount { target: target.clone(), kind, read_only: false });
        }
    }
    Ok(mounts)
}

/// The ports the program says it listens on: those of the options, those of the image, and those that are published.
fn exposed(options: &Options, defaults: &ImageDefaults) -> Result<Vec<(u16, Protocol)>> {
    let mut ports = options.expose.clone();
    for text in defaults.exposed_ports.keys() {
        ports.extend(options::parse::expose(text)?);
    }
    ports.extend(options.ports.iter().map(|port| (port.container_port, port.protocol)));
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// `--volumes-from CONTAINER[:ro|rw]`. Its anonymous volumes stay its own.
fn of_container(engine: &Engine, text: &str) -> Result<Vec<Mount>> {
    let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
    if !matches!(mode, "ro" | "rw" | "z" | "Z") {
        return Err(Error::invalid(format!("invalid mode \"{mode}\" in \"{text}\": ro or rw")));
    }
    let mut mounts = find::find(engine, name)?.record.options.mounts;
    mounts.retain(|mount| !matches!(mount.kind, MountKind::Tmpfs { .. }));
    for mount in &mut mounts {
        mount.read_only |= mode == "ro";
        if let MountKind::Volume { anonymous, .. } = &mut mount.kind {
            *anonymous = false;
        }
    }
    Ok(mounts)
}

/// Every later verb asks for the container's groups, its removal too: what cannot be asked for is refused now.
pub(crate) fn check_cgroup(record: &Record) -> Result<()> {
    let cgroup = record.cgroup();
    if record.cgroup_driver == CgroupDriver::Cgroupfs {
        return runtime::cgroup::check(&cgroup);
    }
    // systemd has no groups but those of its units.
    if let Some(parent) = record.options.cgroup_parent.as_deref().filter(|p| !p.ends_with(".slice") || p.contains('/'))
    {
        return Err(Error::invalid(format!("invalid cgroup parent \"{parent}\""))
            .hint("with --cgroup-driver=systemd it is the name of a slice, as in \"work.slice\""));
    }
    runtime::cgroup::at(&cgroup).map(drop)
}

/// Removes what creations and removals that were killed have left. The caller holds the lock of the names, so nobody
/// else is creating; a removal that goes on at the same time only finds its work done.
pub(crate) fn sweep(engine: &Engine) {
    for entry in std::fs::read_dir(engine.dirs().unfinished()).into_iter().flatten().flatten() {
        // What cannot be removed now is tried again by the next creation.
        let _ = stdx::remove_tree::remove_tree(&entry.path());
    }
    volumes::sweep(engine);
}

/// The writable layer. It belongs to the container's root.
fn make_layer(dir: &std::path::Path, user_range: Option<u32>) -> Result<()> {
    make_dir(dir.parent().unwrap_or(dir), 0o711)?;
    make_dir(dir, 0o710)?;
    for name in ["upper", "work"] {
        let path = dir.join(name);
        make_dir(&path, 0o755)?;
        if let Some(base) = user_range {
            std::os::unix::fs::chown(&path, Some(base), Some(base))
                .context(|| format!("cannot give {path:?} to its owner"))?;
        }
    }
    Ok(())
}

/// Combinations that make no sense are refused in words before anything is made.
pub(crate) fn check(options: &Options) -> Result<()> {
    let namespaces = &options.namespaces;
    if namespaces.uts == Namespace::Host && (options.hostname.is_some() || options.domainname.is_some()) {
        return Err(Error::invalid("conflicting options: hostname and the host's UTS namespace"));
    }
    if matches!(namespaces.network, Network::Container(_))
        && !(options.extra_hosts.is_empty() && options.dns == Default::default())
    {
        return Err(Error::invalid("conflicting options: host names and another container's network"));
    }
    if namespaces.user == User::Auto {
        let shared = |namespace: &Namespace| matches!(namespace, Namespace::Host | Namespace::Container(_));
        if options.privileged
            || shared(&namespaces.pid)
            || shared(&namespaces.ipc)
            || matches!(namespaces.network, Network::Host | Network::Container(_))
        {
            return Err(Error::invalid(
                "a user namespace of its own goes with private namespaces only, and not with --privileged",
            )
            .hint("use --userns=host"));
        }
    }
    if options.privileged && matches!(options.seccomp, Seccomp::Profile(_)) {
        return Err(Error::invalid("conflicting options: privileged and a seccomp profile"));
    }
    if options.working_dir.as_deref().is_some_and(|dir| !dir.starts_with('/')) {
        let dir = options.working_dir.as_deref().unwrap_or_default();
        return Err(Error::invalid(format!("the working directory \"{dir}\" is invalid: it must be an absolute path")));
    }
    if let Some(name) = &options.name {
        names::check(name)?;
    }
    health::check(&options.health)?;
    check_network(options)?;
    let memory = options.resources.memory.as_ref();
    if let Some(limit) = memory.and_then(|memory| memory.limit).filter(|&limit| limit > 0) {
        check_least_memory(limit)?;
        if memory.and_then(|memory| memory.swap).is_some_and(|swap| (1..limit).contains(&swap)) {
            return Err(Error::invalid("the limit of memory and swap together must be at least the memory limit"));
        }
    } else if memory.and_then(|memory| memory.swap).is_some_and(|swap| swap > 0) {
        return Err(Error::invalid("a limit of memory and swap needs a memory limit too"));
    }
    Ok(())
}

/// With less than Docker's least limit not even a start succeeds. `update` refuses it too.
pub(crate) fn check_least_memory(limit: i64) -> Result<()> {
    const LEAST: i64 = 6 << 20;
    if (1..LEAST).contains(&limit) { Err(Error::invalid("the least memory limit is 6m")) } else { Ok(()) }
}

/// What belongs to networks makes sense only with one, and a network has a container once.
fn check_network(options: &Options) -> Result<()> {
    let conflict = |what: &str, why: &str| Err(Error::invalid(format!("conflicting options: {what} and {why}")));
    let Network::Joined(places) = &options.namespaces.network else {
        return match &options.namespaces.network {
            Network::Container(_) if !options.ports.is_empty() || options.publish_all => {
                conflict("published ports", "another container's network")
            }
            Network::None if !options.ports.is_empty() => conflict("published ports", "no network"),
            _ => Ok(()),
        };
    };
    for (at, place) in places.iter().enumerate() {
        if places[..at].iter().any(|other| other.network == place.network) {
            return Err(Error::invalid(format!("network {} is given twice", place.network)));
        }
        if !place.aliases.is_empty() && matches!(place.network.as_str(), networks::DEFAULT | "default") {
            return conflict("aliases", "the default network, which has no names");
        }
    }
    Ok(())
}

/// The program, from the options over the image's defaults.
pub(crate) fn decide_process(options: &Options, defaults: &ImageDefaults) -> Result<RecordProcess> {
    let (entrypoint, command) = match &options.entrypoint {
        // The image's command belongs to the image's entrypoint.
        Some(entrypoint) => (entrypoint.clone(), options.command.clone()),
        None => {
            let command = if options.command.is_empty() {
                defaults.cmd.clone().unwrap_or_default()
            } else {
                options.command.clone()
            };
            (defaults.entrypoint.clone().unwrap_or_default(), command)
        }
    };
    if entrypoint.is_empty() && command.is_empty() {
        return Err(
            Error::invalid("no command specified").hint("name one after the image, as in \"tare run IMAGE sh\"")
        );
    }
    let stop_signal =
        options.stop_signal.clone().or_else(|| Some(defaults.stop_signal.clone()).filter(|text| !text.is_empty()));
    let stop_signal = match stop_signal {
        None => sys::signal::TERM,
        Some(text) => sys::signal::parse(&text).ok_or_else(|| Error::invalid(format!("invalid signal \"{text}\"")))?,
    };
    let mut labels: BTreeMap<String, String> = defaults.labels.clone();
    labels.extend(options.labels.clone());
    let working_dir =
        options.working_dir.clone().or_else(|| Some(defaults.working_dir.clone()).filter(|dir| !dir.is_empty()));
    Ok(RecordProcess {
        entrypoint,
        command,
        env: environment(options, &defaults.env),
        working_dir: working_dir.unwrap_or_else(|| "/".into()),
        user: options.user.clone().unwrap_or_else(|| defaults.user.clone()),
        stop_signal,
        labels,
        healthcheck: health::merge(&options.health, defaults.healthcheck.as_ref()),
        shell: defaults.shell.clone(),
    })
}

/// Docker's order: its own variables, then the image's, then the user's; the last of a name wins, at the first's place.
fn environment(options: &Options, image: &[String]) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned()];
    if options.tty {
        env.push("TERM=xterm".into());
    }
    for entry in image.iter().chain(&options.env) {
        let name = entry.split('=').next().unwrap_or_default();
        let same = |known: &&mut String| known.split('=').next() == Some(name);
        match env.iter_mut().find(same) {
            Some(known) => known.clone_from(entry),
            None => env.push(entry.clone()),
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|&s| s.to_owned()).collect()
    }

    #[test]
    fn the_command_follows_dockers_table() {
        let image =
            ImageDefaults { entrypoint: Some(strings(&["e"])), cmd: Some(strings(&["c"])), ..ImageDefaults::default() };
        let args = |entrypoint: Option<&[&str]>, command: &[&str]| {
            let options =
                Options { entrypoint: entrypoint.map(strings), command: strings(command), ..Options::default() };
            decide_process(&options, &image).map(|process| process.args())
        };
        assert_eq!(args(None, &[]).unwrap(), ["e", "c"]);
        assert_eq!(args(None, &["x"]).unwrap(), ["e", "x"]);
        assert_eq!(args(Some(&["y"]), &[]).unwrap(), ["y"]);
        assert_eq!(args(Some(&["y"]), &["x"]).unwrap(), ["y", "x"]);
        assert!(args(Some(&[]), &[]).is_err());
    }

    #[test]
    fn the_users_variables_win() {
        let options = Options { env: strings(&["A=2", "C=3"]), tty: true, ..Options::default() };
        assert_eq!(environment(&options, &strings(&["A=1", "B=1"])), [DEFAULT_PATH, "TERM=xterm", "A=2", "B=1", "C=3"]);
    }
}
