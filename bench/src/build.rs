//! A build of twelve steps, made anew and taken from the cache: `cargo xtask bench build`.

use std::path::{Path, PathBuf};

use stdx::{Context, Result};

use crate::engines::Engine;
use crate::sample::{self, Contender, interleave};
use crate::scratch::Scratch;
use crate::{IMAGE, PAUSE, budget, engines};

/// Files that are copied, one a step.
const FILES: usize = 6;
/// Bytes of each.
const SIZE: usize = 100_000;
const ROUNDS_COLD: usize = 5;
const ROUNDS_CACHED: usize = 20;

/// What is measured, and with what.
#[derive(Debug)]
pub struct Inputs {
    /// The release binary.
    pub tare: PathBuf,
    /// The root file system tar that is built upon.
    pub busybox: PathBuf,
    /// A directory for data roots, on an ordinary disk.
    pub scratch: PathBuf,
}

/// Measures and prints the tables; whether every budget that could be checked is kept.
pub fn run(inputs: &Inputs) -> Result<bool> {
    let scratch = Scratch::new(&inputs.scratch)?;
    let engines = engines::installed(&inputs.tare, &inputs.busybox, &scratch)?;
    let context = context(&inputs.scratch.join("build-context"))?;
    let cold = contenders(&engines, &context, &["--no-cache"]);
    let mut figures = interleave(budget::BUILD_COLD, &cold, ROUNDS_COLD, PAUSE)?;
    let cached = contenders(&engines, &context, &[]);
    figures.extend(interleave(budget::BUILD_CACHED, &cached, ROUNDS_CACHED, PAUSE)?);
    sample::print_table(&figures);
    Ok(budget::print_verdicts(&figures))
}

fn contenders<'a>(engines: &'a [Engine], context: &'a str, further: &'a [&'a str]) -> Vec<Contender<'a>> {
    engines.iter().map(|engine| Contender::new(&engine.name, move || build(engine, further, context))).collect()
}

fn build(engine: &Engine, further: &[&str], context: &str) -> std::process::Command {
    let mut arguments = vec!["build", "-q", "--network=none", "-t", "built"];
    if engine.name == budget::PODMAN {
        arguments.push("--layers");
    }
    arguments.extend(further);
    arguments.push(context);
    let mut command = engine.command(arguments);
    // The client has no BuildKit of its own.
    command.env("DOCKER_BUILDKIT", "0");
    command
}

/// Copies and programs by turns.
fn context(dir: &Path) -> Result<String> {
    let message = || format!("cannot make {dir:?}");
    std::fs::create_dir_all(dir).context(message)?;
    let mut dockerfile = format!("FROM {IMAGE}\n");
    for number in 0..FILES {
        dockerfile.push_str(&format!("COPY f{number} /f{number}\nRUN echo {number} > /r{number}\n"));
        let bytes: Vec<u8> = (0..SIZE).map(|at| (at * 31 + number) as u8).collect();
        std::fs::write(dir.join(format!("f{number}")), bytes).context(message)?;
    }
    std::fs::write(dir.join("Dockerfile"), dockerfile).context(message)?;
    Ok(dir.display().to_string())
}
