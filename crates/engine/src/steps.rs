//! Steps of builds: layers of the store looked at and written to without a mount point, and programs that run upon them as
//! containers do, by the same specification and a monitor of the same kind. Only nothing is recorded: a step whose client
//! leaves is ended, and what it wrote goes with its scratch.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use monitor::client::Connection;
use monitor::config::lock_path;
use monitor::protocol::{Event, Request};
use monitor::restart::Restart;
use oci::DiffId;
use runtime::bundle::Bundle;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stdx::flock::Flock;
use stdx::remove_tree::remove_tree;
use stdx::{Error, Kind, Result, id};
use store::BuildStep;
use sys::mount::{Mount, Overlay};
use sys::root::Root;

use crate::Engine;
use crate::config::make_dir;
use crate::containers::options::Options;
use crate::containers::record::{Record, RecordImage, RecordProcess};
use crate::containers::{StartError, etc, prepare, spec};
use crate::images;
use crate::networks;

/// The name of the machine that steps run on: the same everywhere, as it may get into what they write.
const HOSTNAME: &str = "build";

/// The root that these layers make, read-only. It is mounted as long as the value lives.
pub fn look(engine: &Engine, diff_ids: &[DiffId]) -> Result<Root> {
    let lower = below(engine, diff_ids)?;
    if lower.is_empty() {
        return Err(Error::invalid("there is nothing in an image without layers"));
    }
    let what = || "cannot join the layers".to_owned();
    images::mounted(&Overlay { lower, upper: None, volatile: false }, what).map(Root::new)
}

/// The same with a step's writable layer on top.
pub fn open(engine: &Engine, step: &BuildStep<'_>, parent: &[DiffId]) -> Result<Root> {
    let overlay = Overlay { lower: below(engine, parent)?, upper: Some((step.upper(), step.work())), volatile: true };
    images::mounted(&overlay, || "cannot join the layers".to_owned()).map(Root::new)
}

/// Topmost first.
fn below(engine: &Engine, diff_ids: &[DiffId]) -> Result<Vec<PathBuf>> {
    let mut lower = engine.store()?.mounted_stack(diff_ids)?;
    lower.reverse();
    Ok(lower)
}

/// The live side of a step, in memory, removed when dropped.
#[derive(Debug)]
pub struct Place {
    id: String,
    dir: PathBuf,
}

impl Place {
    /// A fresh one. What died without removing its own is removed.
    pub fn new(engine: &Engine) -> Result<Self> {
        sweep(engine);
        let id = id::random_hex(32);
        // Beside those of containers: what is told apart by it there, addresses above all, is a step's too.
        let dir = engine.dirs().container_run(&id);
        make_dir(&dir, 0o711)?;
        Ok(Self { id, dir })
    }

    /// For what must not get onto a disk.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is removed by a later step.
        let _ = remove_tree(&self.dir);
    }
}

/// Old enough that whoever made it has started its monitor, or died.
const ABANDONED: std::time::Duration = std::time::Duration::from_secs(600);

fn sweep(engine: &Engine) {
    for entry in std::fs::read_dir(engine.dirs().run.join("containers")).into_iter().flatten().flatten() {
        let is_container = entry.file_name().to_str().is_some_and(|id| engine.dirs().container(id).exists());
        if is_container {
            continue;
        }
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        let is_old = age.is_some_and(|age| age > ABANDONED);
        if is_old && !Flock::is_held(&lock_path(&entry.path())).unwrap_or(true) {
            let _ = remove_tree(&entry.path());
        }
    }
}

/// A program to be run in a step.
#[derive(Debug, Default)]
pub struct Program {
    pub process: RecordProcess,
    /// Limits, namespaces, mounts; what is said of the program itself is in `process`.
    pub options: Options,
    /// What is mounted where, for mount points that are not to be in the layer, and whether it is a directory.
    pub mount_points: Vec<(String, bool)>,
}

/// A step's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Whom a step runs for.
pub struct Client<'a> {
    /// Gets what the program writes.
    pub output: &'a mut dyn FnMut(Stream, &[u8]),
    /// Whether the program is to be ended, because nobody wants it any more.
    pub gives_up: &'a dyn Fn() -> bool,
}

