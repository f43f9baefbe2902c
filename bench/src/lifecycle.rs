//! OCI runtimes beside each other: the two ways in which engines use them. `run` is one call; `create`, `start` and
//! `delete` are what containerd and dockerd do.

use std::process::Command;

use stdx::Result;

use crate::runtimes::bundle;
use crate::sample::{self, Contender, interleave};
use crate::scratch::Scratch;
use crate::{PAUSE, budget};

/// A runtime: its name in the tables, and the words that start it.
#[derive(Debug)]
pub struct Runtime {
    /// A name of the budgets.
    pub name: &'static str,
    /// The program, and what stands before its options.
    pub prefix: Vec<String>,
}

/// What is measured, and with what.
#[derive(Debug)]
pub struct Inputs {
    /// tare first.
    pub runtimes: Vec<Runtime>,
    /// The root file system tar that every contender runs.
    pub busybox: std::path::PathBuf,
    /// A directory for bundles, on an ordinary disk.
    pub scratch: std::path::PathBuf,
}

const ROUNDS: usize = 40;
const ID: &str = "bench";

/// Measures both ways and prints the tables; whether every budget that could be checked is kept.
pub fn run(inputs: &Inputs) -> Result<bool> {
    let scratch = Scratch::new(&inputs.scratch)?;
    let rootfs = scratch.unpack(&inputs.busybox, "rootfs")?;
    let bundle = bundle(&rootfs.to_string_lossy(), &scratch)?;
    let root = scratch.run.join("oci").display().to_string();
    let ways: [(&'static str, &[&[&str]]); 2] = [
        (budget::OCI_RUN, &[&["run", "--bundle", &bundle, ID]]),
        (budget::OCI_STEPS, &[&["create", "--bundle", &bundle, ID], &["start", ID], &["delete", "--force", ID]]),
    ];
    let works = |runtime: &&Runtime| {
        let tried = ways
            .iter()
            .try_for_each(|(_, steps)| commands(runtime, &root, steps).iter_mut().try_for_each(sample::quiet));
        tried.inspect_err(|error| eprintln!("without {}: {error}", runtime.name)).is_ok()
    };
    let working: Vec<&Runtime> = inputs.runtimes.iter().filter(works).collect();
    let mut figures = Vec::new();
    for (measurement, steps) in ways {
        eprintln!("{ROUNDS} rounds of {} runtimes: {measurement}", working.len());
        let contenders: Vec<Contender<'_>> = working
            .iter()
            .map(|runtime| Contender::of_steps(runtime.name, || commands(runtime, &root, steps)))
            .collect();
        figures.extend(interleave(measurement, &contenders, ROUNDS, PAUSE)?);
    }
    sample::print_table(&figures);
    Ok(budget::print_verdicts(&figures))
}

fn commands(runtime: &Runtime, root: &str, steps: &[&[&str]]) -> Vec<Command> {
    let command = |step: &&[&str]| {
        let mut command = Command::new(&runtime.prefix[0]);
        command.args(&runtime.prefix[1..]).args(["--root", root]).args(*step);
        command
    };
    steps.iter().map(command).collect()
}
