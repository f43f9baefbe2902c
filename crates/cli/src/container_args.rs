//! The options that `create` and `run` share: Docker's words, read into the engine's [`Options`].

use std::path::PathBuf;

use engine::containers::Options;
use engine::containers::options::{Dns, Log, Namespaces, Network, Seccomp, Time, parse};
use monitor::restart::Policy as RestartPolicy;
use oci::runtime_spec::{BlockIo, Memory, Resources};
use stdx::{Context, Error, Kind, Result};

use crate::commands::pull::Policy;
use crate::health_args::HealthArgs;
use crate::limit_args::LimitArgs;

/// A switch that may also be given as `--name=true` or `--name=false`.
macro_rules! switch {
    ($value:expr) => {
        $value.unwrap_or(false)
    };
}

#[derive(clap::Args, Debug)]
pub(crate) struct ContainerArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "HOST:IP")]
    add_host: Vec<String>,
    /// Add an annotation to the container (passed on to the OCI runtime)
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "STREAM")]
    pub(crate) attach: Vec<String>,
    /// Block IO weight of a device (device:weight)
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    blkio_weight_device: Vec<String>,
    /// Add Linux capabilities
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<String>,
    /// Parent cgroup of the container
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// Cgroup namespace: host or private
    #[arg(long, value_name = "MODE", default_value = "")]
    cgroupns: String,
    /// Write the container's id to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Say that the program listens on a port or a range of them
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// Add a host's device to the container
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,
    /// Add a rule to the list of allowed devices
    #[arg(long, value_name = "RULE")]
    device_cgroup_rule: Vec<String>,
    /// Limit the read rate (bytes per second) from a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_bps: Vec<String>,
    /// Limit the read rate (operations per second) from a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_iops: Vec<String>,
    /// Limit the write rate (bytes per second) to a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_bps: Vec<String>,
    /// Limit the write rate (operations per second) to a device
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_iops: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// NIS domain name of the container
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Say what would be made, and show its OCI configuration; nothing is
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Overwrite the default entrypoint of the image
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Add groups to join
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    #[command(flatten)]
    health: HealthArgs,
    /// Host name of the container
    #[arg(short = 'H', long, visible_short_alias = 'h', value_name = "NAME")]
    hostname: Option<String>,
    /// IPv4 address in the (first) network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// IPv6 address in the (first) network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// Run a first process that forwards signals and reaps processes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    init: Option<bool>,
    /// Kind of isolation: default
    #[arg(long, value_name = "KIND")]
    isolation: Option<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    interactive: Option<bool>,
    /// IPC namespace: private, host, none, container:ID
    #[arg(long, value_name = "MODE", default_value = "")]
    ipc: String,
    /// Set metadata on the container
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// Further addresses of the (first) network's device alone
    #[arg(long, value_name = "ADDRESS")]
    link_local_ip: Vec<String>,
    /// Logging driver: json-file, local, journald or none
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Log driver options: max-size, max-file, tag, labels, env
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
    /// Hardware address in the (first) network
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    /// Swappiness of the container's memory (0 to 100)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    memory_swappiness: Option<i64>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Networks to join: a name, name=NAME,alias=NAME,ip=ADDRESS, or alone: none, host, container:ID
    #[arg(long, alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Add a name that others in the network may use
    #[arg(long, alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Disable the out-of-memory killer
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    oom_kill_disable: Option<bool>,
    /// Tune the host's out-of-memory preferences (-1000 to 1000)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    oom_score_adj: Option<i32>,
    /// PID namespace: private, host, container:ID
    #[arg(long, value_name = "MODE", default_value = "")]
    pid: String,
    /// Publish a port on the host ([ip:]host:container[/protocol])
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// Publish all exposed ports on free ports of the host
    #[arg(short = 'P', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    publish_all: Option<bool>,
    /// Platform the image must be for (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// When to pull the image before it is used
    #[arg(long, value_enum, default_value = "missing", value_name = "POLICY")]
    pub(crate) pull: Policy,
    /// Do not show how the image is pulled
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Give extended privileges to the container
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    privileged: Option<bool>,
    /// Mount the root filesystem read-only
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    read_only: Option<bool>,
    /// When to start the container again: no, on-failure[:NUMBER], always, unless-stopped
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: String,
    /// Remove the container when it ends
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    rm: Option<bool>,
    /// Runtime: tare, which is the only one
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,
    /// Security options: seccomp=FILE|unconfined, no-new-privileges, apparmor=PROFILE, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// Signal to stop the container
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds until a stop becomes a kill
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    stop_timeout: Option<i64>,
    /// Kernel parameters of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Offset the container's clocks: boottime=±SECONDS,monotonic=±SECONDS, or zero to start them at 0
    #[arg(long, value_name = "OFFSETS", allow_hyphen_values = true)]
    time_offset: Option<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "PATH")]
    tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    tty: Option<bool>,
    /// Resource limits of processes (name=soft[:hard])
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<String>,
    /// User name or UID (name|uid[:group|gid])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// User namespace: host or auto
    #[arg(long, value_name = "MODE", default_value = "")]
    userns: String,
    /// UTS namespace: private or host
    #[arg(long, value_name = "MODE", default_value = "")]
    uts: String,
    /// Mount a volume, or bind a directory or file of the host ([name or host path:]container path[:options])
    #[arg(short, long, value_name = "VOLUME")]
    volume: Vec<String>,
    /// Driver of volumes that are made: local
    #[arg(long, value_name = "DRIVER")]
    volume_driver: Option<String>,
    /// Mount the volumes and binds of another container (container[:ro|rw])
    #[arg(long, value_name = "CONTAINER")]
    volumes_from: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The image, then the command and its arguments
    #[arg(value_name = "IMAGE [COMMAND] [ARG...]", required = true, trailing_var_arg = true)]
    image_and_command: Vec<String>,
}

