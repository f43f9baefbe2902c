//! From a record to a runtime configuration. Pure: what has to be looked up first comes in [`Facts`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci::runtime_spec::{
    Capabilities, Device as SpecDevice, DeviceRule, DeviceType, Linux, Mount as SpecMount, Namespace as SpecNamespace,
    NamespaceType, Process, Resources, Root, Spec, TimeOffset, TimeOffsets, VERSION,
};
use stdx::{Error, Result};
use sys::caps;

use crate::CgroupDriver;
use crate::containers::options::{Mount, MountKind, Namespace, Network, Offset, Options, Seccomp};
use crate::containers::record::Record;
use crate::containers::{etc, userns};
use crate::volumes::{self, Source};

/// What the configuration depends on besides the record.
#[derive(Debug, Default)]
pub struct Facts {
    /// The container's run directory, where its `/etc` files are.
    pub run_dir: PathBuf,
    /// The host name inside.
    pub hostname: String,
    /// The processes of containers whose namespaces are joined, by the kind that names them.
    pub pid_of: Option<i32>,
    pub ipc_of: Option<i32>,
    pub network_of: Option<i32>,
    /// The devices asked for, looked up on the host; all of them for a privileged container.
    pub devices: Vec<(SpecDevice, String)>,
    /// Directories of the host that are hidden in the `host` image.
    pub hidden: Vec<PathBuf>,
    /// This binary, for `--init`.
    pub binary: PathBuf,
    /// Now, by the clocks that a time namespace can move: (boottime, monotonic).
    pub clocks: (TimeOffset, TimeOffset),
    /// How its volumes are mounted, by name.
    pub(crate) volumes: BTreeMap<String, volumes::Source>,
    /// The kernel has AppArmor.
    pub apparmor: bool,
}

/// Where `--init` puts this binary.
const INIT: &str = "/sbin/tare-init";

/// Docker's default capabilities.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Hidden: they tell of, or change, the whole machine.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The files of the kernel that a container does not see, and those it cannot write to.
pub fn hidden_paths(options: &Options) -> (Vec<String>, Vec<String>) {
    if options.privileged || options.unmask_all {
        return Default::default();
    }
    let strings = |list: &[&str]| -> Vec<String> { list.iter().map(|&s| s.to_owned()).collect() };
    (strings(&MASKED), strings(&READONLY))
}

/// Builds the runtime configuration of a container.
pub fn build(record: &Record, facts: &Facts) -> Result<Spec> {
    let options = &record.options;
    let capabilities = capabilities(options)?;
    let (masked_paths, readonly_paths) = hidden_paths(options);
    let ids = record.user_range.map(userns::mapping).unwrap_or_default();
    let seccomp = match &options.seccomp {
        Seccomp::Profile(profile) if !options.privileged => Some((**profile).clone()),
        _ => None,
    };
    let linux = Linux {
        uid_mappings: ids.clone(),
        gid_mappings: ids,
        sysctl: options.sysctls.clone(),
        resources: Some(resources(options, facts)),
        cgroups_path: Some(match record.cgroup_driver {
            CgroupDriver::Cgroupfs => format!("/{}", record.cgroup()),
            CgroupDriver::Systemd => record.cgroup(),
        }),
        namespaces: namespaces(record, facts),
        devices: facts.devices.iter().map(|(device, _)| device.clone()).collect(),
        seccomp,
        masked_paths,
        readonly_paths,
        time_offsets: time_offsets(options, facts),
        ..Linux::default()
    };
    Ok(Spec {
        oci_version: VERSION.into(),
        process: Some(process(record, facts, capabilities)),
        root: Some(Root { path: "rootfs".into(), readonly: options.read_only }),
        hostname: (options.namespaces.uts == Namespace::Private).then(|| facts.hostname.clone()),
        domainname: options.domainname.clone(),
        mounts: mounts(record, facts),
        annotations: options.annotations.clone(),
        linux: Some(linux),
        ..Spec::default()
    })
}

fn resources(options: &Options, facts: &Facts) -> Resources {
    let resources = Resources { devices: device_rules(options, facts), ..options.resources.clone() };
    with_cpus(&resources, options.nano_cpus)
}

/// The same with billionths of a CPU as a quota of the usual period.
pub(crate) fn with_cpus(resources: &Resources, nano_cpus: Option<i64>) -> Resources {
    const PERIOD: u64 = 100_000;
    let mut resources = resources.clone();
    if let Some(nano_cpus) = nano_cpus {
        let cpu = resources.cpu.get_or_insert_default();
        cpu.period = Some(PERIOD);
        cpu.quota = Some(nano_cpus / (1_000_000_000 / PERIOD as i64));
    }
    resources
}

