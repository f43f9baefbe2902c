//! `stats`: what a container uses at this moment, from its control groups and its network namespace.

use std::time::Instant;

use monitor::State;
use runtime::cgroup::Stats;
use stdx::Result;

use crate::containers::Container;

/// One look at a running container.
#[derive(Debug, Clone)]
pub struct Sample {
    pub at: Instant,
    pub stats: Stats,
    /// Bytes its network interfaces have received and sent, the loopback apart. `None`: it uses the host's.
    pub network: Option<(u64, u64)>,
}

impl Sample {
    /// Memory in use without the page cache that could be dropped at once, as Docker counts.
    pub fn memory_used(&self) -> u64 {
        self.stats.memory_bytes.saturating_sub(self.stats.memory_inactive_file_bytes)
    }

    /// The share of one CPU that was used between an earlier look and this one: 1.0 is one CPU all the time.
    pub fn cpu_since(&self, earlier: &Self) -> f64 {
        let time = self.at.duration_since(earlier.at).as_nanos();
        let used = self.stats.cpu_total_ns.saturating_sub(earlier.stats.cpu_total_ns);
        if time == 0 { 0.0 } else { used as f64 / time as f64 }
    }
}

/// Looks at a container. `None`: it is not running (any more).
pub fn sample(container: &Container) -> Result<Option<Sample>> {
    let Some(State::Running { process, .. }) = &container.state else { return Ok(None) };
    let stats = runtime::cgroup::at(&container.record.cgroup())?.stats();
    let network = network(process.pid);
    // Counters that were read while it ended are not its own.
    if !process.is_alive() {
        return Ok(None);
    }
    Ok(Some(Sample { at: Instant::now(), stats: stats?, network }))
}

/// The machine's memory, in bytes: no container has more, whatever its limit says.
pub fn machine_memory() -> u64 {
    let pages = rustix::system::sysinfo();
    pages.totalram.saturating_mul(u64::from(pages.mem_unit))
}

fn network(pid: i32) -> Option<(u64, u64)> {
    let namespace = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net")).ok();
    if namespace(&pid.to_string())? == namespace("self")? {
        return None;
    }
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?;
    Some(totals(&table))
}

/// The columns "bytes" of `/proc/net/dev`, received and sent.
fn totals(table: &str) -> (u64, u64) {
    let interface = |line: &str| -> Option<(u64, u64)> {
        let (name, counters) = line.split_once(':')?;
        let mut counters = counters.split_ascii_whitespace().map(|text| text.parse::<u64>().ok());
        let (received, sent) = (counters.next()??, counters.nth(7)??);
        (name.trim() != "lo").then_some((received, sent))
    };
    table.lines().filter_map(interface).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn interfaces_are_summed_without_the_loopback() {
        let table = "Inter-|   Receive                |  Transmit\n face |bytes    packets errs drop fifo frame compressed \
                     multicast|bytes packets errs drop fifo colls carrier compressed\n    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 \
                     0 0 0\n  eth0: 100 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\neth1:1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n";
        assert_eq!(super::totals(table), (101, 22));
        assert_eq!(super::totals(""), (0, 0));
    }
}