impl ContainerArgs {
    /// The engine's options. `attached` tells whether a client stays with the container.
    pub(crate) fn options(&self, attached: bool) -> Result<Options> {
        let (image, command) = self.image_and_command.split_first().ok_or_else(|| Error::invalid("no image given"))?;
        if image.is_empty() {
            return Err(Error::invalid("the name of the image is empty"));
        }
        self.check_only_choices()?;
        let interactive = switch!(self.interactive);
        let mut options = Options {
            image: image.clone(),
            command: command.to_vec(),
            // An empty one takes the image's away.
            entrypoint: self
                .entrypoint
                .as_ref()
                .map(|text| Some(text.clone()).filter(|text| !text.is_empty()).into_iter().collect()),
            name: self.name.clone(),
            platform: self.platform.clone(),
            env: self.env()?,
            labels: self.labels()?,
            annotations: pairs(&self.annotation),
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            groups: self.group_add.clone(),
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            extra_hosts: self.add_host.iter().map(|text| parse::extra_host(text)).collect::<Result<_>>()?,
            dns: Dns { servers: self.dns.clone(), search: self.dns_search.clone(), options: self.dns_option.clone() },
            ports: lists(&self.publish, parse::publish)?,
            expose: lists(&self.expose, parse::expose)?,
            publish_all: switch!(self.publish_all),
            tty: switch!(self.tty),
            open_stdin: interactive,
            stdin_once: interactive && attached,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            auto_remove: switch!(self.rm),
            restart: parse::restart(&self.restart)?,
            init: switch!(self.init),
            health: self.health.check()?,
            health_on_failure: self.health.on_failure(&self.restart)?,
            log: Log::parse(self.log_driver.as_deref(), &self.log_opt)?,
            namespaces: self.namespaces()?,
            resources: self.resources()?,
            nano_cpus: self.limits.nano_cpus()?,
            cgroup_parent: self.cgroup_parent.clone().filter(|path| !path.is_empty()),
            oom_score_adj: self.oom_score_adj,
            ulimits: self.ulimit.iter().map(|text| parse::ulimit(text)).collect::<Result<_>>()?,
            sysctls: self.sysctls()?,
            shm_size: self.shm_size.as_deref().map(|text| parse::bytes("shm-size", text)).transpose()?,
            read_only: switch!(self.read_only),
            mounts: self.mounts()?,
            volumes_from: self.volumes_from.clone(),
            devices: self.device.iter().map(|text| parse::device(text)).collect::<Result<_>>()?,
            device_rules: self.device_cgroup_rule.iter().map(|text| parse::device_rule(text)).collect::<Result<_>>()?,
            privileged: switch!(self.privileged),
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            ..Options::default()
        };
        if let Some(score) = self.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
            return Err(Error::invalid(format!("the out-of-memory score {score} must be between -1000 and 1000")));
        }
        if options.auto_remove && options.restart != RestartPolicy::No {
            return Err(Error::invalid("conflicting options: --restart and --rm"));
        }
        self.security(&mut options)?;
        Ok(options)
    }

    /// What has one value only is taken, for whoever writes it down, and anything else refused.
    fn check_only_choices(&self) -> Result<()> {
        for (what, given, only) in [
            ("isolation", &self.isolation, &["default", ""][..]),
            ("runtime", &self.runtime, &["tare", ""]),
            ("volume driver", &self.volume_driver, &["local", ""]),
        ] {
            if let Some(given) = given.as_deref().filter(|given| !only.contains(given)) {
                return Err(Error::invalid(format!("unknown {what} \"{given}\": there is only \"{}\"", only[0])));
            }
        }
        Ok(())
    }

    fn env(&self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for path in &self.env_file {
            texts.extend(parse::lines_of(path)?);
        }
        texts.extend(self.env.iter().cloned());
        let entries: Vec<Option<String>> = texts.iter().map(|text| parse::env(text)).collect::<Result<_>>()?;
        Ok(entries.into_iter().flatten().collect())
    }

    fn labels(&self) -> Result<std::collections::BTreeMap<String, String>> {
        let mut texts = Vec::new();
        for path in &self.label_file {
            texts.extend(parse::lines_of(path)?);
        }
        texts.extend(self.label.iter().cloned());
        Ok(pairs(&texts))
    }

    fn namespaces(&self) -> Result<Namespaces> {
        let mut time = Time::default();
        if let Some(text) = &self.time_offset {
            parse::time_offset(text, &mut time)?;
        }
        Ok(Namespaces {
            pid: parse::namespace("pid", &self.pid)?,
            ipc: parse::namespace("ipc", &self.ipc)?,
            uts: parse::namespace("uts", &self.uts)?,
            cgroup: parse::namespace("cgroupns", &self.cgroupns)?,
            network: self.joined()?,
            user: parse::user_namespace(&self.userns)?,
            time,
        })
    }

    /// The networks, with what is said of the first by options of their own.
    fn joined(&self) -> Result<Network> {
        let usual = || vec![engine::config::default_network()];
        let mut network = parse::networks(&if self.network.is_empty() { usual() } else { self.network.clone() })?;
        let aliases = self.network_alias.iter().map(|name| parse::alias(name)).collect::<Result<Vec<_>>>()?;
        let ip = self.ip.as_deref().map(parse::ipv4).transpose()?;
        let ip6 = self.ip6.as_deref().map(parse::ipv6).transpose()?;
        let mac = self.mac_address.as_deref().map(parse::mac).transpose()?;
        let link_local = self.link_local_ip.iter().map(|ip| parse::link_local(ip)).collect::<Result<Vec<_>>>()?;
        if let Network::Joined(places) = &mut network {
            if let Some(place) = places.first_mut() {
                place.aliases.extend(aliases);
                place.link_local.extend(link_local);
                (place.ip, place.ip6, place.mac) = (ip.or(place.ip), ip6.or(place.ip6), mac.or(place.mac));
            }
        } else if ip.is_some() || ip6.is_some() || mac.is_some() || !aliases.is_empty() || !link_local.is_empty() {
            return Err(Error::invalid("conflicting options: an address or an alias needs a network to be in"));
        }
        Ok(network)
    }

    fn resources(&self) -> Result<Resources> {
        Ok(Resources { memory: self.memory()?, block_io: self.block_io()?, ..self.limits.resources()? })
    }

    fn memory(&self) -> Result<Option<Memory>> {
        let swappiness = self.memory_swappiness.filter(|&value| value != -1);
        if let Some(value) = swappiness.filter(|value| !(0..=100).contains(value)) {
            return Err(Error::invalid(format!("the memory swappiness {value} must be between 0 and 100")));
        }
        let limits = self.limits.memory()?.unwrap_or_default();
        // Docker's rule: with a memory limit and no word of swap, as much swap again.
        let swap = limits.swap.or(limits.limit.filter(|&limit| limit > 0).and_then(|limit| limit.checked_mul(2)));
        let memory = Memory {
            swap,
            swappiness: swappiness.map(i64::unsigned_abs),
            disable_oom_killer: self.oom_kill_disable.filter(|&disable| disable),
            ..limits
        };
        Ok((memory != Memory::default()).then_some(memory))
    }

    fn block_io(&self) -> Result<Option<BlockIo>> {
        let throttles = |option: &str, texts: &[String], size: bool| {
            texts.iter().map(|text| parse::throttle(option, text, size)).collect::<Result<Vec<_>>>()
        };
        let block_io = BlockIo {
            weight: self.limits.block_io_weight()?,
            weight_device: self
                .blkio_weight_device
                .iter()
                .map(|text| parse::weight_device(text))
                .collect::<Result<_>>()?,
            throttle_read_bps_device: throttles("device-read-bps", &self.device_read_bps, true)?,
            throttle_write_bps_device: throttles("device-write-bps", &self.device_write_bps, true)?,
            throttle_read_iops_device: throttles("device-read-iops", &self.device_read_iops, false)?,
            throttle_write_iops_device: throttles("device-write-iops", &self.device_write_iops, false)?,
            ..BlockIo::default()
        };
        Ok((block_io != BlockIo::default()).then_some(block_io))
    }

    /// Only what a namespace of the container holds may be set: anything else would be the host's.
    fn sysctls(&self) -> Result<std::collections::BTreeMap<String, String>> {
        const IPC: [&str; 8] = [
            "kernel.msgmax",
            "kernel.msgmnb",
            "kernel.msgmni",
            "kernel.sem",
            "kernel.shmall",
            "kernel.shmmax",
            "kernel.shmmni",
            "kernel.shm_rmid_forced",
        ];
        for text in &self.sysctl {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            let namespaced = name.starts_with("net.") || name.starts_with("fs.mqueue.") || IPC.contains(&name);
            if value.is_empty() || !namespaced {
                return Err(Error::invalid(format!("sysctl \"{text}\" is not allowed"))
                    .hint("NAME=VALUE with net.*, fs.mqueue.*, kernel.msg*, kernel.shm* or kernel.sem"));
            }
        }
        if self.sysctl.iter().any(|text| text.starts_with("net.")) && self.joined()? == Network::Host {
            return Err(Error::invalid(
                "a sysctl of the network would change the host's, whose network the container shares",
            ));
        }
        Ok(pairs(&self.sysctl))
    }

    fn mounts(&self) -> Result<Vec<engine::containers::options::Mount>> {
        let volumes = self.volume.iter().map(|text| parse::volume(text));
        let mounts = self.mount.iter().map(|text| parse::mount(text));
        let tmpfs = self.tmpfs.iter().map(|text| parse::tmpfs(text));
        let mounts: Vec<_> = volumes.chain(mounts).chain(tmpfs).collect::<Result<_>>()?;
        let mut targets = std::collections::BTreeSet::new();
        for mount in &mounts {
            let target = mount.target.trim_end_matches('/');
            if target.is_empty() {
                return Err(Error::invalid("invalid mount: the target cannot be \"/\""));
            }
            if !targets.insert(target) {
                return Err(Error::invalid(format!("duplicate mount point: \"{target}\"")));
            }
        }
        Ok(mounts)
    }

    fn security(&self, options: &mut Options) -> Result<()> {
        let mut profile = None;
        for text in &self.security_opt {
            let (name, value) = text.split_once('=').or_else(|| text.split_once(':')).unwrap_or((text, ""));
            match (name, value) {
                ("no-new-privileges", "" | "true") => options.no_new_privileges = true,
                ("no-new-privileges", "false") => options.no_new_privileges = false,
                ("seccomp", "unconfined") => options.seccomp = Seccomp::Unconfined,
                ("seccomp", "builtin") => options.seccomp = Seccomp::Default,
                ("seccomp", file) if !file.is_empty() => profile = Some(PathBuf::from(file)),
                ("apparmor", profile) if !profile.is_empty() => options.apparmor = Some(profile.to_owned()),
                ("systempaths", "unconfined") => options.unmask_all = true,
                ("label", _) => {
                    return Err(Error::unsupported("security option \"label\": SELinux labels are not supported"));
                }
                _ => return Err(Error::invalid(format!("invalid security option \"{text}\""))),
            }
        }
        if let Some(path) = profile {
            options.seccomp = Seccomp::Profile(Box::new(read_profile(&path, options)?));
        }
        Ok(())
    }
}

/// A profile in Docker's form depends on the container's capabilities, so it is read last.
fn read_profile(path: &std::path::Path, options: &Options) -> Result<oci::runtime_spec::Seccomp> {
    use runtime::seccomp::{Arch, KernelVersion, MAX_PROFILE_BYTES, docker_profile};
    let what = || format!("cannot use seccomp profile {path:?}");
    let size = std::fs::metadata(path).context(what)?.len();
    if size > MAX_PROFILE_BYTES as u64 {
        return Err(Error::new(Kind::Invalid, format!("{}: it is larger than {MAX_PROFILE_BYTES} bytes", what())));
    }
    let json = std::fs::read(path).context(what)?;
    let caps = engine::containers::spec::capabilities(options)?;
    docker_profile(&json, &caps, KernelVersion::running()?, Arch::native()?).context(what)
}

/// What each text means, one after the other.
fn lists<T>(texts: &[String], parse: fn(&str) -> Result<Vec<T>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(parse(text)?);
    }
    Ok(all)
}

fn pairs(texts: &[String]) -> std::collections::BTreeMap<String, String> {
    texts
        .iter()
        .map(|text| text.split_once('=').unwrap_or((text, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
