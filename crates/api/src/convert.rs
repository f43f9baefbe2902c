//! The engine's values as Docker's documents.

mod image;

use std::collections::BTreeMap;
use std::path::Path;

use engine::CgroupDriver;
use engine::containers::inspect::Details;
use engine::containers::options::{Log, MountKind, Namespace, Options, Seccomp, User};
use engine::containers::record::{Record, RecordImage};
use engine::containers::spec;
use engine::system::info::Info;
use engine::volumes::Volume;
pub use image::image;
use jiff::Timestamp;
use monitor::State;
use monitor::events::{Event, Kind};
use monitor::health::Health;
use monitor::restart::Policy;
use oci::runtime_spec::{DeviceRule, DeviceType, Rlimit};

use crate::networks;
use crate::types::{
    self, ContainerConfig, ContainerInspect, ContainerState, DeviceMapping, EventActor, EventMessage, GraphDriver,
    HealthcheckResult, HostConfig, LogConfig, MountPoint, RestartPolicy, SystemInfo, ThrottleDevice, Ulimit,
    VolumeInspect, WeightDevice,
};

/// What Go's zero time looks like: never.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn time(time: Timestamp) -> String {
    format!("{time:.9}")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn non_empty<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

/// A container as `inspect` shows it.
pub fn container(details: &Details) -> ContainerInspect {
    let record = &details.container.record;
    let args = record.process.args();
    let network = &record.options.namespaces.network;
    let run = |name: &str| text(&details.run_dir.join(name));
    ContainerInspect {
        id: record.id.clone(),
        created: time(record.created),
        path: args.first().cloned().unwrap_or_default(),
        args: args.into_iter().skip(1).collect(),
        state: ContainerState {
            health: details.health.as_ref().map(health),
            ..state(details.container.state.as_ref(), details.paused)
        },
        image: match &record.image {
            RecordImage::Host => "host".into(),
            RecordImage::Stored { id, .. } => id.to_string(),
        },
        resolv_conf_path: run("resolv.conf"),
        hostname_path: run("hostname"),
        hosts_path: run("hosts"),
        log_path: if !record.options.log.has_files() { String::new() } else { text(&details.log) },
        name: format!("/{}", record.name),
        restart_count: restarts(details.container.state.as_ref()),
        driver: "overlay2".into(),
        platform: "linux".into(),
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: record.options.apparmor.clone().unwrap_or_default(),
        exec_ids: non_empty(&details.exec_ids),
        host_config: host_config(&record.options),
        graph_driver: graph_driver(details),
        size_rw: details.size.map(|size| size.writable),
        size_root_fs: details.size.map(|size| size.whole),
        mounts: mounts(details),
        config: config(record),
        network_settings: networks::settings(&record.options, details.live.as_ref(), network.name()),
    }
}

/// How a container is, in Docker's words.
pub fn state(state: Option<&State>, paused: bool) -> ContainerState {
    let mut result = ContainerState {
        status: "created".into(),
        running: false,
        paused: false,
        restarting: false,
        oom_killed: false,
        dead: false,
        pid: 0,
        exit_code: 0,
        error: String::new(),
        started_at: NEVER.into(),
        finished_at: NEVER.into(),
        health: None,
    };
    match state {
        None | Some(State::Created { .. }) => {}
        Some(State::Running { process, started_at, .. }) => {
            result.status = if paused { "paused" } else { "running" }.into();
            result.running = true;
            result.paused = paused;
            result.pid = process.pid;
            result.started_at = time(*started_at);
        }
        Some(State::Exited(exit) | State::Restarting { exit, .. }) => {
            result.restarting = matches!(state, Some(State::Restarting { .. }));
            // Docker's word: what is about to run counts as running.
            result.running = result.restarting;
            result.status = if result.restarting { "restarting" } else { "exited" }.into();
            result.oom_killed = exit.oom_killed;
            result.exit_code = exit.exit_code;
            result.error = exit.error.clone().unwrap_or_default();
            result.started_at = time(exit.started_at);
            result.finished_at = time(exit.finished_at);
        }
        Some(State::Failed { exit_code, error, .. }) => {
            result.exit_code = *exit_code;
            result.error.clone_from(error);
        }
    }
    result
}

fn health(health: &Health) -> types::Health {
    let log = health.log.iter().map(|check| HealthcheckResult {
        start: time(check.start),
        end: time(check.end),
        exit_code: check.exit_code,
        output: check.output.clone(),
    });
    types::Health { status: health.status.name(), failing_streak: health.failing_streak, log: log.collect() }
}

