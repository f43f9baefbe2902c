//! Version 1: a directory in every controller's hierarchy.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci::runtime_spec::{BlockIo, Cpu, DeviceRule, Memory, Resources};
use stdx::{Context, Error, Result};

use super::{Cgroup, Entrance, Hierarchy, Stats, Subgroups, View, devices, file, rdma_lines};

/// How long a group may take to freeze before that counts as a failure.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct V1 {
    hierarchies: Vec<Hierarchy>,
    /// The version 2 tree of a hybrid machine.
    unified: Option<PathBuf>,
    path: PathBuf,
}

impl V1 {
    pub(super) fn new(hierarchies: Vec<Hierarchy>, unified: Option<PathBuf>, path: &Path) -> Self {
        Self { hierarchies, unified, path: path.to_owned() }
    }

    fn dir(&self, controller: &str) -> Option<PathBuf> {
        let hierarchy = self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller))?;
        Some(hierarchy.mountpoint.join(&self.path))
    }

    /// The directory of a controller that a limit needs.
    fn need(&self, controller: &str) -> Result<PathBuf> {
        self.dir(controller).ok_or_else(|| {
            Error::unsupported(format!(
                "cannot set a limit: no cgroup hierarchy with the {controller} controller is mounted"
            ))
        })
    }

    fn dirs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let roots = self.hierarchies.iter().map(|hierarchy| &hierarchy.mountpoint).chain(&self.unified);
        roots.map(|root| root.join(&self.path))
    }

    fn make(&self, hierarchy: &Hierarchy) -> Result<()> {
        let mut dir = hierarchy.mountpoint.clone();
        for name in &self.path {
            dir.push(name);
            match fs::create_dir(&dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).context(|| format!("cannot make cgroup {dir:?}"));
                }
                _ => {}
            }
            // Whoever has made one above may have left it empty.
            if hierarchy.has("cpuset") {
                inherit_cpuset(&dir)?;
            }
        }
        Ok(())
    }

    fn set_limits(&self, resources: &Resources) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        if let Some(cpu) = &resources.cpu {
            self.set_cpu(cpu)?;
            self.set_cpuset(cpu)?;
        }
        if let Some(memory) = &resources.memory {
            self.set_memory(memory, &mut warnings)?;
        }
        if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
            let value = if limit > 0 { limit.to_string() } else { "max".into() };
            file::write(&self.need("pids")?, "pids.max", &value)?;
        }
        if let Some(block_io) = &resources.block_io {
            self.set_block_io(block_io, &mut warnings)?;
        }
        for limit in &resources.hugepage_limits {
            let dir = self.need("hugetlb")?;
            file::write(&dir, &format!("hugetlb.{}.limit_in_bytes", limit.page_size), &limit.limit.to_string())?;
            let reserved = format!("hugetlb.{}.rsvd.limit_in_bytes", limit.page_size);
            if file::exists(&dir, &reserved) {
                file::write(&dir, &reserved, &limit.limit.to_string())?;
            }
        }
        for line in rdma_lines(&resources.rdma)? {
            file::write(&self.need("rdma")?, "rdma.max", &line)?;
        }
        if let Some(name) = resources.unified.keys().next() {
            return Err(Error::unsupported(format!(
                "invalid configuration: cannot set {name}, since unified settings exist in cgroup v2 only"
            )));
        }
        if let Some(network) = &resources.network {
            if let Some(class) = network.class_id {
                file::write(&self.need("net_cls")?, "net_cls.classid", &class.to_string())?;
            }
            for priority in &network.priorities {
                let line = format!("{} {}", priority.name, priority.priority);
                file::write(&self.need("net_prio")?, "net_prio.ifpriomap", &line)?;
            }
        }
        Ok(warnings)
    }

    fn set_cpu(&self, cpu: &Cpu) -> Result<()> {
        let mut values: Vec<(&str, String)> = Vec::new();
        let mut add = |name, value: Option<String>| values.extend(value.map(|value| (name, value)));
        add("cpu.shares", cpu.shares.filter(|&n| n > 0).map(|n| n.to_string()));
        // Real time: the period first, or a runtime longer than the old period is refused.
        add("cpu.rt_period_us", cpu.realtime_period.filter(|&n| n > 0).map(|n| n.to_string()));
        add("cpu.rt_runtime_us", cpu.realtime_runtime.filter(|&n| n != 0).map(|n| n.to_string()));
        add("cpu.cfs_period_us", cpu.period.filter(|&n| n > 0).map(|n| n.to_string()));
        add("cpu.cfs_quota_us", cpu.quota.filter(|&n| n != 0).map(|n| n.to_string()));
        add("cpu.cfs_burst_us", cpu.burst.map(|n| n.to_string()));
        add("cpu.idle", cpu.idle.map(|n| n.to_string()));
        if values.is_empty() {
            return Ok(());
        }
        let dir = self.need("cpu")?;
        let (period, others): (Vec<_>, Vec<_>) = values.into_iter().partition(|(name, _)| name.ends_with("_period_us"));
        let write = |(name, value): &(&str, String)| file::write(&dir, name, value);
        // A period shorter than the old runtime or quota allows is refused until that is less too.
        let later: Vec<_> = period.into_iter().filter(|period| write(period).is_err()).collect();
        others.iter().chain(&later).try_for_each(write)
    }

    fn set_cpuset(&self, cpu: &Cpu) -> Result<()> {
        for (name, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                file::write(&self.need("cpuset")?, name, value)?;
            }
        }
        Ok(())
    }

    /// `memory.memsw` counts memory and swap together and can never be below `memory.limit`: when both change, the one
    /// that makes room goes first.
    fn set_memory(&self, memory: &Memory, warnings: &mut Vec<String>) -> Result<()> {
        let dir = self.need("memory")?;
        const LIMIT: &str = "memory.limit_in_bytes";
        const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";
        let mut limits: Vec<(&str, i64)> = Vec::new();
        limits.extend(memory.limit.filter(|&n| n != 0).map(|n| (LIMIT, n)));
        // Without a limit of memory there is none of both either.
        let swap = memory.swap.filter(|&n| n != 0).or((memory.limit == Some(-1)).then_some(-1));
        match swap.filter(|_| memory.swap.is_some() || file::exists(&dir, WITH_SWAP)) {
            Some(_) if !file::exists(&dir, WITH_SWAP) => {
                warnings.push("this kernel does not limit swap: the swap limit is ignored".into());
            }
            swap => limits.extend(swap.map(|n| (WITH_SWAP, n))),
        }
        let raise = limits
            .iter()
            .any(|&(name, value)| name == WITH_SWAP && (value < 0 || value as u64 > file::number(&dir, LIMIT)));
        if raise {
            limits.reverse();
        }
        for (name, value) in limits {
            file::write(&dir, name, &value.to_string())?;
        }
        if let Some(reservation) = memory.reservation.filter(|&n| n != 0) {
            file::write(&dir, "memory.soft_limit_in_bytes", &reservation.to_string())?;
        }
        if let Some(swappiness) = memory.swappiness {
            file::write(&dir, "memory.swappiness", &swappiness.to_string())?;
        }
        if memory.disable_oom_killer == Some(true) {
            file::write(&dir, "memory.oom_control", "1")?;
        }
        let kernel =
            [(memory.kernel, "memory.kmem.limit_in_bytes"), (memory.kernel_tcp, "memory.kmem.tcp.limit_in_bytes")];
        for (limit, name) in kernel {
            if let Some(limit) = limit.filter(|&n| n != 0) {
                // Dropped from the kernel in steps: without effect, refused, gone.
                let taken = file::write(&dir, name, &limit.to_string()).is_ok()
                    && file::number(&dir, name) == limit.unsigned_abs();
                if !taken {
                    warnings.push("this kernel does not limit kernel memory: the limit is ignored".into());
                }
            }
        }
        Ok(())
    }

    fn set_block_io(&self, block_io: &BlockIo, warnings: &mut Vec<String>) -> Result<()> {
        let dir = self.need("blkio")?;
        let weight_file = ["blkio.weight", "blkio.bfq.weight"].into_iter().find(|name| file::exists(&dir, name));
        let devices: Vec<_> =
            block_io.weight_device.iter().filter_map(|d| Some((d.major, d.minor, d.weight?))).collect();
        match (block_io.weight.filter(|&n| n > 0), weight_file) {
            (None, _) if devices.is_empty() => {}
            (_, None) => warnings.push("this kernel has no block device weights: the weight is ignored".into()),
            (weight, Some(name)) => {
                if let Some(weight) = weight {
                    file::write(&dir, name, &weight.to_string())?;
                }
                for (major, minor, weight) in devices {
                    file::write(&dir, &format!("{name}_device"), &format!("{major}:{minor} {weight}"))?;
                }
            }
        }
        let throttles = [
            ("blkio.throttle.read_bps_device", &block_io.throttle_read_bps_device),
            ("blkio.throttle.write_bps_device", &block_io.throttle_write_bps_device),
            ("blkio.throttle.read_iops_device", &block_io.throttle_read_iops_device),
            ("blkio.throttle.write_iops_device", &block_io.throttle_write_iops_device),
        ];
        for (name, limits) in throttles {
            for limit in limits {
                file::write(&dir, name, &format!("{}:{} {}", limit.major, limit.minor, limit.rate))?;
            }
        }
        Ok(())
    }

    fn set_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let dir = self.need("devices")?;
        for rule in rules {
            let name = if rule.allow { "devices.allow" } else { "devices.deny" };
            file::write(&dir, name, &devices::v1_line(rule))?;
        }
        Ok(())
    }

    fn kill_each(&self) -> Result<()> {
        // Freezing keeps a fork bomb from outrunning the list; where there is no freezer, the list is asked for again.
        let frozen = self.freeze(true).is_ok();
        let result = (0..64).try_for_each(|_| {
            let pids = self.pids()?;
            pids.iter().for_each(|&pid| kill(pid));
            Ok(())
        });
        if frozen {
            self.freeze(false)?;
        }
        result
    }
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // Already gone is what we want.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

