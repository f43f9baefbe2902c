//! `tare runtime events`.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use oci::runtime_spec::Status;
use runtime::cgroup::Stats;
use runtime::container::Container;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::{Value, json};
use stdx::{Context, Error, Result};

use super::Globals;
use crate::error::Failure;
use crate::table::out;

/// Display container events such as OOM notifications, and statistics
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime events")]
struct Args {
    /// Seconds between two statistics (5s, 500ms)
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    interval: String,
    /// Show the container's statistics once and end
    #[arg(long)]
    stats: bool,
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let interval = interval(&args.interval)?;
    let container = globals.container(&args.id)?;
    if container.status() == Status::Stopped {
        return Err(Error::conflict(format!("container \"{}\" is not running", args.id)).into());
    }
    if args.stats {
        show(&container, "stats", statistics(&container.cgroup()?.stats()?))?;
        return Ok(0);
    }
    let init = container.handle()?;
    let mut kills = container.cgroup()?.oom_kills();
    while !ended(&init, &interval) {
        let cgroup = container.cgroup()?;
        let now = cgroup.oom_kills();
        (kills..now).try_for_each(|_| show(&container, "oom", Value::Null))?;
        kills = now.max(kills);
        show(&container, "stats", statistics(&cgroup.stats()?))?;
    }
    Ok(0)
}

/// Whether init ends within the interval.
fn ended(init: &OwnedFd, interval: &Timespec) -> bool {
    !matches!(poll(&mut [PollFd::new(init, PollFlags::IN)], Some(interval)), Ok(0) | Err(sys::Errno::INTR))
}

/// A line of the output, in runc's order.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: Value,
}

fn show(container: &Container, kind: &str, data: Value) -> Result<()> {
    let event = serde_json::to_string(&Event { kind, id: &container.id, data });
    out(&format!("{}\n", event.context(|| "cannot write JSON".into())?));
    Ok(())
}

/// The numbers under the names that runc gives them.
fn statistics(stats: &Stats) -> Value {
    let limit = |value: u64| if value == u64::MAX { 0 } else { value };
    json!({
        "cpu": {
            "usage": { "total": stats.cpu_total_ns, "kernel": stats.cpu_system_ns, "user": stats.cpu_user_ns },
            "throttling": {
                "periods": stats.cpu_periods,
                "throttledPeriods": stats.cpu_throttled_periods,
                "throttledTime": stats.cpu_throttled_ns,
            },
        },
        "memory": {
            "cache": stats.memory_inactive_file_bytes,
            "usage": { "limit": stats.memory_limit_bytes, "usage": stats.memory_bytes, "max": stats.memory_peak_bytes },
        },
        "pids": { "current": stats.pids, "limit": limit(stats.pids_limit) },
        "blkio": {
            "ioServiceBytesRecursive": [
                { "op": "Read", "value": stats.block_read_bytes },
                { "op": "Write", "value": stats.block_write_bytes },
            ],
        },
    })
}

/// Go's spelling of a duration, as far as it makes sense here.
fn interval(text: &str) -> Result<Timespec> {
    let (number, unit_ms) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => match text.strip_suffix('m') {
            Some(number) => (number, 60_000.0),
            None => (text.strip_suffix('s').unwrap_or(text), 1000.0),
        },
    };
    let number = number.parse::<f64>().context(|| format!("invalid duration \"{text}\""));
    let millis = number.map_err(|error| error.kinded(stdx::Kind::Invalid))? * unit_ms;
    if !(1.0..=86_400_000.0).contains(&millis) {
        return Err(Error::invalid(format!("invalid duration \"{text}\": from 1ms to a day")));
    }
    Ok(Timespec { tv_sec: (millis / 1000.0) as i64, tv_nsec: (millis % 1000.0 * 1e6) as i64 })
}
