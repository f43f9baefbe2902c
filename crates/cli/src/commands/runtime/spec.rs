//! `tare runtime spec`.

use std::ffi::OsString;
use std::path::PathBuf;

use oci::runtime_spec::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceType, Process, Resources, Rlimit,
    RlimitType, Root, Spec, VERSION,
};
use stdx::{Context, Error};

use super::Globals;
use crate::error::Failure;

/// Create a new specification file
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime spec")]
struct Args {
    /// Path to the root of the bundle directory
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Generate a configuration for a user without rights
    #[arg(long)]
    rootless: bool,
}

pub(super) fn main(_globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let path = args.bundle.join("config.json");
    if path.exists() {
        return Err(Error::conflict(format!("file {path:?} exists")).hint("remove it first").into());
    }
    let spec = if args.rootless { rootless(default()) } else { default() };
    let text = serde_json::to_string_pretty(&spec).context(|| "cannot write JSON".into())?;
    std::fs::write(&path, text + "\n").context(|| format!("cannot write {path:?}"))?;
    Ok(0)
}

/// A shell on a terminal in a read-only root, with three harmless capabilities.
fn default() -> Spec {
    let strings = |list: &[&str]| -> Vec<String> { list.iter().map(|&text| text.to_owned()).collect() };
    let mount = |destination: &str, typ: &str, source: &str, options: &[&str]| Mount {
        destination: destination.into(),
        typ: Some(typ.into()),
        source: Some(source.into()),
        options: strings(options),
        ..Mount::default()
    };
    let caps = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    use NamespaceType::{Cgroup, Ipc, Mount as MountNamespace, Network, Pid, Uts};
    let cgroup = runtime::cgroup::is_unified().then_some(Cgroup);
    let namespaces = [Pid, Network, Ipc, Uts, MountNamespace].into_iter().chain(cgroup);
    Spec {
        oci_version: VERSION.into(),
        process: Some(Process {
            terminal: true,
            args: strings(&["sh"]),
            env: strings(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
            cwd: "/".into(),
            capabilities: Some(Capabilities {
                bounding: caps.clone(),
                effective: caps.clone(),
                permitted: caps,
                ..Capabilities::default()
            }),
            no_new_privileges: true,
            rlimits: vec![Rlimit { typ: RlimitType::Nofile, soft: 1024, hard: 1024 }],
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: Some("tare".into()),
        mounts: vec![
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount(
                "/dev/pts",
                "devpts",
                "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            ),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        linux: Some(Linux {
            resources: Some(Resources { devices: vec![deny_all()], ..Resources::default() }),
            namespaces: namespaces.map(|typ| Namespace { typ, path: None }).collect(),
            masked_paths: strings(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ]),
            readonly_paths: strings(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

fn deny_all() -> DeviceRule {
    DeviceRule { allow: false, typ: None, major: None, minor: None, access: "rwm".into() }
}

/// The caller is root inside, of one id; what that root may not do is left out: a network and control groups of its own, a
/// sysfs, a group for terminals.
fn rootless(mut spec: Spec) -> Spec {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1 }];
    spec.mounts.retain(|mount| mount.typ.as_deref() != Some("cgroup"));
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid="));
        if mount.typ.as_deref() == Some("sysfs") {
            (mount.typ, mount.source) = (Some("none".into()), Some("/sys".into()));
            mount.options.splice(0..0, ["rbind".to_owned()]);
        }
    }
    if let Some(linux) = &mut spec.linux {
        linux.resources = None;
        linux.namespaces.retain(|namespace| namespace.typ != NamespaceType::Network);
        linux.namespaces.push(Namespace { typ: NamespaceType::User, path: None });
        (linux.uid_mappings, linux.gid_mappings) = (map(uid), map(gid));
    }
    spec
}
