//! `prepare`: everything a container needs is put in place and its monitor started, with init waiting to execute the
//! program. `start` releases it. Whoever wants to see every byte attaches in between.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monitor::State;
use monitor::client::Connection;
use monitor::config::{LogConfig, LogDriver, lock_path};
use monitor::events::Attributes;
use monitor::protocol::{Event, Failed, Request};
use monitor::restart::Restart;
use oci::runtime_spec::{Device as SpecDevice, DeviceType, TimeOffset};
use runtime::bundle::Bundle;
use rustix::time::{ClockId, clock_gettime};
use stdx::flock::Flock;
use stdx::{Context, Error, Kind, Result};
use sys::mount::{Mount, Overlay};

use crate::config::make_dir;
use crate::containers::options::{MountKind, Namespace, Network, Options};
use crate::containers::record::Record;
use crate::containers::spec::{self, Facts};
use crate::containers::{CLEANUP_ARGUMENT, Container, RESTART_ARGUMENT, etc, find, health, logs, pause};
use crate::images;
use crate::networks;
use crate::volumes;
use crate::{Engine, events};

/// A container that could not be started, with Docker's exit code for why.
#[derive(Debug)]
pub struct StartError {
    /// 125, 126 or 127.
    pub exit_code: i32,
    pub error: Error,
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self { exit_code: 125, error }
    }
}

impl From<Failed> for StartError {
    fn from(failed: Failed) -> Self {
        let kind = match failed.exit_code {
            127 => Kind::NotFound,
            126 => Kind::Denied,
            _ => Kind::Internal,
        };
        Self { exit_code: failed.exit_code, error: Error::new(kind, failed.message) }
    }
}

/// A container whose init waits to be started.
#[derive(Debug)]
pub struct Prepared {
    /// To its monitor. Dropping it before the start takes everything back.
    pub connection: Connection,
    /// Init's pid on the host.
    pub pid: i32,
    /// What was asked for and cannot be had here.
    pub warnings: Vec<String>,
    /// No other verb changes the container until it is started.
    lock: Flock,
}

/// Puts a container in place. `terminal` is the size of the user's terminal: rows and columns, 0 if there is none.
pub fn prepare(engine: &Engine, record: &Record, terminal: (u16, u16)) -> std::result::Result<Prepared, StartError> {
    put_in_place(engine, record, terminal, record.lock(engine)?, None)
}

/// How often the one that begins to start a container again looks whether another verb is done with it.
const PATIENCE: Duration = Duration::from_millis(5);

/// What the monitor of a container leaves to whoever starts it again by its policy.
#[derive(Debug)]
pub struct Legacy {
    /// The monitor's lock, held until nobody else can begin.
    pub lock: Option<OwnedFd>,
    /// What keeps its ports.
    pub ports: Option<OwnedFd>,
}

/// The same for a container that its policy starts again.
pub(crate) fn prepare_again(
    engine: &Engine,
    record: &Record,
    legacy: Legacy,
) -> std::result::Result<Prepared, StartError> {
    // Not waited for with the monitor's lock in hand, for which the other verb may be waiting.
    let ours = loop {
        if let Some(ours) = Flock::try_exclusive(&record.lock_path(engine))? {
            break ours;
        }
        if !matches!(State::load(&record.state_path(engine))?, Some(State::Restarting { .. })) {
            return Err(not_again(record).into());
        }
        std::thread::sleep(PATIENCE);
    };
    put_in_place(engine, record, (0, 0), ours, Some(legacy))
}

fn not_again(record: &Record) -> Error {
    Error::conflict(format!("container {} is not to be started again", record.name))
}

