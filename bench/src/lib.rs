//! The budgets: what a container may cost, measured beside what it cannot cost less than (`floor.c`) and beside the
//! other engines of this machine. `cargo xtask bench` prints the tables.
//!
//! Absolute times depend on the machine and on what else it does, so contenders take turns, one sample each a round, and
//! a budget is a ratio of medians of one run. Engines and runtimes go on cleaning up in the kernel after they return, and
//! whoever comes next pays: so the floor has a run of its own with tare, and between engines there is a pause.

// A program for a terminal prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod budget;
pub mod build;
mod engines;
pub mod lifecycle;
pub mod many;
mod memory;
mod runtimes;
mod sample;
mod scratch;
pub mod transfer;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use engines::Engine;
use runtimes::Program;
use sample::{Contender, Figure, Unit, interleave};
use scratch::Scratch;
use stdx::Result;

/// What is measured, and with what.
#[derive(Debug)]
pub struct Inputs {
    /// The release binary.
    pub tare: PathBuf,
    /// The compiled floor program.
    pub floor: PathBuf,
    /// The root file system tar that every contender runs.
    pub busybox: PathBuf,
    /// A directory for data roots, on an ordinary disk.
    pub scratch: PathBuf,
}

const IMAGE: &str = "localhost/bench";
const RUN: [&str; 5] = ["run", "--rm", "--network=none", IMAGE, "true"];
const DETACHED: [&str; 6] = ["run", "-d", "--network=none", IMAGE, "sleep", "1000"];
/// Between samples beside others, for the kernel to finish what the one before left it.
const PAUSE: Duration = Duration::from_millis(250);
const ROUNDS_LEAN: usize = 60;
const ROUNDS_ENGINES: usize = 20;
const DETACHED_EACH: usize = 20;
const STORM: usize = 100;
const STORM_WIDTH: usize = 4;

/// Measures everything and prints the tables; whether every budget that could be checked is kept.
pub fn run(inputs: &Inputs) -> Result<bool> {
    let scratch = Scratch::new(&inputs.scratch)?;
    let rootfs = scratch.unpack(&inputs.busybox, "rootfs")?;
    let engines = engines::installed(&inputs.tare, &inputs.busybox, &scratch)?;
    let programs = runtimes::installed(&inputs.tare, &inputs.floor, &rootfs, &scratch)?;
    let mut figures = beside_floor(&engines[0], &programs[0])?;
    figures.extend(beside_runtimes(&engines[0], &programs)?);
    figures.extend(beside_engines(&engines)?);
    figures.extend(detached(&engines)?);
    figures.extend(storm(&engines)?);
    sample::print_table(&figures);
    Ok(budget::print_verdicts(&figures))
}

fn beside_floor(tare: &Engine, floor: &Program) -> Result<Vec<Figure>> {
    eprintln!("{ROUNDS_LEAN} rounds beside the floor");
    let floor = Contender::new(&floor.name, || floor.command());
    let tare = Contender::new(&tare.name, || tare.command(RUN));
    interleave(budget::RUN_LEAN, &[floor, tare], ROUNDS_LEAN, Duration::ZERO)
}

/// OCI runtimes get a root file system that is there already, make no layers and keep no record: less than an engine does.
fn beside_runtimes(tare: &Engine, programs: &[Program]) -> Result<Vec<Figure>> {
    eprintln!("{ROUNDS_ENGINES} rounds beside the floor and {} runtimes", programs.len() - 1);
    let mut contenders: Vec<Contender> =
        programs.iter().map(|program| Contender::new(&program.name, || program.command())).collect();
    contenders.push(Contender::new(&tare.name, || tare.command(RUN)));
    interleave(budget::RUN_RUNTIMES, &contenders, ROUNDS_ENGINES, PAUSE)
}

fn beside_engines(engines: &[Engine]) -> Result<Vec<Figure>> {
    eprintln!("{ROUNDS_ENGINES} rounds of {} engines", engines.len());
    let contenders: Vec<Contender> =
        engines.iter().map(|engine| Contender::new(&engine.name, || engine.command(RUN))).collect();
    interleave(budget::RUN_ENGINES, &contenders, ROUNDS_ENGINES, PAUSE)
}

/// Starts containers that stay, looks at what watches over them, and removes them.
fn detached(engines: &[Engine]) -> Result<Vec<Figure>> {
    eprintln!("{DETACHED_EACH} detached containers each");
    let contenders: Vec<Contender> =
        engines.iter().map(|engine| Contender::new(&engine.name, || engine.command(DETACHED))).collect();
    let mut figures = interleave(budget::DETACHED, &contenders, DETACHED_EACH, PAUSE)?;
    for engine in engines {
        let containers = engine.container_pids()?;
        let monitors = memory::monitors_kib(&containers)?;
        figures.push(Figure::new(budget::MONITOR, &engine.name, Unit::Kibibytes, monitors));
        engine.remove_all()?;
    }
    Ok(figures)
}

/// Many short containers, a few at a time: the time of the whole storm.
fn storm(engines: &[Engine]) -> Result<Vec<Figure>> {
    eprintln!("{STORM} detached containers, {STORM_WIDTH} at a time");
    let mut figures = Vec::new();
    for engine in engines {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..STORM_WIDTH).map(|_| scope.spawn(|| start_some(engine))).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })?;
        let seconds = started.elapsed().as_secs_f64();
        figures.push(Figure::new(budget::STORM, &engine.name, Unit::PerSecond, vec![STORM as f64 / seconds]));
        engine.remove_all()?;
    }
    Ok(figures)
}

fn start_some(engine: &Engine) -> Result<()> {
    (0..STORM / STORM_WIDTH)
        .try_for_each(|_| sample::quiet(&mut engine.command(["run", "-d", "--network=none", IMAGE, "true"])))
}

/// Compiles the floor program to `output`.
pub fn compile_floor(output: &std::path::Path) -> Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/floor.c");
    sample::quiet(Command::new("cc").args(["-O2", "-static", "-Wall", "-Wextra", "-o"]).arg(output).arg(source))
}