fn restarts(state: Option<&State>) -> u32 {
    match state {
        Some(State::Running { restarts, .. }) => *restarts,
        Some(State::Exited(exit) | State::Restarting { exit, .. }) => exit.restarts,
        _ => 0,
    }
}

fn restart_policy(policy: Policy) -> RestartPolicy {
    let (name, maximum_retry_count) = match policy {
        Policy::No => ("no", 0),
        Policy::OnFailure { attempts } => ("on-failure", attempts),
        Policy::Always => ("always", 0),
        Policy::UnlessStopped => ("unless-stopped", 0),
    };
    RestartPolicy { name, maximum_retry_count }
}

fn namespace(namespace: &Namespace) -> String {
    match namespace {
        Namespace::Private => "private".into(),
        Namespace::Host => "host".into(),
        Namespace::Shareable => "shareable".into(),
        Namespace::None => "none".into(),
        Namespace::Container(id) => format!("container:{id}"),
    }
}

/// Docker leaves the mode empty where it is the default.
fn or_empty(kind: &Namespace) -> String {
    if *kind == Namespace::Private { String::new() } else { namespace(kind) }
}

fn host_config(options: &Options) -> HostConfig {
    let resources = &options.resources;
    let cpu = resources.cpu.clone().unwrap_or_default();
    let memory = resources.memory.clone().unwrap_or_default();
    let block_io = resources.block_io.clone().unwrap_or_default();
    let (masked_paths, readonly_paths) = spec::hidden_paths(options);
    let mut security = Vec::new();
    if options.no_new_privileges {
        security.push("no-new-privileges".to_owned());
    }
    match &options.seccomp {
        Seccomp::Default => {}
        Seccomp::Unconfined => security.push("seccomp=unconfined".into()),
        Seccomp::Profile(profile) => {
            security.push(format!("seccomp={}", serde_json::to_string(profile).unwrap_or_default()));
        }
    }
    let tmpfs = options.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Tmpfs { options } => Some((mount.target.clone(), options.join(","))),
        _ => None,
    });
    let binds = options.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind { source, .. } => {
            Some(format!("{}:{}{}", source.display(), mount.target, if mount.read_only { ":ro" } else { "" }))
        }
        MountKind::Volume { name: Some(name), anonymous: false, .. } => {
            Some(format!("{name}:{}{}", mount.target, if mount.read_only { ":ro" } else { "" }))
        }
        _ => None,
    });
    let binds: Vec<String> = binds.collect();
    let namespaces = &options.namespaces;
    HostConfig {
        binds: non_empty(&binds),
        container_id_file: String::new(),
        log_config: log_config(&options.log),
        network_mode: namespaces.network.name(),
        port_bindings: networks::bindings(&options.ports),
        publish_all_ports: options.publish_all,
        restart_policy: restart_policy(options.restart),
        auto_remove: options.auto_remove,
        volume_driver: String::new(),
        volumes_from: non_empty(&options.volumes_from),
        console_size: [0, 0],
        annotations: options.annotations.clone(),
        cap_add: non_empty(&options.cap_add),
        cap_drop: non_empty(&options.cap_drop),
        cgroupns_mode: namespace(&namespaces.cgroup),
        dns: options.dns.servers.clone(),
        dns_options: options.dns.options.clone(),
        dns_search: options.dns.search.clone(),
        extra_hosts: non_empty(
            &options.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect::<Vec<_>>(),
        ),
        group_add: non_empty(&options.groups),
        ipc_mode: namespace(&namespaces.ipc),
        cgroup: String::new(),
        links: None,
        oom_score_adj: options.oom_score_adj.unwrap_or(0),
        pid_mode: or_empty(&namespaces.pid),
        privileged: options.privileged,
        readonly_rootfs: options.read_only,
        security_opt: non_empty(&security),
        uts_mode: or_empty(&namespaces.uts),
        userns_mode: if namespaces.user == User::Auto { "auto".into() } else { String::new() },
        shm_size: options.shm_size.unwrap_or(64 << 20),
        tmpfs: tmpfs.collect(),
        sysctls: options.sysctls.clone(),
        runtime: "tare".into(),
        isolation: String::new(),
        cpu_shares: cpu.shares.unwrap_or(0),
        memory: memory.limit.unwrap_or(0),
        nano_cpus: options.nano_cpus.unwrap_or(0),
        cgroup_parent: options.cgroup_parent.clone().unwrap_or_default(),
        blkio_weight: block_io.weight.unwrap_or(0),
        blkio_weight_device: block_io.weight_device.iter().map(weight_device).collect(),
        blkio_device_read_bps: throttles(&block_io.throttle_read_bps_device),
        blkio_device_write_bps: throttles(&block_io.throttle_write_bps_device),
        blkio_device_read_iops: throttles(&block_io.throttle_read_iops_device),
        blkio_device_write_iops: throttles(&block_io.throttle_write_iops_device),
        cpu_period: cpu.period.unwrap_or(0),
        cpu_quota: cpu.quota.unwrap_or(0),
        cpu_realtime_period: cpu.realtime_period.unwrap_or(0),
        cpu_realtime_runtime: cpu.realtime_runtime.unwrap_or(0),
        cpuset_cpus: cpu.cpus.unwrap_or_default(),
        cpuset_mems: cpu.mems.unwrap_or_default(),
        devices: options.devices.iter().map(device).collect(),
        device_cgroup_rules: non_empty(&options.device_rules.iter().map(device_rule).collect::<Vec<_>>()),
        device_requests: None,
        memory_reservation: memory.reservation.unwrap_or(0),
        memory_swap: memory.swap.unwrap_or(0),
        memory_swappiness: memory.swappiness,
        oom_kill_disable: memory.disable_oom_killer,
        pids_limit: resources.pids.as_ref().and_then(|pids| pids.limit),
        ulimits: options.ulimits.iter().map(ulimit).collect(),
        cpu_count: 0,
        cpu_percent: 0,
        io_maximum_iops: 0,
        io_maximum_bandwidth: 0,
        masked_paths,
        readonly_paths,
        init: options.init.then_some(true),
    }
}