fn put_in_place(
    engine: &Engine,
    record: &Record,
    terminal: (u16, u16),
    lock: Flock,
    again: Option<Legacy>,
) -> std::result::Result<Prepared, StartError> {
    let now = Container::load_locked(engine, &record.id)?;
    let mut restart = Restart { policy: record.options.restart, ..Restart::default() };
    match (now.as_ref().and_then(|now| now.state.as_ref()), &again) {
        (Some(State::Restarting { exit, delay_ms }), Some(_)) => {
            restart.count = exit.restarts + 1;
            restart.delay_ms = *delay_ms;
        }
        (_, Some(_)) => {
            // The ended monitor has left it for us.
            networks::leave::ended(engine, &record.id)?;
            let _ = std::fs::remove_dir_all(engine.dirs().container_run(&record.id));
            return Err(not_again(record).into());
        }
        (Some(State::Restarting { .. }), None) => {
            return Err(Error::conflict(format!("container {} is restarting", record.name)).into());
        }
        _ => {}
    }
    // Nobody else can begin: the container's lock is ours.
    let kept = again.and_then(|legacy| legacy.ports);
    match now {
        None => return Err(Error::not_found(format!("no such container: {}", record.name)).into()),
        Some(container) if container.is_alive() => {
            return Err(Error::conflict(format!("container {} is already running", container.record.name)).into());
        }
        Some(_) => {}
    }
    let run_dir = engine.dirs().container_run(&record.id);
    // Of a run that was killed while it was paused.
    pause::forget(engine, &record.id)?;
    // An old monitor has written the end down and is taking things down, this directory among them.
    Flock::exclusive_existing(&lock_path(&run_dir))?;
    make_dir(&run_dir, 0o711)?;
    let mut joined = networks::join::prepare(engine, record, &run_dir, kept)?;
    let hostname = hostname(record);
    etc::write(engine, &run_dir, record, &hostname, joined.as_ref().map(|joined| &joined.live))?;
    make_sources(record)?;
    let facts = gather(engine, record, (&run_dir, hostname), volume_sources(engine, &record.options)?)?;
    Bundle::save(&run_dir, &spec::build(record, &facts)?)?;
    let ports = joined.as_ref().map(|joined| joined.live.ports.clone()).unwrap_or_default();
    let keeper = joined.as_mut().and_then(|joined| joined.reservation.take()).map(|reservation| reservation.keeper);
    monitor::Config { ports, ..monitor_config(engine, record, terminal, restart)? }.save(&run_dir)?;
    events::actor(engine, record).save(&run_dir)?;
    let mut connection = monitor::spawn::spawn(&run_dir, keeper)?;
    match connection.receive()? {
        Some(Event::Ready(ready)) => {
            health::write_template(engine, record, ready.pid, &run_dir)?;
            let mut warnings = ready.warnings;
            if let Some(joined) = &mut joined {
                warnings.append(&mut joined.warnings);
                // If it fails, the monitor takes everything back when the connection is closed.
                joined.plug(engine, ready.pid)?;
            }
            tell_of_volumes(engine, record);
            Ok(Prepared { connection, pid: ready.pid, warnings, lock })
        }
        Some(Event::Failed(failed)) => Err(failed.into()),
        _ => Err(Error::new(Kind::Internal, "the container's monitor ended before the container was made").into()),
    }
}

impl Prepared {
    /// Lets the program run. `first` are requests to make before, such as an attach.
    pub fn start(mut self, first: &[Request]) -> std::result::Result<Connection, StartError> {
        for request in first {
            self.connection.send(request)?;
        }
        self.connection.send(&Request::Start)?;
        let answer = self.connection.receive()?;
        drop(self.lock);
        match answer {
            Some(Event::Started) => Ok(self.connection),
            Some(Event::Failed(failed)) => Err(failed.into()),
            _ => Err(Error::new(Kind::Internal, "the container's monitor ended before the program was started").into()),
        }
    }
}

/// The host name inside.
pub(crate) fn hostname(record: &Record) -> String {
    let options = &record.options;
    let host = options.namespaces.uts == Namespace::Host || options.namespaces.network == Network::Host;
    match &options.hostname {
        Some(name) => name.clone(),
        None if host => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        None => record.id[..12].to_owned(),
    }
}

