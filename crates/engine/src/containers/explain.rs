//! `explain`: what makes a process a container, as facts: of one that runs as the kernel has them now, of one that does not
//! as they would be.

mod cgroups;
mod layers;

use std::path::Path;

use monitor::State;
use oci::runtime_spec::{NamespaceType, Spec};
use runtime::bundle::Bundle;
use runtime::seccomp::{self, KernelVersion, Refused};
use serde::Serialize;
use stdx::{Context, Result};
use sys::caps;

use crate::Engine;
use crate::containers::options::{MountKind, Options, Seccomp};
use crate::containers::plan::Plan;
use crate::containers::top::{self, Process};
use crate::containers::{Container, Record, inspect, prepare, spec};

pub use cgroups::{Group, Limit, Unit};
pub use layers::{FileOrigin, Layer, Role};

/// All of it.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub id: String,
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    pub user: String,
    /// Its first process, as the host numbers it; `None`: it does not run.
    pub pid: Option<i32>,
    pub namespaces: Vec<Namespace>,
    pub cgroups: Vec<Group>,
    /// From the bottom to the top.
    pub layers: Vec<Layer>,
    /// Nothing may be written to the root.
    pub read_only: bool,
    /// Which layer the file asked for comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileOrigin>,
    pub mounts: Vec<Mounted>,
    pub capabilities: Capabilities,
    pub seccomp: Filter,
    pub no_new_privileges: bool,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub processes: Vec<Process>,
    /// What could not be told, and why.
    pub notes: Vec<String>,
}

/// One namespace.
#[derive(Debug, Serialize)]
pub struct Namespace {
    /// The kernel's name: `mnt`, `pid` …
    pub kind: &'static str,
    /// Its own, the host's, or another container's.
    pub whose: Whose,
    /// The numbers by which the kernel tells namespaces apart. The container's is not there before it runs.
    pub inode: Option<u64>,
    pub host_inode: Option<u64>,
}

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    Own,
    Host,
    Shared,
}

/// Something mounted in the container.
#[derive(Debug, Serialize)]
pub struct Mounted {
    pub target: String,
    pub kind: String,
    pub source: String,
    pub options: Vec<String>,
    /// The volume it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// The user asked for it.
    pub asked: bool,
    /// As the kernel has it now; `None`: the container does not run, or it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
}

/// What its first process may do of what root may.
#[derive(Debug, Serialize)]
pub struct Capabilities {
    pub kept: Vec<&'static str>,
    pub dropped: Vec<&'static str>,
}

/// Its system call filter.
#[derive(Debug, Serialize)]
pub struct Filter {
    /// `default`, `profile` or `unconfined`.
    pub profile: &'static str,
    /// What the kernel says of the first process: a filter is loaded.
    pub loaded: Option<bool>,
    pub refused: Vec<&'static str>,
    /// Depending on their arguments.
    pub refused_sometimes: Vec<&'static str>,
}

const NAMESPACES: [(&str, NamespaceType); 8] = [
    ("mnt", NamespaceType::Mount),
    ("pid", NamespaceType::Pid),
    ("net", NamespaceType::Network),
    ("ipc", NamespaceType::Ipc),
    ("uts", NamespaceType::Uts),
    ("cgroup", NamespaceType::Cgroup),
    ("time", NamespaceType::Time),
    ("user", NamespaceType::User),
];

/// Explains a container; `file` is a path inside, whose layer is looked for.
pub fn explain(engine: &Engine, container: &Container, file: Option<&Path>) -> Result<Explanation> {
    let record = &container.record;
    let mut notes = Vec::new();
    let pid = match &container.state {
        Some(State::Running { process, .. }) => Some(process.pid),
        _ => None,
    };
    let spec = match pid {
        Some(_) => Bundle::load(&engine.dirs().container_run(&record.id))?.spec,
        None => would_be(engine, record).unwrap_or_else(|error| {
            notes.push(format!("it could not be started now: {error}"));
            Spec::default()
        }),
    };
    let root = inspect::inspect(engine, container.clone())?.root;
    let layers = layers::of(engine, record, &root)?;
    let file = file.map(|file| layers::origin(engine, container, &layers, &spec, file)).transpose()?;
    let processes = if pid.is_some() { top::top(container).unwrap_or_default() } else { Vec::new() };
    Ok(Explanation { file, processes, notes, ..describe(record, &spec, layers, pid)? })
}

/// Explains a container that is not made.
pub fn explain_plan(engine: &Engine, plan: &Plan) -> Result<Explanation> {
    let container = Container { record: plan.record.clone(), state: None };
    let root = inspect::inspect(engine, container)?.root;
    let layers = layers::of(engine, &plan.record, &root)?;
    let new = plan.new_volumes.iter().map(|name| format!("volume {name} would be made"));
    Ok(Explanation { notes: new.collect(), ..describe(&plan.record, &plan.spec, layers, None)? })
}

