//! The control groups: where they are, what they limit, what is used.

use std::path::{Path, PathBuf};

use oci::runtime_spec::Linux;
use runtime::cgroup;
use serde::Serialize;
use stdx::Result;

use super::small;
use crate::containers::Record;

/// One control group.
#[derive(Debug, Serialize)]
pub struct Group {
    /// What the hierarchy controls, as it names itself; empty: everything (version 2).
    pub controllers: String,
    pub path: PathBuf,
    pub limits: Vec<Limit>,
}

/// One thing that a group limits or counts.
#[derive(Debug, Serialize)]
pub struct Limit {
    pub what: &'static str,
    pub unit: Unit,
    /// As the kernel writes it; `None`: no limit.
    pub limit: Option<String>,
    pub used: Option<String>,
}

/// What the numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Bytes,
    Count,
    /// `QUOTA PERIOD`, in microseconds; used: microseconds.
    CpuTime,
    /// Something to be shown as it is.
    Text,
}

/// File of the limit, file of the use, what it is.
const FILES: [(&str, &str, &str, Unit); 16] = [
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory", Unit::Bytes),
    ("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes", "memory and swap", Unit::Bytes),
    ("memory.max", "memory.current", "memory", Unit::Bytes),
    ("memory.high", "", "memory before it is slowed down", Unit::Bytes),
    ("memory.swap.max", "memory.swap.current", "swap", Unit::Bytes),
    ("pids.max", "pids.current", "processes", Unit::Count),
    ("cpu.max", "cpu.stat", "CPU time", Unit::CpuTime),
    ("cpu.cfs_quota_us", "cpuacct.usage", "CPU time", Unit::CpuTime),
    // Of a hierarchy of its own it limits nothing.
    ("cpuacct.usage", "", "CPU time used, in nanoseconds", Unit::Text),
    ("cpu.weight", "", "CPU weight", Unit::Text),
    ("cpu.shares", "", "CPU shares", Unit::Text),
    ("cpuset.cpus.effective", "", "CPUs", Unit::Text),
    ("cpuset.effective_cpus", "", "CPUs", Unit::Text),
    ("cpuset.effective_mems", "", "memory nodes", Unit::Text),
    ("io.max", "", "input and output", Unit::Text),
    ("hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.usage_in_bytes", "huge pages", Unit::Bytes),
];

/// The groups of a container: as they are if it runs, or as they would be.
pub(super) fn of(record: &Record, linux: &Linux, running: bool) -> Result<Vec<Group>> {
    let views = cgroup::at(&record.cgroup())?.views();
    let group = |view: cgroup::View| Group {
        limits: if running { limits(&view.dir) } else { wanted(linux, &view.option) },
        controllers: view.option,
        path: view.dir,
    };
    Ok(views.into_iter().map(group).collect())
}

fn limits(dir: &Path) -> Vec<Limit> {
    let limit = |(limit, used, what, unit): (&str, &str, &'static str, Unit)| {
        let value = small(&dir.join(limit))?;
        let value = match limit {
            // The quota and its period are two files in version 1.
            "cpu.cfs_quota_us" => format!("{value} {}", small(&dir.join("cpu.cfs_period_us"))?),
            _ => value,
        };
        let used = Some(used).filter(|used| !used.is_empty()).and_then(|used| small(&dir.join(used)));
        let used = used.and_then(|text| match unit {
            Unit::CpuTime if limit == "cpu.max" => {
                text.lines().find_map(|line| line.strip_prefix("usage_usec ")).map(str::to_owned)
            }
            // Nanoseconds there.
            Unit::CpuTime => text.parse::<u64>().ok().map(|used| (used / 1000).to_string()),
            _ => Some(text),
        });
        Some(Limit { what, unit, limit: Some(value).filter(|value| is_limit(value)), used })
    };
    FILES.into_iter().filter_map(limit).filter(|limit| limit.limit.is_some() || limit.used.is_some()).collect()
}

/// Whether the kernel's words mean that something is limited.
fn is_limit(text: &str) -> bool {
    const NONE: u64 = 1 << 62;
    !text.is_empty()
        && !text.starts_with("max")
        && !text.starts_with("-1")
        && text.parse::<u64>().is_ok_and(|n| n < NONE) | text.parse::<u64>().is_err()
}

/// What a group of these controllers would be told.
fn wanted(linux: &Linux, controllers: &str) -> Vec<Limit> {
    let resources = linux.resources.clone().unwrap_or_default();
    let has = |name: &str| controllers.is_empty() || controllers.split(',').any(|controller| controller == name);
    let memory = resources.memory.unwrap_or_default();
    let cpu = resources.cpu.unwrap_or_default();
    let quota = cpu.quota.map(|quota| format!("{quota} {}", cpu.period.unwrap_or(100_000)));
    let number = |value: Option<i64>| value.filter(|value| *value > 0).map(|value| value.to_string());
    let all = [
        ("memory", "memory", Unit::Bytes, number(memory.limit)),
        ("memory", "memory and swap", Unit::Bytes, number(memory.swap)),
        ("memory", "memory that is kept for it", Unit::Bytes, number(memory.reservation)),
        ("pids", "processes", Unit::Count, number(resources.pids.as_ref().and_then(|pids| pids.limit))),
        ("cpu", "CPU time", Unit::CpuTime, quota),
        ("cpu", "CPU shares", Unit::Text, cpu.shares.map(|shares| shares.to_string())),
        ("cpuset", "CPUs", Unit::Text, cpu.cpus.filter(|cpus| !cpus.is_empty())),
        ("cpuset", "memory nodes", Unit::Text, cpu.mems.filter(|mems| !mems.is_empty())),
    ];
    let asked = all.into_iter().filter(|(controller, _, _, limit)| has(controller) && limit.is_some());
    asked.map(|(_, what, unit, limit)| Limit { what, unit, limit, used: None }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_words_for_no_limit() {
        for none in ["max", "max 100000", "-1 100000", "9223372036854771712", ""] {
            assert!(!super::is_limit(none), "{none}");
        }
        for limit in ["67108864", "50000 100000", "0-1", "0"] {
            assert!(super::is_limit(limit), "{limit}");
        }
    }
}