/// Looks up what the runtime configuration depends on.
pub(crate) fn gather(
    engine: &Engine,
    record: &Record,
    (run_dir, hostname): (&Path, String),
    volumes: BTreeMap<String, volumes::Source>,
) -> Result<Facts> {
    let options = &record.options;
    let pid_of = |namespace: &Namespace| match namespace {
        Namespace::Container(name) => running_pid(engine, name).map(Some),
        _ => Ok(None),
    };
    Ok(Facts {
        run_dir: run_dir.to_owned(),
        hostname,
        pid_of: pid_of(&options.namespaces.pid)?,
        ipc_of: shareable_ipc(engine, &options.namespaces.ipc)?,
        network_of: match &options.namespaces.network {
            Network::Container(name) => Some(running_pid(engine, name)?),
            _ => None,
        },
        devices: devices(record)?,
        hidden: images::hidden(engine, &record.image),
        binary: own_path()?,
        volumes,
        clocks: (now(ClockId::Boottime), now(ClockId::Monotonic)),
        apparmor: Path::new("/sys/kernel/security/apparmor").exists(),
    })
}

/// How the volumes of these options are mounted.
pub(crate) fn volume_sources(engine: &Engine, options: &Options) -> Result<BTreeMap<String, volumes::Source>> {
    volumes::named_in(&options.mounts)
        .map(|name| volumes::source(engine, name).map(|source| (name.to_owned(), source)))
        .collect()
}

/// The files of a container that does not run, with all that is mounted on them: a detached tree. The caller holds the
/// container's lock, and is single-threaded.
pub(crate) fn files(engine: &Engine, record: &Record) -> Result<OwnedFd> {
    // An old monitor has written the end down and is taking things down.
    Flock::exclusive_existing(&lock_path(&engine.dirs().container_run(&record.id)))?;
    make_sources(record)?;
    let facts = Facts {
        hidden: images::hidden(engine, &record.image),
        volumes: volume_sources(engine, &record.options)?,
        ..Facts::default()
    };
    let root = match root(engine, record)? {
        // It will be mounted again.
        Mount::Overlay(overlay) => Mount::Overlay(Overlay { volatile: false, ..overlay }),
        bind => bind,
    };
    runtime::view::open(&root, &spec::of_files(record, &facts))
}

fn tell_of_volumes(engine: &Engine, record: &Record) {
    for mount in &record.options.mounts {
        if let MountKind::Volume { name: Some(name), .. } = &mount.kind {
            let how = Attributes::default()
                .with("container", &record.id)
                .with("destination", &mount.target)
                .with("propagation", "")
                .with("read/write", !mount.read_only);
            events::volume(engine, name, "mount", how);
        }
    }
}

fn own_path() -> Result<PathBuf> {
    std::fs::read_link("/proc/self/exe").context(|| "cannot tell this program's path".into())
}

fn now(clock: ClockId) -> TimeOffset {
    let time = clock_gettime(clock);
    TimeOffset { secs: time.tv_sec, nanosecs: time.tv_nsec as u32 }
}

fn running_pid(engine: &Engine, name: &str) -> Result<i32> {
    let container = find::find(engine, name)?;
    match container.state {
        Some(monitor::State::Running { process, .. }) => Ok(process.pid),
        _ => Err(Error::conflict(format!("cannot join the namespaces of container {name}: it is not running"))),
    }
}

/// Joining another container's memory needs that container's consent.
fn shareable_ipc(engine: &Engine, namespace: &Namespace) -> Result<Option<i32>> {
    let Namespace::Container(name) = namespace else { return Ok(None) };
    let other = find::find(engine, name)?;
    if other.record.options.namespaces.ipc != Namespace::Shareable {
        return Err(Error::conflict(format!("cannot join the IPC namespace of container {name}: it is not shareable"))
            .hint("create that container with --ipc=shareable"));
    }
    running_pid(engine, name).map(Some)
}

