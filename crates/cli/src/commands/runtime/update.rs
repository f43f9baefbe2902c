//! `tare runtime update`.

use std::ffi::OsString;
use std::io::Read;

use engine::containers::options::parse;
use oci::runtime_spec::{BlockIo, Cpu, Memory, Pids, Resources};
use stdx::{Context, Error, Kind, Result};

use super::Globals;
use crate::error::Failure;

/// Larger documents are refused.
const MAX_BYTES: u64 = 1 << 20;

/// Update container resource constraints
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime update")]
struct Args {
    /// A file with the resources to set, as in the configuration; - for standard input
    #[arg(short, long, value_name = "FILE")]
    resources: Option<String>,
    /// Weight of block IO, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Run only when nothing else wants the CPU (1), or as usual (0)
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// CPU period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// CPU time in each period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// CPU time saved up for bursts, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_burst: Option<u64>,
    /// CPU shares (relative weight)
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// Period of the real-time limit, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<u64>,
    /// Real-time CPU time in each period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPUs to use
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit, as in 64m; -1 for none
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    memory: Option<String>,
    /// Memory reservation
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    memory_reservation: Option<String>,
    /// Limit of memory and swap together; -1 for none
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    memory_swap: Option<String>,
    /// Limit of processes and threads
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Refused: Intel RDT classes are as the configuration says
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Refused likewise
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    for (option, value) in [("--l3-cache-schema", &args.l3_cache_schema), ("--mem-bw-schema", &args.mem_bw_schema)] {
        if value.as_deref().is_some_and(|value| !value.is_empty()) {
            let message = format!("option \"{option}\" is not supported: a class of service does not change");
            return Err(Error::unsupported(message).into());
        }
    }
    let resources = match &args.resources {
        Some(path) => read(path)?,
        None => of_options(&args)?,
    };
    let warnings = globals.container(&args.id)?.update(&resources)?;
    globals.warn(&warnings);
    Ok(0)
}

fn read(path: &str) -> Result<Resources> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin().take(MAX_BYTES).read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)),
    };
    read.context(|| format!("cannot read resources from \"{path}\""))?;
    let parsed = serde_json::from_slice(&bytes).context(|| format!("cannot parse resources from \"{path}\""));
    parsed.map_err(|error| error.kinded(Kind::Invalid))
}

fn of_options(args: &Args) -> Result<Resources> {
    let size = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| parse::bytes_or_unlimited(option, text)).transpose()
    };
    Ok(Resources {
        cpu: Some(Cpu {
            shares: args.cpu_share,
            quota: args.cpu_quota,
            period: args.cpu_period,
            burst: args.cpu_burst,
            realtime_runtime: args.cpu_rt_runtime,
            realtime_period: args.cpu_rt_period,
            cpus: args.cpuset_cpus.clone(),
            mems: args.cpuset_mems.clone(),
            idle: args.cpu_idle,
        }),
        memory: Some(Memory {
            limit: size("memory", &args.memory)?,
            reservation: size("memory-reservation", &args.memory_reservation)?,
            swap: size("memory-swap", &args.memory_swap)?,
            ..Memory::default()
        }),
        block_io: args.blkio_weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        pids: args.pids_limit.map(|limit| Pids { limit: Some(limit) }),
        ..Resources::default()
    })
}