/// Whether the engine's own filter applies, compiled by the runtime from its table.
pub fn uses_default_filter(options: &Options) -> bool {
    options.seccomp == Seccomp::Default && !options.privileged
}

fn process(record: &Record, facts: &Facts, capabilities: Vec<String>) -> Process {
    let options = &record.options;
    let mut args = record.process.args();
    if options.init {
        args.splice(0..0, [INIT.to_owned(), crate::containers::INIT_ARGUMENT.to_owned()]);
    }
    let mut env = record.process.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOSTNAME=")) {
        env.insert(1, format!("HOSTNAME={}", facts.hostname));
    }
    let apparmor = options.apparmor.clone().filter(|profile| facts.apparmor && profile != "unconfined");
    Process {
        terminal: options.tty,
        args,
        env,
        cwd: record.process.working_dir.clone(),
        capabilities: Some(capability_sets(capabilities)),
        rlimits: options.ulimits.clone(),
        no_new_privileges: options.no_new_privileges,
        apparmor_profile: apparmor,
        oom_score_adj: options.oom_score_adj,
        ..Process::default()
    }
}

fn capability_sets(names: Vec<String>) -> Capabilities {
    Capabilities { bounding: names.clone(), effective: names.clone(), permitted: names, ..Capabilities::default() }
}

/// Gives a process every capability, as `--privileged` does.
pub(crate) fn give_all_capabilities(process: &mut Process) {
    process.capabilities = Some(capability_sets(caps::NAMES.iter().map(|&name| name.to_owned()).collect()));
}

/// The capabilities of a container, by name. Docker's rule: privileged has all; adding ALL starts from all, dropping ALL
/// starts from none.
pub fn capabilities(options: &Options) -> Result<Vec<String>> {
    if options.privileged {
        return Ok(caps::NAMES.iter().map(|&name| name.to_owned()).collect());
    }
    let normal = |name: &str| -> Result<String> {
        let upper = name.to_ascii_uppercase();
        let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        if full == "CAP_ALL" || caps::NAMES.contains(&full.as_str()) {
            return Ok(full);
        }
        Err(Error::invalid(format!("unknown capability \"{name}\"")).hint("see capabilities(7)"))
    };
    let add: Vec<String> = options.cap_add.iter().map(|name| normal(name)).collect::<Result<_>>()?;
    let drop: Vec<String> = options.cap_drop.iter().map(|name| normal(name)).collect::<Result<_>>()?;
    let all = |list: &[String]| list.iter().any(|name| name == "CAP_ALL");
    let has = |list: &[String], name: &str| list.iter().any(|other| other == name);
    let keep = |name: &&str| {
        let by_default = if all(&add) { true } else { !all(&drop) && DEFAULT_CAPABILITIES.contains(name) };
        (by_default && !has(&drop, name)) || has(&add, name)
    };
    Ok(caps::NAMES.iter().copied().filter(keep).map(str::to_owned).collect())
}

fn namespaces(record: &Record, facts: &Facts) -> Vec<SpecNamespace> {
    let wanted = &record.options.namespaces;
    let joined = |pid: Option<i32>, name: &str| pid.map(|pid| format!("/proc/{pid}/ns/{name}"));
    let of = |kind: &Namespace, pid: Option<i32>, name: &str| match kind {
        Namespace::Host => None,
        Namespace::Container(_) => Some(joined(pid, name)),
        Namespace::Private | Namespace::Shareable | Namespace::None => Some(None),
    };
    let network = match &wanted.network {
        Network::Host => None,
        Network::Container(_) => Some(joined(facts.network_of, "net")),
        Network::None | Network::Joined(_) => Some(None),
    };
    let all = [
        (NamespaceType::User, record.user_range.map(|_| None)),
        (NamespaceType::Mount, Some(None)),
        (NamespaceType::Pid, of(&wanted.pid, facts.pid_of, "pid")),
        (NamespaceType::Ipc, of(&wanted.ipc, facts.ipc_of, "ipc")),
        (NamespaceType::Uts, of(&wanted.uts, None, "uts")),
        (NamespaceType::Network, network),
        (NamespaceType::Cgroup, of(&wanted.cgroup, None, "cgroup")),
        (NamespaceType::Time, Some(None)),
    ];
    all.into_iter().filter_map(|(typ, path)| path.map(|path| SpecNamespace { typ, path })).collect()
}

