//! Version 2: one tree, controllers switched on from the root down.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci::runtime_spec::{BlockIo, Cpu, DeviceRule, Memory, Resources};
use stdx::{Context, Error, Kind, Result};

use super::{Cgroup, Entrance, Stats, Subgroups, View, devices, file, rdma_lines};

const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);
const WANTED: [&str; 8] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];

pub(super) struct V2 {
    root: PathBuf,
    path: PathBuf,
}

impl V2 {
    pub(super) fn new(root: PathBuf, path: &Path) -> Self {
        Self { root, path: path.to_owned() }
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.root.join(&self.path)
    }

    /// Makes the directories, handing the controllers down to each level. Gives what could not be handed down, and why.
    fn make(&self) -> Result<Option<String>> {
        let mut dir = self.root.clone();
        let mut missing = None;
        for name in &self.path {
            missing = enable_controllers(&dir)?.or(missing);
            dir.push(name);
            match fs::create_dir(&dir) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                result => result.context(|| format!("cannot make cgroup {dir:?}"))?,
            }
        }
        Ok(missing)
    }

    /// Sets up a group that exists.
    pub(super) fn configure(&self, resources: &Resources) -> Result<Vec<String>> {
        self.set_devices(&resources.devices)?;
        self.set_limits(resources)
    }

    fn set_limits(&self, resources: &Resources) -> Result<Vec<String>> {
        let dir = self.dir();
        let mut warnings = Vec::new();
        if let Some(cpu) = &resources.cpu {
            set_cpu(&dir, cpu)?;
        }
        if let Some(memory) = &resources.memory {
            set_memory(&dir, memory, &mut warnings)?;
        }
        if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
            let value = if limit > 0 { limit.to_string() } else { "max".into() };
            file::write(&dir, "pids.max", &value)?;
        }
        if let Some(block_io) = &resources.block_io {
            set_block_io(&dir, block_io)?;
        }
        for limit in &resources.hugepage_limits {
            file::write(&dir, &format!("hugetlb.{}.max", limit.page_size), &limit.limit.to_string())?;
            let reserved = format!("hugetlb.{}.rsvd.max", limit.page_size);
            if file::exists(&dir, &reserved) {
                file::write(&dir, &reserved, &limit.limit.to_string())?;
            }
        }
        for line in rdma_lines(&resources.rdma)? {
            file::write(&dir, "rdma.max", &line)?;
        }
        if resources.network.is_some() {
            return Err(Error::unsupported("network classes and priorities exist in cgroup v1 only"));
        }
        for (name, value) in &resources.unified {
            if name.contains('/') {
                return Err(Error::invalid(format!("invalid cgroup setting \"{name}\"")));
            }
            value.lines().try_for_each(|line| file::write(&dir, name, line))?;
        }
        Ok(warnings)
    }

    fn set_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let dir = self.dir();
        let program = devices::program(rules)?;
        let cgroup = file::open_dir(&dir)?;
        sys::bpf::load_device_program(&program)
            .and_then(|program| sys::bpf::attach_device_program(cgroup, program))
            .context(|| format!("cannot restrict the devices of cgroup {dir:?}"))
    }
}

/// Hands on to the groups below `dir` what it has itself. A group that has processes can not ("no internal processes"):
/// that is a reason why a limit cannot be set later, but nothing that a container without limits would miss.
fn enable_controllers(dir: &Path) -> Result<Option<String>> {
    let available = file::read(dir, "cgroup.controllers")?;
    let enabled = file::read(dir, "cgroup.subtree_control")?;
    let wanted = WANTED
        .iter()
        .filter(|name| available.split(' ').any(|other| other == **name))
        .filter(|name| !enabled.split(' ').any(|other| other == **name));
    let enable = |names: &[&str]| {
        let text: Vec<String> = names.iter().map(|name| format!("+{name}")).collect();
        file::write(dir, "cgroup.subtree_control", &text.join(" "))
    };
    let wanted: Vec<&str> = wanted.copied().collect();
    let Some(error) = (!wanted.is_empty()).then(|| enable(&wanted).err()).flatten() else { return Ok(None) };
    if error.errno() == Some(sys::Errno::BUSY) {
        // Those that know threads (cpu, pids) would be handed down all the same, and make the groups below unfit for
        // processes.
        let names = wanted.join(", ");
        let why = format!(
            "cgroup {dir:?} has processes of its own, so it cannot hand down {names}: move them to a group below"
        );
        return Ok(Some(why));
    }
    // All or none: one that is refused keeps the others back.
    let refused: Vec<&str> = wanted.into_iter().filter(|name| enable(&[name]).is_err()).collect();
    Ok(Some(format!("cgroup {dir:?} does not hand down {}: {error}", refused.join(", "))))
}