/// The configuration that a container would be started from.
fn would_be(engine: &Engine, record: &Record) -> Result<Spec> {
    let volumes = prepare::volume_sources(engine, &record.options)?;
    let run_dir = engine.dirs().container_run(&record.id);
    spec::build(record, &prepare::gather(engine, record, (&run_dir, prepare::hostname(record)), volumes)?)
}

fn describe(record: &Record, spec: &Spec, layers: Vec<Layer>, pid: Option<i32>) -> Result<Explanation> {
    let linux = spec.linux.clone().unwrap_or_default();
    let process = spec.process.clone().unwrap_or_default();
    let status = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
    let bounding = process.capabilities.as_ref().map(|sets| sets.bounding.clone()).unwrap_or_default();
    Ok(Explanation {
        id: record.id.clone(),
        name: record.name.clone(),
        image: record.image.name().to_owned(),
        command: if process.args.is_empty() { record.process.args() } else { process.args },
        user: record.process.user.clone(),
        pid,
        namespaces: namespaces(&linux, pid),
        cgroups: cgroups::of(record, &linux, pid.is_some())?,
        layers,
        read_only: record.options.read_only,
        file: None,
        mounts: mounts(spec, &record.options, pid),
        capabilities: capabilities(&status, &bounding),
        seccomp: filter(&record.options, &status)?,
        no_new_privileges: process.no_new_privileges,
        masked_paths: linux.masked_paths,
        readonly_paths: linux.readonly_paths,
        processes: Vec::new(),
        notes: Vec::new(),
    })
}

fn namespaces(linux: &oci::runtime_spec::Linux, pid: Option<i32>) -> Vec<Namespace> {
    let explained = NAMESPACES.into_iter().map(|(kind, typ)| {
        let wanted = linux.namespaces.iter().find(|namespace| namespace.typ == typ);
        let host_inode = inode("self", kind);
        let inode = pid.and_then(|pid| inode(&pid.to_string(), kind));
        let whose = match wanted {
            Some(namespace) if namespace.path.is_some() => Whose::Shared,
            Some(_) if inode.is_none() || inode != host_inode => Whose::Own,
            _ => Whose::Host,
        };
        Namespace { kind, whose, inode, host_inode }
    });
    explained.collect()
}

/// The number behind `/proc/PID/ns/KIND`, which reads `kind:[number]`.
fn inode(pid: &str, kind: &str) -> Option<u64> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    link.to_str()?.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

fn mounts(spec: &Spec, options: &Options, pid: Option<i32>) -> Vec<Mounted> {
    let table = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()).unwrap_or_default();
    let explained = spec.mounts.iter().map(|mount| {
        let target = mount.destination.trim_end_matches('/');
        let asked = options.mounts.iter().find(|asked| asked.target.trim_end_matches('/') == target);
        let volume = asked.and_then(|asked| match &asked.kind {
            MountKind::Volume { name, .. } => name.clone(),
            _ => None,
        });
        let mut lines = table.lines().filter(|line| line.split(' ').nth(4) == Some(target));
        Mounted {
            target: mount.destination.clone(),
            kind: mount.typ.clone().unwrap_or_default(),
            source: mount.source.clone().unwrap_or_default(),
            options: mount.options.clone(),
            volume,
            asked: asked.is_some(),
            live: lines.next_back().and_then(|line| line.split(' ').nth(5)).map(str::to_owned),
        }
    });
    explained.collect()
}

fn capabilities(status: &str, bounding: &[String]) -> Capabilities {
    let live = field(status, "CapBnd:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let keeps = |(number, name): (usize, &str)| match live {
        Some(set) => set >> number & 1 == 1,
        None => bounding.iter().any(|kept| kept == name),
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = caps::NAMES.into_iter().enumerate().partition(|&entry| keeps(entry));
    let names = |list: Vec<(usize, &'static str)>| list.into_iter().map(|(_, name)| name).collect();
    Capabilities { kept: names(kept), dropped: names(dropped) }
}

fn filter(options: &Options, status: &str) -> Result<Filter> {
    let loaded = field(status, "Seccomp:").map(|mode| mode == "2");
    let (profile, refused) = match &options.seccomp {
        _ if options.privileged => ("unconfined", Refused::default()),
        Seccomp::Profile(profile) => ("profile", seccomp::refused(profile)?),
        Seccomp::Default => {
            let capabilities = spec::capabilities(options)?;
            ("default", seccomp::refused_by_default(&capabilities, KernelVersion::running()?)?)
        }
        Seccomp::Unconfined => ("unconfined", Refused::default()),
    };
    Ok(Filter { profile, loaded, refused: refused.always, refused_sometimes: refused.sometimes })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Reads a small file of the kernel's; `None` if there is none.
fn small(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).context(|| format!("cannot read {path:?}")).ok().map(|text| text.trim().to_owned())
}