impl Cgroup for V1 {
    fn create(&self, resources: &Resources) -> Result<Vec<String>> {
        self.hierarchies.iter().try_for_each(|hierarchy| self.make(hierarchy))?;
        if let Some(root) = &self.unified {
            let dir = root.join(&self.path);
            fs::create_dir_all(&dir).context(|| format!("cannot make cgroup {dir:?}"))?;
        }
        self.set_devices(&resources.devices)?;
        self.set_limits(resources)
    }

    fn update(&self, resources: &Resources) -> Result<Vec<String>> {
        self.set_limits(resources)
    }

    fn entrance(&self, below: &Subgroups) -> Result<Entrance> {
        if let Some(controller) = below.unknown(|name| self.dir(name).is_some()) {
            return Err(Error::invalid(format!("no cgroup hierarchy with the controller \"{controller}\" is mounted")));
        }
        let open = |hierarchy: &Hierarchy| {
            let dir = hierarchy.mountpoint.join(&self.path);
            file::open_write(&below.of(&hierarchy.controllers).map_or(dir.clone(), |below| dir.join(below)), "tasks")
        };
        // The version 2 tree counts and limits nothing here: who makes groups below need not have made them there too.
        let unified = |root: &PathBuf| {
            let dir = root.join(&self.path);
            let wanted = below.everywhere().map(|below| dir.join(below)).filter(|dir| dir.is_dir());
            file::open_dir(&wanted.unwrap_or(dir))
        };
        let unified = self.unified.as_ref().map(unified).transpose()?;
        // Whoever enters a frozen group goes no further: by then it is to be in all the others.
        let (freezer, others): (Vec<_>, Vec<_>) = self.hierarchies.iter().partition(|h| h.has("freezer"));
        Ok(Entrance {
            clone_into: unified,
            tasks: others.into_iter().chain(freezer).map(open).collect::<Result<_>>()?,
            holder: None,
        })
    }

