//! What a user can ask of a container: Docker's options, understood. [`parse`] reads their spellings.

pub mod log;
pub mod parse;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use monitor::health::OnFailure;
use monitor::restart::Policy;
use oci::image_config::Healthcheck;
use oci::runtime_spec::{DeviceRule, Resources, Rlimit, TimeOffset};
use serde::{Deserialize, Serialize};

pub use log::Log;

use crate::containers::attach::Streams;

/// In place of an address: the host's, as the container sees it.
pub const HOST_GATEWAY: &str = "host-gateway";

/// The options of `create` and `run`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// The image, as the user names it.
    pub image: String,
    /// Replaces the image's command.
    pub command: Vec<String>,
    /// Replaces the image's entrypoint; `Some(vec![])` takes it away.
    pub entrypoint: Option<Vec<String>>,
    pub name: Option<String>,
    /// `os/arch[/variant]` the image must have.
    pub platform: Option<String>,

    /// `NAME=value`.
    pub env: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub working_dir: Option<String>,
    pub user: Option<String>,
    pub groups: Vec<String>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// `(name, address)`; the address [`HOST_GATEWAY`] is that of the host.
    pub extra_hosts: Vec<(String, String)>,
    pub dns: Dns,
    /// Ports of the host that lead to it.
    pub ports: Vec<network::ports::Wanted>,
    /// Ports it says it listens on, besides those of its image.
    pub expose: Vec<(u16, network::ports::Protocol)>,
    /// All of those get a free port of the host.
    pub publish_all: bool,

    /// Which streams a client attaches to at the start.
    pub attached: Streams,
    pub tty: bool,
    /// Standard input stays open.
    pub open_stdin: bool,
    /// It is closed when the first client leaves.
    pub stdin_once: bool,
    pub stop_signal: Option<String>,
    /// Seconds until a stop becomes a kill; -1: never.
    pub stop_timeout: Option<i64>,
    pub auto_remove: bool,
    /// When it is started again after its end.
    pub restart: Policy,
    /// A first process that reaps and passes signals on.
    pub init: bool,
    pub log: Log,
    /// How it is asked whether it is well; what is absent is the image's.
    pub health: Healthcheck,
    pub health_on_failure: OnFailure,

    pub namespaces: Namespaces,
    /// Everything of the control groups but the devices.
    pub resources: Resources,
    /// `--cpus`, in billionths of a CPU.
    pub nano_cpus: Option<i64>,
    pub cgroup_parent: Option<String>,
    pub oom_score_adj: Option<i32>,
    pub ulimits: Vec<Rlimit>,
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`; `None`: 64 MiB.
    pub shm_size: Option<u64>,

    pub read_only: bool,
    pub mounts: Vec<Mount>,
    /// `CONTAINER[:ro|rw]`, whose volumes and binds it has too.
    pub volumes_from: Vec<String>,
    pub devices: Vec<Device>,
    pub device_rules: Vec<DeviceRule>,

    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub apparmor: Option<String>,
    /// Replace the usual masked and read-only paths (`systempaths=unconfined`).
    pub unmask_all: bool,
}

/// Name resolution inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// Which view of the machine the container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub cgroup: Namespace,
    pub network: Network,
    pub user: User,
    pub time: Time,
}

/// One kind of namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespace {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, by name or id.
    Container(String),
    /// Its own, which other containers may join (`ipc`).
    Shareable,
    /// Its own, and without what it is for (`ipc`: no `/dev/shm`).
    None,
}

/// The network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A loopback interface and nothing else.
    #[default]
    None,
    Host,
    Container(String),
    /// Networks of the engine's, the first of which has `eth0`.
    Joined(Vec<Attachment>),
}

/// A place in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network's name or id.
    pub network: String,
    /// Names that it has in this network besides its own.
    pub aliases: Vec<String>,
    pub ip: Option<Ipv4Addr>,
    pub ip6: Option<Ipv6Addr>,
    pub mac: Option<[u8; 6]>,
    /// Further addresses, of the device alone.
    pub link_local: Vec<IpAddr>,
}

impl Network {
    /// The names of all it is in; another container's are that one's.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Joined(places) => places.iter().map(|place| place.network.clone()).collect(),
            Self::Container(_) => Vec::new(),
            other => vec![other.name()],
        }
    }

    /// As it is asked for: `none`, `host`, `container:ID`, or the first network's name.
    pub fn name(&self) -> String {
        match self {
            Self::None => "none".into(),
            Self::Host => "host".into(),
            Self::Container(id) => format!("container:{id}"),
            Self::Joined(places) => places.first().map_or_else(|| "none".into(), |place| place.network.clone()),
        }
    }
}

/// The user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum User {
    #[default]
    Host,
    /// A fresh range of 65,536 ids, to which the image's and the volumes' owners are mapped.
    Auto,
}

/// The time namespace: always private.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    pub boottime: Option<Offset>,
    pub monotonic: Option<Offset>,
}

/// How far a clock is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Offset {
    By(TimeOffset),
    /// The clock stands at 0 when the container starts.
    Zero,
}

/// Something mounted into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside.
    pub target: String,
    pub kind: MountKind,
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// Make a missing source as a directory (`-v`), instead of failing (`--mount`).
        create: bool,
        /// With the mounts below it.
        recursive: bool,
        /// `rprivate`, `rslave` …; the default is `rprivate`.
        propagation: Option<String>,
    },
    Volume {
        /// `None` until the container is made: then an anonymous one is.
        name: Option<String>,
        /// Nobody has named it; it goes with its container.
        anonymous: bool,
        /// Do not fill an empty one with what the image has there.
        nocopy: bool,
    },
    Tmpfs {
        /// Options such as `size=64m`, `mode=1777`, `noexec`.
        options: Vec<String>,
    },
}

/// A host's device made available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub source: PathBuf,
    pub target: String,
    /// `rwm` or fewer.
    pub access: String,
}

/// The system call filter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Seccomp {
    #[default]
    Default,
    Unconfined,
    /// A profile read from a file when the container was created.
    Profile(Box<oci::runtime_spec::Seccomp>),
}
