//! Many containers at once: started, listed, stopped and removed, and what stays in memory for each.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stdx::{Context, Error, Kind, Result};

use crate::memory;
use crate::scratch::Scratch;

/// What is measured, and with what.
#[derive(Debug)]
pub struct Inputs {
    /// The release binary.
    pub tare: PathBuf,
    /// The root file system tar of the containers.
    pub busybox: PathBuf,
    /// A directory for data roots, on an ordinary disk.
    pub scratch: PathBuf,
}

const CONTAINERS: usize = 500;
/// `ps` may take this long, with so many.
const PS_BUDGET: Duration = Duration::from_millis(50);
/// The parent of each may weigh this much.
const MONITOR_BUDGET_KIB: f64 = 250.0;
const PS_ROUNDS: usize = 20;

/// Measures and prints a table; whether the budgets are kept.
pub fn run(inputs: &Inputs) -> Result<bool> {
    let scratch = Scratch::new(&inputs.scratch)?;
    let engine = Engine { tare: inputs.tare.clone(), scratch: &scratch };
    engine.run(&["import", &inputs.busybox.to_string_lossy(), "busybox"])?;
    let measured = measure(&engine);
    // Whatever has failed: nothing goes on afterwards.
    let ids = engine.run(&["ps", "-aq"]).unwrap_or_default();
    if !ids.trim().is_empty() {
        engine.on_all("rm", &["-f"], &ids)?;
    }
    measured
}

struct Engine<'a> {
    tare: PathBuf,
    scratch: &'a Scratch,
}

impl Engine<'_> {
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.tare);
        command.arg("--root").arg(self.scratch.data.join("root")).arg("--run-root").arg(&self.scratch.run);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.context(|| format!("cannot run {:?}", self.tare))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::new(Kind::Internal, format!("tare {}: {said}", arguments.first().unwrap_or(&""))))
    }

    fn on_all(&self, verb: &str, options: &[&str], ids: &str) -> Result<String> {
        let words: Vec<&str> =
            [verb].into_iter().chain(options.iter().copied()).chain(ids.split_whitespace()).collect();
        self.run(&words)
    }
}

fn measure(engine: &Engine<'_>) -> Result<bool> {
    println!("{CONTAINERS} containers");
    let started = timed(|| {
        for _ in 0..CONTAINERS {
            engine.run(&["run", "-d", "--network=none", "busybox", "sleep", "100000"])?;
        }
        Ok(())
    })?;
    each("run -d", started);
    let mut ps = Vec::new();
    for _ in 0..PS_ROUNDS {
        ps.push(timed(|| engine.run(&["ps"]).map(drop))?);
    }
    ps.sort();
    let ps = ps[PS_ROUNDS / 2];
    println!("  ps, median of {PS_ROUNDS:<14} {:>9.1} ms  budget {} ms", millis(ps), PS_BUDGET.as_millis());
    let ids = engine.run(&["ps", "-q"])?;
    let pids = engine.on_all("inspect", &["-f", "{{.State.Pid}}"], &ids)?;
    let pids: Vec<u32> = pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    let monitors = memory::monitors_kib(&pids)?;
    let sum: f64 = monitors.iter().sum();
    let one = sum / monitors.len().max(1) as f64;
    println!(
        "  monitors, PSS of {:<11} {:>9.1} MiB  {one:.0} KiB each, budget {MONITOR_BUDGET_KIB} KiB",
        monitors.len(),
        sum / 1024.0
    );
    each("stop -t0", timed(|| engine.on_all("stop", &["-t0"], &ids).map(drop))?);
    each("rm", timed(|| engine.on_all("rm", &[], &ids).map(drop))?);
    let is_complete = monitors.len() == CONTAINERS;
    Ok(is_complete && ps <= PS_BUDGET && one <= MONITOR_BUDGET_KIB)
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begin = Instant::now();
    work().map(|()| begin.elapsed())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn each(what: &str, time: Duration) {
    println!("  {what:28} {:>9.1} s   {:.1} ms each", time.as_secs_f64(), millis(time) / CONTAINERS as f64);
}