fn time_offsets(options: &Options, facts: &Facts) -> Option<TimeOffsets> {
    let time = &options.namespaces.time;
    let resolve = |offset: Option<Offset>, now: TimeOffset| {
        offset.map(|offset| match offset {
            Offset::By(offset) => offset,
            Offset::Zero => negate(now),
        })
    };
    let offsets = TimeOffsets {
        boottime: resolve(time.boottime, facts.clocks.0),
        monotonic: resolve(time.monotonic, facts.clocks.1),
    };
    (offsets != TimeOffsets::default()).then_some(offsets)
}

/// The offset that puts a clock which reads `now` back to 0.
fn negate(now: TimeOffset) -> TimeOffset {
    match now.nanosecs {
        0 => TimeOffset { secs: -now.secs, nanosecs: 0 },
        nanosecs => TimeOffset { secs: -now.secs - 1, nanosecs: 1_000_000_000 - nanosecs },
    }
}

fn spec_mount(target: &str, typ: &str, source: &str, options: &[&str]) -> SpecMount {
    SpecMount {
        destination: target.into(),
        typ: Some(typ.into()),
        source: Some(source.into()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..SpecMount::default()
    }
}

fn mounts(record: &Record, facts: &Facts) -> Vec<SpecMount> {
    let options = &record.options;
    let ro = if options.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        spec_mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        spec_mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        spec_mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        spec_mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", ro]),
        spec_mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", ro]),
    ];
    mounts.extend(ipc_mounts(options, facts));
    let idmap: &[&str] = if record.user_range.is_some() { &["idmap"] } else { &[] };
    for (file, target) in etc::FILES {
        let mut etc = spec_mount(target, "bind", &facts.run_dir.join(file).to_string_lossy(), &["bind", "rprivate"]);
        etc.options.extend(options.read_only.then(|| "ro".to_owned()));
        etc.options.extend(idmap.iter().map(|&option| option.to_owned()));
        mounts.push(etc);
    }
    mounts.extend(hidden(facts));
    if options.init {
        let mut init = spec_mount(INIT, "bind", &facts.binary.to_string_lossy(), &["bind", "ro"]);
        init.options.extend(idmap.iter().map(|&option| option.to_owned()));
        mounts.push(init);
    }
    for mount in in_order(&options.mounts) {
        // A mount of the user's own replaces one of these.
        mounts.retain(|known| known.destination != mount.target.trim_end_matches('/'));
        mounts.push(user_mount(mount, record.user_range.is_some(), facts));
    }
    mounts
}

/// Parents before what is below them, whatever the order they were given in.
fn in_order(mounts: &[Mount]) -> Vec<&Mount> {
    let mut mounts: Vec<&Mount> = mounts.iter().collect();
    mounts.sort_by_key(|mount| Path::new(&mount.target).components().count());
    mounts
}

/// Empty directories over what the `host` image must not show.
fn hidden(facts: &Facts) -> impl Iterator<Item = SpecMount> + '_ {
    facts.hidden.iter().map(|path| {
        let options = ["ro", "nosuid", "nodev", "noexec", "nr_inodes=1", "mode=700"];
        spec_mount(&path.to_string_lossy(), "tmpfs", "tmpfs", &options)
    })
}

/// What there is of a container that does not run: its files. Of `facts` it needs what is hidden and the volumes.
pub(crate) fn of_files(record: &Record, facts: &Facts) -> Spec {
    let ids = record.user_range.map(userns::mapping).unwrap_or_default();
    let user = SpecNamespace { typ: NamespaceType::User, path: None };
    let files = |mount: &&Mount| !matches!(mount.kind, MountKind::Tmpfs { .. });
    let asked = in_order(&record.options.mounts).into_iter().filter(files);
    let asked = asked.map(|mount| user_mount(mount, record.user_range.is_some(), facts));
    Spec {
        root: Some(Root { path: "rootfs".into(), readonly: record.options.read_only }),
        mounts: hidden(facts).chain(asked).collect(),
        linux: Some(Linux {
            uid_mappings: ids.clone(),
            gid_mappings: ids,
            namespaces: record.user_range.map(|_| user).into_iter().collect(),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

fn ipc_mounts(options: &Options, facts: &Facts) -> Vec<SpecMount> {
    let mqueue = spec_mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]);
    match (&options.namespaces.ipc, facts.ipc_of) {
        (Namespace::Private | Namespace::Shareable, _) => {
            let size = format!("size={}", options.shm_size.unwrap_or(64 << 20));
            vec![mqueue, spec_mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size])]
        }
        (Namespace::None, _) => vec![mqueue],
        (Namespace::Host, _) => vec![
            spec_mount("/dev/mqueue", "bind", "/dev/mqueue", &["bind"]),
            spec_mount("/dev/shm", "bind", "/dev/shm", &["bind"]),
        ]
        .into_iter()
        .filter(|mount| mount.source.as_deref().is_some_and(|source| Path::new(source).exists()))
        .collect(),
        (Namespace::Container(_), pid) => {
            let shm = format!("/proc/{}/root/dev/shm", pid.unwrap_or_default());
            vec![mqueue, spec_mount("/dev/shm", "bind", &shm, &["bind"])]
        }
    }
}

