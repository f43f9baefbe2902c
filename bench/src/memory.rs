//! What stays in memory for a running container.

use std::fs;

use stdx::{Context, Error, Result};

/// The proportional set size, in KiB, of the parent of each of these processes.
pub(crate) fn monitors_kib(containers: &[u32]) -> Result<Vec<f64>> {
    containers.iter().map(|pid| pss_kib(field(*pid, "status", "PPid:")? as u32)).collect()
}

fn pss_kib(pid: u32) -> Result<f64> {
    field(pid, "smaps_rollup", "Pss:").map(|kib| kib as f64)
}

/// The number behind `name` in `/proc/PID/file`.
fn field(pid: u32, file: &str, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).context(|| format!("cannot read {path:?}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| Error::corrupt(format!("{path:?} has no number \"{name}\"")))
}
