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
const TRIALS: usize = 5;
/// Seconds for one command of a trial.
const TRIAL_LIMIT: &str = "10";

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
    let mut figures = Vec::new();
    for (measurement, steps) in ways {
        let working: Vec<&Runtime> =
            inputs.runtimes.iter().filter(|runtime| works(runtime, measurement, &root, steps)).collect();
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

/// Some fail, and some hang now and then: who does not get through a few rounds in time is left out, in words.
fn works(runtime: &Runtime, measurement: &str, root: &str, steps: &[&[&str]]) -> bool {
    let limited = |command: &Command| {
        let mut limited = Command::new("timeout");
        limited.args(["--signal=KILL", TRIAL_LIMIT]).arg(command.get_program()).args(command.get_args());
        sample::quiet(&mut limited)
    };
    let round = |_| commands(runtime, root, steps).iter().try_for_each(limited);
    let tried = (0..TRIALS).try_for_each(round);
    if let Err(error) = &tried {
        eprintln!("{measurement}: without {}: {error}", runtime.name);
        // What the trial has left, if anything.
        commands(runtime, root, &[&["delete", "--force", ID]]).iter().for_each(|command| drop(limited(command)));
    }
    tried.is_ok()
}

fn commands(runtime: &Runtime, root: &str, steps: &[&[&str]]) -> Vec<Command> {
    // Their states have nothing in common.
    let root = format!("{root}/{}", runtime.name.replace(' ', "-"));
    let command = |step: &&[&str]| {
        let mut command = Command::new(&runtime.prefix[0]);
        command.args(&runtime.prefix[1..]).args(["--root", &root]).args(*step);
        command
    };
    steps.iter().map(command).collect()
}