fn user_mount(mount: &Mount, user_namespace: bool, facts: &Facts) -> SpecMount {
    let bind = |source: &Path, recursive: bool, propagation: &str| {
        let bind = if recursive { "rbind" } else { "bind" };
        let mut spec = spec_mount(&mount.target, "bind", &source.to_string_lossy(), &[bind, propagation]);
        if mount.read_only {
            spec.options.push(if recursive { "rro" } else { "ro" }.into());
        }
        if user_namespace {
            spec.options.push(if recursive { "ridmap" } else { "idmap" }.into());
        }
        spec
    };
    match &mount.kind {
        MountKind::Bind { source, recursive, propagation, .. } => {
            bind(source, *recursive, propagation.as_deref().unwrap_or("rprivate"))
        }
        MountKind::Volume { name, .. } => match name.as_ref().and_then(|name| facts.volumes.get(name)) {
            Some(Source::Filesystem { kind, device, options }) => {
                let mut spec = spec_mount(&mount.target, kind, device, &[]);
                spec.options.extend(options.iter().cloned());
                spec.options.extend(mount.read_only.then(|| "ro".to_owned()));
                spec
            }
            Some(Source::Directory(dir)) => bind(dir, true, "rprivate"),
            // Whoever gathers the facts has all of them.
            None => bind(Path::new(""), false, "rprivate"),
        },
        MountKind::Tmpfs { options } => {
            let mut spec = spec_mount(&mount.target, "tmpfs", "tmpfs", &["noexec", "nosuid", "nodev"]);
            spec.options.extend(options.iter().cloned());
            if mount.read_only {
                spec.options.push("ro".into());
            }
            spec
        }
    }
}

/// What may be done to devices: nothing but what the runtime allows every container, and using those asked for.
fn device_rules(options: &Options, facts: &Facts) -> Vec<DeviceRule> {
    let rule = |allow, typ, major, minor, access: &str| DeviceRule {
        allow,
        typ: Some(typ),
        major,
        minor,
        access: access.into(),
    };
    if options.privileged {
        return vec![rule(true, DeviceType::All, None, None, "rwm")];
    }
    let mut rules = vec![rule(false, DeviceType::All, None, None, "rwm")];
    let asked = |(device, access): &(SpecDevice, String)| {
        rule(true, device.typ, Some(device.major), Some(device.minor), access)
    };
    rules.extend(facts.devices.iter().map(asked));
    rules.extend(options.device_rules.iter().cloned());
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps_of(add: &[&str], drop: &[&str]) -> Vec<String> {
        let own = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        capabilities(&Options { cap_add: own(add), cap_drop: own(drop), ..Options::default() }).unwrap()
    }

    #[test]
    fn capabilities_follow_dockers_rule() {
        assert_eq!(caps_of(&[], &[]).len(), 14);
        assert_eq!(caps_of(&["net_admin"], &["ALL"]), ["CAP_NET_ADMIN"]);
        assert_eq!(caps_of(&["ALL"], &["CAP_SYS_ADMIN"]).len(), caps::NAMES.len() - 1);
        assert!(!caps_of(&[], &["chown"]).contains(&"CAP_CHOWN".to_owned()));
        assert!(capabilities(&Options { cap_add: vec!["nope".into()], ..Options::default() }).is_err());
    }

    #[test]
    fn zero_takes_the_clock_back_to_its_start() {
        assert_eq!(
            negate(TimeOffset { secs: 10, nanosecs: 250_000_000 }),
            TimeOffset { secs: -11, nanosecs: 750_000_000 }
        );
        assert_eq!(negate(TimeOffset { secs: 10, nanosecs: 0 }), TimeOffset { secs: -10, nanosecs: 0 });
    }
}