/// `-v` makes a missing source, as a directory.
fn make_sources(record: &Record) -> Result<()> {
    for mount in &record.options.mounts {
        match &mount.kind {
            MountKind::Bind { source, create: true, .. } if !source.exists() => {
                std::fs::create_dir_all(source)
                    .context(|| format!("cannot make {source:?} to mount it on \"{}\"", mount.target))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn devices(record: &Record) -> Result<Vec<(SpecDevice, String)>> {
    let mut devices = Vec::new();
    if record.options.privileged {
        collect_devices(Path::new("/dev"), Path::new("/dev"), "rwm", &mut devices);
    }
    for device in &record.options.devices {
        let what = || format!("cannot use device {:?}", device.source);
        let metadata = std::fs::metadata(&device.source).context(what)?;
        if metadata.is_dir() {
            collect_devices(&device.source, Path::new(&device.target), &device.access, &mut devices);
            continue;
        }
        let found = spec_device(&metadata, &device.target)
            .ok_or_else(|| Error::invalid(format!("{}: it is not a device", what())))?;
        devices.push((found, device.access.clone()));
    }
    Ok(devices)
}

/// The devices below `dir`, without those that belong to mounts a container has of its own.
fn collect_devices(dir: &Path, target: &Path, access: &str, into: &mut Vec<(SpecDevice, String)>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if ["pts", "shm", "mqueue", "fd", "console", ".lxc", ".lxd-mounts", ".udev"].iter().any(|skip| name == *skip) {
            continue;
        }
        let Ok(metadata) = std::fs::symlink_metadata(entry.path()) else { continue };
        let target = target.join(&name);
        if metadata.is_dir() {
            collect_devices(&entry.path(), &target, access, into);
        } else if let Some(device) = target.to_str().and_then(|target| spec_device(&metadata, target)) {
            into.push((device, access.to_owned()));
        }
    }
}

fn spec_device(metadata: &std::fs::Metadata, target: &str) -> Option<SpecDevice> {
    use std::os::unix::fs::MetadataExt;
    let kind = metadata.file_type();
    let typ = match (kind.is_block_device(), kind.is_char_device()) {
        (true, _) => DeviceType::Block,
        (_, true) => DeviceType::Char,
        _ => return None,
    };
    Some(SpecDevice {
        typ,
        path: target.to_owned(),
        major: rustix::fs::major(metadata.rdev()).into(),
        minor: rustix::fs::minor(metadata.rdev()).into(),
        file_mode: Some(metadata.mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    })
}

/// The layers, topmost first: the init layer stands over the image's.
fn root(engine: &Engine, record: &Record) -> Result<Mount> {
    let mut lower = images::lower_layers(engine, &record.image)?;
    lower.insert(0, images::init_layer(engine, &record.image, &lower)?);
    let dir = engine.dirs().container(&record.id);
    Ok(Mount::Overlay(Overlay {
        lower,
        upper: Some((dir.join("upper"), dir.join("work"))),
        // Nobody will mount it again: then flushing it is work for nothing.
        volatile: record.options.auto_remove,
    }))
}

fn log_config(engine: &Engine, record: &Record, driver: LogDriver) -> Result<LogConfig> {
    let log = &record.options.log;
    let attributes = match driver {
        LogDriver::Journald => logs::journal_fields(record)?,
        LogDriver::JsonFile => logs::attributes(record)?,
        LogDriver::Local => BTreeMap::new(),
    };
    let (max_bytes, max_files) = (log.max_bytes, log.max_files);
    Ok(LogConfig { driver, path: record.log_path(engine), max_bytes, max_files, attributes })
}

fn monitor_config(engine: &Engine, record: &Record, terminal: (u16, u16), restart: Restart) -> Result<monitor::Config> {
    let options = &record.options;
    let log = options.log.driver.map(|driver| log_config(engine, record, driver)).transpose()?;
    let ourselves = |verb: &str| -> Vec<String> {
        let directories = engine.dirs().arguments().into_iter().map(|argument| argument.to_string_lossy().into_owned());
        directories.chain([verb.to_owned(), record.id.clone()]).collect()
    };
    Ok(monitor::Config {
        id: record.id.clone(),
        state: record.state_path(engine),
        root: root(engine, record)?,
        cgroup: record.cgroup(),
        default_filter: spec::uses_default_filter(options),
        user: Some(record.process.user.clone()),
        groups: options.groups.clone(),
        terminal: options.tty,
        rows: terminal.0,
        columns: terminal.1,
        stdin: options.open_stdin,
        stdin_once: options.stdin_once,
        log,
        ports: Vec::new(),
        attended: false,
        cleanup: options.auto_remove.then(|| ourselves(CLEANUP_ARGUMENT)),
        health: health::settings(record),
        restart: Restart { program: own_path()?, arguments: ourselves(RESTART_ARGUMENT), ..restart },
    })
}