fn device(device: &engine::containers::options::Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: text(&device.source),
        path_in_container: device.target.clone(),
        cgroup_permissions: device.access.clone(),
    }
}

/// As `--device-cgroup-rule` takes it: `c 1:* rw`.
fn device_rule(rule: &DeviceRule) -> String {
    let kind = match rule.typ {
        Some(DeviceType::Char) => "c",
        Some(DeviceType::Block) => "b",
        _ => "a",
    };
    let number =
        |number: Option<i64>| number.filter(|&number| number >= 0).map_or("*".to_owned(), |number| number.to_string());
    format!("{kind} {}:{} {}", number(rule.major), number(rule.minor), rule.access)
}

fn ulimit(limit: &Rlimit) -> Ulimit {
    // The names of the types are those of the limits.
    Ulimit { name: format!("{:?}", limit.typ).to_ascii_lowercase(), hard: limit.hard, soft: limit.soft }
}

/// Docker keeps the path that was given, this engine the device's numbers: these name it as well.
fn block_device(major: i64, minor: i64) -> String {
    format!("/dev/block/{major}:{minor}")
}

fn weight_device(device: &oci::runtime_spec::WeightDevice) -> WeightDevice {
    WeightDevice { path: block_device(device.major, device.minor), weight: device.weight.unwrap_or(0) }
}

fn throttles(devices: &[oci::runtime_spec::ThrottleDevice]) -> Vec<ThrottleDevice> {
    let one = |device: &oci::runtime_spec::ThrottleDevice| ThrottleDevice {
        path: block_device(device.major, device.minor),
        rate: device.rate,
    };
    devices.iter().map(one).collect()
}

fn log_config(log: &Log) -> LogConfig {
    LogConfig { kind: log.name().into(), config: log.options.clone() }
}

fn graph_driver(details: &Details) -> GraphDriver {
    let lower: Vec<String> = details.root.lower.iter().map(|path| text(path)).collect();
    let mut data = BTreeMap::from([("LowerDir".to_owned(), lower.join(":"))]);
    if let Some((upper, work)) = &details.root.upper {
        data.insert("UpperDir".into(), text(upper));
        data.insert("WorkDir".into(), text(work));
    }
    if let Some(State::Running { process, .. }) = &details.container.state {
        // There is no mount on the host: this is where the running container's root can be seen.
        data.insert("MergedDir".into(), format!("/proc/{}/root", process.pid));
    }
    GraphDriver { data, name: "overlay2".into() }
}

