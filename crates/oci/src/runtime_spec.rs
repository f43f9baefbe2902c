//! The runtime specification's `config.json` and `state.json` as types: version 1.3, for Linux.
//!
//! Field names are the specification's in snake case; the section of each type is named in its documentation.
//! What may be absent is an `Option`; where absent and empty mean the same it is a plain list or map, left out of the
//! JSON when empty, and `null` is read as empty as Go programs write it. Closed sets of words are enums, so an unknown
//! word is refused while the file is read; unknown *properties* are ignored (config.md, "Extensibility").
//! Properties of other platforms (`windows`, `solaris`, `vm`, `zos`, `commandLine`) are among those.
//!
//! Every type has a `Default` where an empty value makes sense, so that a spec can be built by struct update.

mod process;
mod resources;
mod seccomp;

pub use process::*;
pub use resources::*;
pub use seccomp::*;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The version of the specification these types follow, as written into new files.
pub const VERSION: &str = "1.3.0";

/// A whole `config.json` (config.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    pub oci_version: String,
    /// Required by `start`, not by `create` (config.md, "Process").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounted in this order.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The container's root filesystem (config.md, "Root").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: String,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub readonly: bool,
}

/// One mount (config.md, "Mounts" and "POSIX-platform Mounts").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// A path inside the container.
    pub destination: String,
    /// The filesystem's type; a dummy for bind mounts.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Both mappings or none; the options then hold `idmap` or `ridmap`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// Programs run at the six points of the lifecycle (config.md, "POSIX-platform Hooks").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// Deprecated by the specification, still called, before `create_runtime`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// One program of [`Hooks`]; it gets the [`State`] on its standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// An absolute path.
    pub path: String,
    /// The whole argument vector, its first entry included.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `None`: the runtime's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// In seconds; must be greater than zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// The `linux` object (config-linux.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux {
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Absolute is below the cgroup root, relative is the runtime's choice; for systemd `slice:prefix:name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroups_path: Option<String>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Host network interfaces to move into the container, by their name on the host (1.3).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub net_devices: BTreeMap<String, NetDevice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs_propagation: Option<Propagation>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_offsets: Option<TimeOffsets>,
}

/// A namespace to make, or to join by path (config-linux.md, "Namespaces").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    #[serde(rename = "type")]
    pub typ: NamespaceType,
    /// An absolute path of a namespace file; without it a new namespace is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The kinds of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceType {
    Pid,
    Network,
    Mount,
    Ipc,
    Uts,
    User,
    Cgroup,
    Time,
}

/// A range of ids: `container_id..` inside is `host_id..` outside (config-linux.md, "User namespace mappings").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    #[serde(rename = "containerID")]
    pub container_id: u32,
    #[serde(rename = "hostID")]
    pub host_id: u32,
    pub size: u32,
}

/// A device node to make in the container (config-linux.md, "Devices").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    #[serde(rename = "type")]
    pub typ: DeviceType,
    pub path: String,
    /// Not for fifos.
    #[serde(default, deserialize_with = "null_as_default")]
    pub major: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub minor: i64,
    /// Permission bits; Go programs add the bits of the file type, so mask with `0o7777`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// The type letter of a device, of `mknod(1)` and of the device cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceType {
    /// All types: in a cgroup rule only, where the empty string says the same.
    #[serde(rename = "a", alias = "")]
    All,
    #[serde(rename = "b")]
    Block,
    #[serde(rename = "c")]
    Char,
    /// Unbuffered character device, the same as [`Self::Char`] on Linux.
    #[serde(rename = "u")]
    Unbuffered,
    #[serde(rename = "p")]
    Fifo,
}

/// What a moved network interface is called inside (config-linux.md, "Network Devices", 1.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetDevice {
    /// Absent: as on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Mount propagation of the root (config-linux.md, "Rootfs Mount Propagation").
/// The recursive forms are not in the specification, but every runtime takes them and engines write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    Private,
    Rprivate,
    Shared,
    Rshared,
    Slave,
    Rslave,
    Unbindable,
    Runbindable,
}

/// Intel Resource Director Technology (config-linux.md, "IntelRdt").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntelRdt {
    #[serde(rename = "closID", skip_serializing_if = "Option::is_none")]
    pub clos_id: Option<String>,
    /// Lines of the `schemata` file, written after the two fields below (1.3).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub enable_monitoring: bool,
}

/// NUMA memory policy, `set_mempolicy(2)` (config-linux.md, "Memory policy", 1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    pub mode: MemoryPolicyMode,
    /// A list of nodes such as `0-3,7`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub nodes: String,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<MemoryPolicyFlag>,
}

/// The mode of a [`MemoryPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemoryPolicyMode {
    #[serde(rename = "MPOL_DEFAULT")]
    Default,
    #[serde(rename = "MPOL_BIND")]
    Bind,
    #[serde(rename = "MPOL_INTERLEAVE")]
    Interleave,
    #[serde(rename = "MPOL_WEIGHTED_INTERLEAVE")]
    WeightedInterleave,
    #[serde(rename = "MPOL_PREFERRED")]
    Preferred,
    #[serde(rename = "MPOL_PREFERRED_MANY")]
    PreferredMany,
    #[serde(rename = "MPOL_LOCAL")]
    Local,
}

impl MemoryPolicyMode {
    /// Every word there is, for `features`.
    pub const ALL: &[Self] = &[
        Self::Default,
        Self::Bind,
        Self::Interleave,
        Self::WeightedInterleave,
        Self::Preferred,
        Self::PreferredMany,
        Self::Local,
    ];
}

/// A flag of a [`MemoryPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemoryPolicyFlag {
    #[serde(rename = "MPOL_F_NUMA_BALANCING")]
    NumaBalancing,
    #[serde(rename = "MPOL_F_RELATIVE_NODES")]
    RelativeNodes,
    #[serde(rename = "MPOL_F_STATIC_NODES")]
    StaticNodes,
}

impl MemoryPolicyFlag {
    /// Every word there is, for `features`.
    pub const ALL: &[Self] = &[Self::NumaBalancing, Self::RelativeNodes, Self::StaticNodes];
}

/// The execution domain, `personality(2)` (config-linux.md, "Personality").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Personality {
    pub domain: PersonalityDomain,
    /// The specification defines no flag yet.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// The domain of a [`Personality`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PersonalityDomain {
    Linux,
    Linux32,
}

/// Clock offsets of a new time namespace (config-linux.md, "Offset for Time Namespace").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOffsets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boottime: Option<TimeOffset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monotonic: Option<TimeOffset>,
}

/// One clock's offset; the nanoseconds always count forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeOffset {
    pub secs: i64,
    pub nanosecs: u32,
}

/// What `state` prints and hooks read (runtime.md, "State").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub oci_version: String,
    pub id: String,
    pub status: Status,
    /// The init process as the runtime sees it; absent or 0 once stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// An absolute path.
    pub bundle: String,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Where a container is in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    /// Not in the specification, which lets a runtime add values; every runtime has this one.
    Paused,
    Stopped,
}

/// What is sent over `seccomp.listenerPath`, with the named descriptors in `SCM_RIGHTS`
/// (config-linux.md, "The Container Process State").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProcessState {
    pub oci_version: String,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub fds: Vec<String>,
    pub pid: i32,
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    pub state: State,
}

/// The name in [`ContainerProcessState::fds`] of the notification descriptor.
pub const SECCOMP_FD_NAME: &str = "seccompFd";

/// Go programs write `null` for an empty list or map.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
