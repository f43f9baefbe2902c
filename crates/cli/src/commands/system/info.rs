//! `tare info`.

use std::ffi::OsString;

use engine::Engine;
use engine::system::info;
use serde_json::Value;
use stdx::{Context, size};

use crate::error::{Failure, printable};
use crate::format;
use crate::table::out;

/// Show this installation, and the machine it is on
#[derive(clap::Parser, Debug)]
#[command(name = "tare info")]
pub(crate) struct Args {
    /// Show what this Go template says, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let document = api::convert::info(&info::info(engine)?, env!("CARGO_PKG_VERSION"));
    let document = serde_json::to_value(document).context(|| "cannot write JSON".into())?;
    match &args.format {
        Some(format) => format::print_documents(format, &[document])?,
        None => out(&printable_lines(&document)),
    }
    Ok(0)
}

/// What people look for, in Docker's words.
fn printable_lines(info: &Value) -> String {
    let text = |name: &str| match &info[name] {
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    let lines = [
        ("Containers", text("Containers")),
        (" Running", text("ContainersRunning")),
        (" Paused", text("ContainersPaused")),
        (" Stopped", text("ContainersStopped")),
        ("Images", text("Images")),
        ("Server Version", text("ServerVersion")),
        ("Storage Driver", text("Driver")),
        ("Logging Driver", text("LoggingDriver")),
        ("Cgroup Driver", text("CgroupDriver")),
        ("Cgroup Version", text("CgroupVersion")),
        ("Default Runtime", text("DefaultRuntime")),
        ("Kernel Version", text("KernelVersion")),
        ("Operating System", text("OperatingSystem")),
        ("OSType", text("OSType")),
        ("Architecture", text("Architecture")),
        ("CPUs", text("NCPU")),
        ("Total Memory", size::human_binary(info["MemTotal"].as_u64().unwrap_or(0))),
        ("Name", text("Name")),
        ("Root Dir", text("DockerRootDir")),
    ];
    lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}