fn set_cpu(dir: &Path, cpu: &Cpu) -> Result<()> {
    if cpu.realtime_runtime.is_some_and(|n| n != 0) || cpu.realtime_period.is_some_and(|n| n != 0) {
        return Err(Error::unsupported("real-time CPU limits exist in cgroup v1 only"));
    }
    if let Some(idle) = cpu.idle {
        file::write(dir, "cpu.idle", &idle.to_string())?;
    }
    if let Some(shares) = cpu.shares.filter(|&n| n > 0) {
        file::write(dir, "cpu.weight", &weight_of_shares(shares).to_string())?;
    }
    let quota = cpu.quota.filter(|&n| n != 0);
    let period = cpu.period.filter(|&n| n > 0);
    if quota.is_some() || period.is_some() {
        let quota = quota.filter(|&n| n > 0).map_or("max".into(), |n| n.to_string());
        let period = period.map_or(String::new(), |n| format!(" {n}"));
        file::write(dir, "cpu.max", &format!("{quota}{period}"))?;
    }
    if let Some(burst) = cpu.burst {
        file::write(dir, "cpu.max.burst", &burst.to_string())?;
    }
    for (name, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            file::write(dir, name, value)?;
        }
    }
    Ok(())
}

/// Version 1 shares (2–262144, usually 1024) on version 2's scale (1–10000, usually 100), linearly as other runtimes do.
pub(super) fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn set_memory(dir: &Path, memory: &Memory, warnings: &mut Vec<String>) -> Result<()> {
    let text = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
    // Version 1 gives memory and swap together, version 2 swap alone.
    let limit = memory.limit.filter(|&n| n != 0);
    let swap = match (memory.swap.filter(|&n| n != 0), limit) {
        (None, _) => None,
        (Some(total), _) if total < 0 => Some(-1),
        (Some(total), Some(limit)) if limit > 0 && total >= limit => Some(total - limit),
        (Some(total), _) => {
            return Err(Error::invalid(format!(
                "memory and swap together ({total}) must be at least the memory limit"
            )));
        }
    };
    if let Some(swap) = swap {
        if file::exists(dir, "memory.swap.max") {
            file::write(dir, "memory.swap.max", &text(swap))?;
        } else {
            warnings.push("this kernel does not limit swap: the swap limit is ignored".into());
        }
    }
    if let Some(limit) = limit {
        file::write(dir, "memory.max", &text(limit))?;
    }
    if let Some(reservation) = memory.reservation.filter(|&n| n != 0) {
        file::write(dir, "memory.low", &text(reservation))?;
    }
    if memory.swappiness.is_some() {
        warnings.push("cgroup v2 has no swappiness: the setting is ignored".into());
    }
    if memory.disable_oom_killer == Some(true) {
        warnings.push("cgroup v2 cannot switch the out-of-memory killer off: the setting is ignored".into());
    }
    if memory.kernel.is_some_and(|n| n != 0) || memory.kernel_tcp.is_some_and(|n| n != 0) {
        warnings.push("this kernel does not limit kernel memory: the limit is ignored".into());
    }
    Ok(())
}

/// `io.weight` has 1–10000 where blkio and BFQ have 10–1000.
pub(super) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).max(10) - 10) * 9999 / 990
}

fn set_block_io(dir: &Path, block_io: &BlockIo) -> Result<()> {
    let weight_file =
        ["io.bfq.weight", "io.weight"].into_iter().find(|name| file::exists(dir, name)).unwrap_or("io.weight");
    let scaled = |weight: u16| if weight_file == "io.weight" { io_weight(weight) } else { u64::from(weight) };
    if let Some(weight) = block_io.weight.filter(|&n| n > 0) {
        file::write(dir, weight_file, &scaled(weight).to_string())?;
    }
    for device in &block_io.weight_device {
        if let Some(weight) = device.weight {
            file::write(dir, weight_file, &format!("{}:{} {}", device.major, device.minor, scaled(weight)))?;
        }
    }
    let throttles = [
        ("rbps", &block_io.throttle_read_bps_device),
        ("wbps", &block_io.throttle_write_bps_device),
        ("riops", &block_io.throttle_read_iops_device),
        ("wiops", &block_io.throttle_write_iops_device),
    ];
    for (key, limits) in throttles {
        for limit in limits {
            file::write(dir, "io.max", &format!("{}:{} {key}={}", limit.major, limit.minor, limit.rate))?;
        }
    }
    Ok(())
}

