//! `tare stats`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::Duration;

use engine::Engine;
use engine::containers::stats::{self, Sample};
use engine::containers::{Container, find, list};
use stdx::{Result, size};

use crate::error::Failure;
use crate::format::Column;
use crate::table;

/// Show what containers use, live
#[derive(clap::Parser, Debug)]
#[command(name = "tare stats")]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show one result and end
    #[arg(long)]
    no_stream: bool,
    /// Do not cut ids short
    #[arg(long)]
    no_trunc: bool,
    /// Only these containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Between two looks: long enough for the share of a CPU to mean something.
const INTERVAL: Duration = Duration::from_secs(1);

const COLUMNS: [Column; 9] = [
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("Container", "CONTAINER"),
];

const TABLE: &str =
    "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let live = !args.no_stream;
    let mut earlier = samples(engine, &args)?.1;
    loop {
        std::thread::sleep(INTERVAL);
        let (containers, now) = samples(engine, &args)?;
        let rows = rows(&containers, &earlier, &now, args.no_trunc, args.format.is_none());
        if live && std::io::stdout().is_terminal() {
            // Back to the top left, and what was below is gone.
            table::out("\x1b[H\x1b[J");
        }
        crate::format::print(
            args.format.as_deref().filter(|format| *format != "table").unwrap_or(TABLE),
            &COLUMNS,
            rows,
        )?;
        if !live || (containers.is_empty() && !args.containers.is_empty()) {
            return Ok(0);
        }
        earlier = now;
    }
}

type Samples = BTreeMap<String, Sample>;

fn samples(engine: &Engine, args: &Args) -> Result<(Vec<Container>, Samples)> {
    let containers = match args.containers.is_empty() {
        true => list::list(engine, args.all)?.containers,
        false => args.containers.iter().map(|name| find::find(engine, name)).collect::<Result<_>>()?,
    };
    let mut samples = Samples::new();
    for container in &containers {
        samples.extend(stats::sample(container)?.map(|sample| (container.record.id.clone(), sample)));
    }
    Ok((containers, samples))
}

/// One a container, and of several their sum.
fn rows(
    containers: &[Container],
    earlier: &Samples,
    now: &Samples,
    whole_ids: bool,
    with_sum: bool,
) -> Vec<Vec<String>> {
    let machine = stats::machine_memory();
    let mut sum = Usage::default();
    let mut rows = Vec::new();
    for container in containers {
        let record = &container.record;
        let id = if whole_ids { &record.id[..] } else { &record.id[..12] };
        let usage = now.get(&record.id).map(|sample| Usage::between(earlier.get(&record.id), sample, machine));
        rows.push(match &usage {
            Some(usage) => row(id, &record.name, usage),
            // Not running: nothing is used.
            None => row(id, &record.name, &Usage { limit: machine, ..Usage::default() }),
        });
        sum.add(&usage.unwrap_or_default());
    }
    // A program wants containers, and adds up for itself.
    if containers.len() > 1 && with_sum {
        rows.push(row("", "(all)", &Usage { limit: machine, ..sum }));
    }
    rows
}

/// What one line shows.
#[derive(Default)]
struct Usage {
    cpu: f64,
    memory: u64,
    limit: u64,
    network: (u64, u64),
    block: (u64, u64),
    pids: u64,
}

impl Usage {
    fn between(earlier: Option<&Sample>, now: &Sample, machine: u64) -> Self {
        Self {
            cpu: earlier.map_or(0.0, |earlier| now.cpu_since(earlier)),
            memory: now.memory_used(),
            limit: now.stats.memory_limit_bytes.min(machine),
            network: now.network.unwrap_or_default(),
            block: (now.stats.block_read_bytes, now.stats.block_write_bytes),
            pids: now.stats.pids,
        }
    }

    fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.network = (self.network.0 + other.network.0, self.network.1 + other.network.1);
        self.block = (self.block.0 + other.block.0, self.block.1 + other.block.1);
        self.pids += other.pids;
    }
}

fn row(id: &str, name: &str, usage: &Usage) -> Vec<String> {
    let pair = |(a, b): (u64, u64)| format!("{} / {}", size::human(a), size::human(b));
    let share = if usage.limit == 0 { 0.0 } else { usage.memory as f64 / usage.limit as f64 };
    vec![
        id.to_owned(),
        name.to_owned(),
        format!("{:.2}%", usage.cpu * 100.0),
        format!("{} / {}", size::human_binary(usage.memory), size::human_binary(usage.limit)),
        format!("{:.2}%", share * 100.0),
        pair(usage.network),
        pair(usage.block),
        usage.pids.to_string(),
        id.to_owned(),
    ]
}