fn mounts(details: &Details) -> Vec<MountPoint> {
    let point = |mount: &engine::containers::options::Mount| {
        let (kind, source, propagation) = match &mount.kind {
            MountKind::Bind { source, propagation, .. } => {
                ("bind", text(source), propagation.as_deref().unwrap_or("rprivate"))
            }
            MountKind::Volume { name, .. } => {
                let path = name.as_ref().map(|name| details.volumes.join(name).join("_data"));
                ("volume", path.as_deref().map(text).unwrap_or_default(), "")
            }
            MountKind::Tmpfs { .. } => ("tmpfs", String::new(), ""),
        };
        let name = match &mount.kind {
            MountKind::Volume { name, .. } => name.clone(),
            _ => None,
        };
        MountPoint {
            kind: kind.into(),
            driver: name.as_ref().map(|_| "local"),
            name,
            source,
            destination: mount.target.clone(),
            mode: String::new(),
            rw: !mount.read_only,
            propagation: propagation.into(),
        }
    };
    details.container.record.options.mounts.iter().map(point).collect()
}

/// A volume as `volume inspect` shows it.
pub fn volume(volume: &Volume, data: &Path) -> VolumeInspect {
    let some = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
    VolumeInspect {
        created_at: time(volume.created),
        driver: "local",
        labels: some(&volume.labels),
        mountpoint: text(data),
        name: volume.name.clone(),
        options: some(&volume.options),
        scope: "local",
    }
}

fn config(record: &Record) -> ContainerConfig {
    let options = &record.options;
    ContainerConfig {
        hostname: options.hostname.clone().unwrap_or_else(|| record.id[..12].to_owned()),
        domainname: options.domainname.clone().unwrap_or_default(),
        user: record.process.user.clone(),
        attach_stdin: options.attached.stdin,
        attach_stdout: options.attached.stdout,
        attach_stderr: options.attached.stderr,
        exposed_ports: (!options.expose.is_empty()).then(|| networks::exposed(&options.expose)),
        tty: options.tty,
        open_stdin: options.open_stdin,
        stdin_once: options.stdin_once,
        env: record.process.env.clone(),
        cmd: non_empty(&record.process.command),
        image: record.image.name().to_owned(),
        volumes: None,
        working_dir: record.process.working_dir.clone(),
        entrypoint: non_empty(&record.process.entrypoint),
        labels: record.process.labels.clone(),
        on_build: None,
        stop_signal: (record.process.stop_signal != sys::signal::TERM)
            .then(|| options.stop_signal.clone().unwrap_or_else(|| record.process.stop_signal.to_string())),
        stop_timeout: options.stop_timeout,
        healthcheck: record.process.healthcheck.clone(),
        shell: record.process.shell.clone(),
    }
}

/// Something that happened, as `events` shows it.
pub fn event(event: &Event) -> EventMessage {
    let is_old = matches!(event.kind, Kind::Container | Kind::Image);
    EventMessage {
        status: is_old.then(|| event.action.clone()),
        id: is_old.then(|| event.id.clone()),
        from: event.attributes.get("image").filter(|_| event.kind == Kind::Container).cloned(),
        kind: event.kind.name(),
        action: event.action.clone(),
        actor: EventActor { id: event.id.clone(), attributes: event.attributes.clone() },
        scope: "local",
        time: event.at.as_second(),
        time_nano: i64::try_from(event.at.as_nanosecond()).unwrap_or(i64::MAX),
    }
}

/// This installation, as `info` shows it.
pub fn info(info: &Info, version: &'static str) -> SystemInfo {
    let mut security_options = vec!["name=seccomp,profile=builtin".to_owned(), "name=cgroupns".to_owned()];
    if info.apparmor {
        security_options.insert(0, "name=apparmor".into());
    }
    SystemInfo {
        containers: info.containers,
        containers_running: info.running,
        containers_paused: info.paused,
        containers_stopped: info.stopped,
        images: info.images,
        driver: "overlay2",
        logging_driver: "json-file",
        cgroup_driver: match info.cgroup_driver {
            CgroupDriver::Cgroupfs => "cgroupfs",
            CgroupDriver::Systemd => "systemd",
        },
        cgroup_version: info.cgroup_version.to_string(),
        kernel_version: info.kernel.clone(),
        operating_system: info.distribution.clone(),
        os_type: "linux",
        architecture: info.machine.clone(),
        ncpu: info.cpus,
        mem_total: info.memory,
        docker_root_dir: text(&info.root),
        name: info.name.clone(),
        server_version: version,
        default_runtime: "tare",
        security_options,
        // Containers need no daemon, and so outlive it.
        live_restore_enabled: true,
    }
}