/// Where a process can enter: a container that has divided its group (systemd does) has no processes in the group itself.
/// Then it is the group below with the container's oldest process.
fn inhabited(dir: PathBuf) -> PathBuf {
    let divided = file::read(&dir, "cgroup.subtree_control").is_ok_and(|controllers| !controllers.is_empty());
    if !divided {
        return dir;
    }
    let mut oldest: Option<(i32, PathBuf)> = None;
    let mut pending = file::children(&dir);
    while let Some(group) = pending.pop() {
        let pids = file::read(&group, "cgroup.procs").unwrap_or_default();
        let pid = pids.lines().filter_map(|line| line.parse().ok()).min();
        pending.extend(file::children(&group));
        if let Some(pid) = pid.filter(|pid| oldest.as_ref().is_none_or(|(known, _)| pid < known)) {
            oldest = Some((pid, group));
        }
    }
    oldest.map_or(dir, |(_, group)| group)
}

impl Cgroup for V2 {
    fn create(&self, resources: &Resources) -> Result<Vec<String>> {
        let missing = self.make()?;
        self.configure(resources).map_err(|error| match missing {
            Some(why) if error.kind() == Kind::Unsupported => error.hint(why),
            _ => error,
        })
    }

    fn update(&self, resources: &Resources) -> Result<Vec<String>> {
        self.set_limits(resources)
    }

    fn entrance(&self, below: &Subgroups) -> Result<Entrance> {
        if let Some(controller) = below.unknown(|_| false) {
            let message = format!("controller \"{controller}\" has no control groups of its own in version 2");
            return Err(Error::invalid(message));
        }
        let dir = match below.everywhere() {
            Some(below) => self.dir().join(below),
            None => inhabited(self.dir()),
        };
        Ok(Entrance { clone_into: Some(file::open_dir(&dir)?), ..Entrance::default() })
    }

    fn pids(&self) -> Result<Vec<i32>> {
        file::pids(&self.dir())
    }

    fn freeze(&self, frozen: bool) -> Result<()> {
        let dir = self.dir();
        file::write(&dir, "cgroup.freeze", if frozen { "1" } else { "0" })?;
        let deadline = Instant::now() + FREEZE_TIMEOUT;
        while file::keyed(&dir, "cgroup.events", "frozen") != u64::from(frozen) {
            if Instant::now() > deadline {
                file::write(&dir, "cgroup.freeze", "0")?;
                return Err(Error::conflict(format!("cannot freeze cgroup {dir:?}: its processes do not stop")));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        file::keyed(&self.dir(), "cgroup.events", "frozen") == 1
    }

    fn kill(&self) -> Result<()> {
        let dir = self.dir();
        if file::exists(&dir, "cgroup.kill") {
            return file::write(&dir, "cgroup.kill", "1");
        }
        // Before 5.14: a frozen v2 group still takes signals, so nothing can outrun the list.
        self.freeze(true)?;
        let pids = self.pids()?.into_iter().filter_map(rustix::process::Pid::from_raw);
        for pid in pids {
            // Already gone is what we want.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        self.freeze(false)
    }

    fn oom_kills(&self) -> u64 {
        file::keyed(&self.dir(), "memory.events", "oom_kill")
    }

    fn stats(&self) -> Result<Stats> {
        let dir = self.dir();
        let micros = |key| file::keyed(&dir, "cpu.stat", key).saturating_mul(1000);
        let io = file::read(&dir, "io.stat").unwrap_or_default();
        let io_sum = |key: &str| -> u64 {
            io.split_ascii_whitespace().filter_map(|field| field.strip_prefix(key)?.parse::<u64>().ok()).sum()
        };
        Ok(Stats {
            cpu_total_ns: micros("usage_usec"),
            cpu_user_ns: micros("user_usec"),
            cpu_system_ns: micros("system_usec"),
            cpu_periods: file::keyed(&dir, "cpu.stat", "nr_periods"),
            cpu_throttled_periods: file::keyed(&dir, "cpu.stat", "nr_throttled"),
            cpu_throttled_ns: micros("throttled_usec"),
            memory_bytes: file::number(&dir, "memory.current"),
            memory_inactive_file_bytes: file::keyed(&dir, "memory.stat", "inactive_file"),
            memory_peak_bytes: file::number(&dir, "memory.peak"),
            memory_limit_bytes: file::number(&dir, "memory.max"),
            pids: file::number(&dir, "pids.current"),
            pids_limit: file::number(&dir, "pids.max"),
            block_read_bytes: io_sum("rbytes="),
            block_write_bytes: io_sum("wbytes="),
        })
    }

    fn remove(&self) -> Result<()> {
        file::remove(&self.dir())
    }

    fn views(&self) -> Vec<View> {
        vec![View { name: String::new(), fs_type: "cgroup2", option: String::new(), dir: self.dir() }]
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_map_onto_weights() {
        assert_eq!(super::weight_of_shares(2), 1);
        assert_eq!(super::weight_of_shares(1024), 39);
        assert_eq!(super::weight_of_shares(262_144), 10_000);
    }
}