/// How often a client is asked whether it gives up.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Runs a program to its end upon the layers of `parent`; what it writes is the step's layer. Gives its exit code.
pub fn run(
    engine: &Engine,
    (step, parent): (&BuildStep<'_>, &[DiffId]),
    place: &Place,
    program: Program,
    client: &mut Client<'_>,
) -> std::result::Result<i32, StartError> {
    let mut lower = below(engine, parent)?;
    lower.insert(0, images::make_init_layer(&step.dir().join("init"), &lower, &program.mount_points)?);
    let root = Overlay { lower, upper: Some((step.upper(), step.work())), volatile: true };
    let record = record(engine, place, program);
    let mut joined = networks::join::prepare(engine, &record, &place.dir, None)?;
    etc::write(engine, &place.dir, &record, HOSTNAME, joined.as_ref().map(|joined| &joined.live))?;
    let volumes = prepare::volume_sources(engine, &record.options)?;
    let facts = prepare::gather(engine, &record, (&place.dir, HOSTNAME.to_owned()), volumes)?;
    Bundle::save(&place.dir, &spec::build(&record, &facts)?)?;
    monitor_config(place, &record, root).save(&place.dir)?;
    let mut connection = monitor::spawn::spawn(&place.dir, None)?;
    let died = || Error::new(Kind::Internal, "the monitor of a step ended before the step");
    match connection.receive()? {
        Some(Event::Ready(ready)) => {
            if let Some(joined) = &mut joined {
                joined.plug(engine, ready.pid)?;
            }
        }
        Some(Event::Failed(failed)) => return Err(failed.into()),
        _ => return Err(died().into()),
    }
    connection.send(&Request::Attach { stdin: false, stdout: true, stderr: true })?;
    connection.send(&Request::Start)?;
    let ended = match follow(&mut connection, client) {
        Ok(ended) => ended,
        Err(error) => {
            // The monitor ends the program when its client is gone, and has this lock until it has ended itself.
            drop(connection);
            Flock::exclusive_existing(&lock_path(&place.dir))?;
            return Err(error);
        }
    };
    // The monitor takes the root down, then ends.
    while connection.receive()?.is_some() {}
    if joined.is_some() {
        networks::leave::removed(engine, &place.id)?;
    }
    ended.ok_or_else(|| died().into())
}

/// `None`: the monitor is gone without a word. A client that gives up leaves, and the monitor ends the program.
fn follow(connection: &mut Connection, client: &mut Client<'_>) -> std::result::Result<Option<i32>, StartError> {
    loop {
        while let Some(event) = connection.pending()? {
            match event {
                Event::Stdout(bytes) => (client.output)(Stream::Stdout, &bytes),
                Event::Stderr(bytes) => (client.output)(Stream::Stderr, &bytes),
                Event::Exited(code) => return Ok(Some(code)),
                Event::Failed(failed) => return Err(failed.into()),
                _ => {}
            }
        }
        let mut fds = [PollFd::new(&*connection, PollFlags::IN)];
        // Interrupted: asked again.
        let happened = poll(&mut fds, Some(&PATIENCE)).unwrap_or(0) > 0;
        if happened && !connection.fill()? {
            return Ok(None);
        }
        if (client.gives_up)() {
            return Err(Error::conflict("the step is not wanted any more").into());
        }
    }
}

/// A container's record in all but that it is nowhere.
fn record(engine: &Engine, place: &Place, program: Program) -> Record {
    Record {
        id: place.id.clone(),
        name: place.id.clone(),
        created: Timestamp::UNIX_EPOCH,
        image: RecordImage::Stored { name: String::new(), id: oci::ImageId::new(oci::Digest::of(b"")) },
        process: program.process,
        options: program.options,
        user_range: None,
        cgroup_driver: engine.cgroup_driver(),
    }
}

fn monitor_config(place: &Place, record: &Record, root: Overlay) -> monitor::Config {
    monitor::Config {
        id: place.id.clone(),
        state: place.dir.join("state.json"),
        root: Mount::Overlay(root),
        cgroup: record.cgroup(),
        default_filter: spec::uses_default_filter(&record.options),
        user: Some(record.process.user.clone()),
        groups: Vec::new(),
        terminal: false,
        rows: 0,
        columns: 0,
        stdin: false,
        stdin_once: false,
        log: None,
        health: None,
        ports: Vec::new(),
        attended: true,
        cleanup: None,
        restart: Restart::default(),
    }
}