    fn pids(&self) -> Result<Vec<i32>> {
        let hierarchy = ["pids", "freezer", "memory", "cpu"].into_iter().find_map(|controller| self.dir(controller));
        hierarchy.or_else(|| self.dirs().next()).map_or(Ok(Vec::new()), |dir| file::pids(&dir))
    }

    fn freeze(&self, frozen: bool) -> Result<()> {
        let dir = self.need("freezer")?;
        let wanted = if frozen { "FROZEN" } else { "THAWED" };
        let deadline = Instant::now() + FREEZE_TIMEOUT;
        file::write(&dir, "freezer.state", wanted)?;
        // A task that forks just now can escape the first round, and the state stays FREEZING: the documented remedy is
        // to ask again. There is no event to wait for.
        while file::read(&dir, "freezer.state")? != wanted {
            if Instant::now() > deadline {
                file::write(&dir, "freezer.state", "THAWED")?;
                return Err(Error::conflict(format!("cannot freeze cgroup {dir:?}: its processes do not stop")));
            }
            std::thread::sleep(Duration::from_micros(500));
            file::write(&dir, "freezer.state", wanted)?;
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        let state = self.dir("freezer").and_then(|dir| file::read(&dir, "freezer.state").ok());
        state.is_some_and(|state| state != "THAWED")
    }

    fn kill(&self) -> Result<()> {
        let unified =
            self.unified.as_ref().map(|root| root.join(&self.path)).filter(|dir| file::exists(dir, "cgroup.kill"));
        match unified {
            Some(dir) => {
                file::write(&dir, "cgroup.kill", "1")?;
                // A task frozen by the v1 freezer dies only when thawed.
                if self.dir("freezer").is_some_and(|dir| dir.exists()) { self.freeze(false) } else { Ok(()) }
            }
            None => self.kill_each(),
        }
    }

    fn oom_kills(&self) -> u64 {
        self.dir("memory").map_or(0, |dir| file::keyed(&dir, "memory.oom_control", "oom_kill"))
    }

    fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        if let Some(dir) = self.dir("cpuacct") {
            stats.cpu_total_ns = file::number(&dir, "cpuacct.usage");
            stats.cpu_user_ns = file::number(&dir, "cpuacct.usage_user");
            stats.cpu_system_ns = file::number(&dir, "cpuacct.usage_sys");
        }
        if let Some(dir) = self.dir("cpu") {
            stats.cpu_periods = file::keyed(&dir, "cpu.stat", "nr_periods");
            stats.cpu_throttled_periods = file::keyed(&dir, "cpu.stat", "nr_throttled");
            stats.cpu_throttled_ns = file::keyed(&dir, "cpu.stat", "throttled_time");
        }
        if let Some(dir) = self.dir("memory") {
            stats.memory_bytes = file::number(&dir, "memory.usage_in_bytes");
            stats.memory_peak_bytes = file::number(&dir, "memory.max_usage_in_bytes");
            stats.memory_inactive_file_bytes = file::keyed(&dir, "memory.stat", "total_inactive_file");
            let limit = file::number(&dir, "memory.limit_in_bytes");
            // "No limit" reads as the largest multiple of a page.
            stats.memory_limit_bytes = if limit > 1 << 62 { u64::MAX } else { limit };
        }
        if let Some(dir) = self.dir("pids") {
            stats.pids = file::number(&dir, "pids.current");
            stats.pids_limit = file::number(&dir, "pids.max");
        }
        if let Some(dir) = self.dir("blkio") {
            let text = file::read(&dir, "blkio.throttle.io_service_bytes_recursive").unwrap_or_default();
            let sum = |kind: &str| -> u64 {
                let value = |line: &str| line.split_once(kind).and_then(|(_, n)| n.trim().parse::<u64>().ok());
                text.lines().filter_map(value).sum()
            };
            (stats.block_read_bytes, stats.block_write_bytes) = (sum(" Read "), sum(" Write "));
        }
        Ok(stats)
    }

    fn remove(&self) -> Result<()> {
        let mut first = Ok(());
        for dir in self.dirs() {
            first = first.and(file::remove(&dir));
        }
        first
    }

    fn views(&self) -> Vec<View> {
        let named = |root: &Path| root.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
        let v1 = self.hierarchies.iter().map(|hierarchy| View {
            name: named(&hierarchy.mountpoint),
            fs_type: "cgroup",
            option: hierarchy.controllers.join(","),
            dir: hierarchy.mountpoint.join(&self.path),
        });
        v1.collect()
    }
}

/// A new cpuset group is empty, and no task may enter an empty one: it starts with what its parent has.
fn inherit_cpuset(dir: &Path) -> Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if file::read(dir, name)?.is_empty() {
            file::write(dir, name, &file::read(parent, name)?)?;
        }
    }
    Ok(())
}
