//! `cargo xtask bench`: the budgets, beside whatever other engines this machine has.

use std::path::Path;

use stdx::{Context, Error, Kind, Result};

use crate::build::{self, Profile};
use crate::{debian, fixtures};

/// Prints the tables. With `--check`, a budget that is not kept is an error.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    debian::install(&["gcc", "libc6-dev", "linux-libc-dev"])?;
    let scratch = build::target_dir().join("bench");
    std::fs::create_dir_all(&scratch).context(|| format!("cannot make {scratch:?}"))?;
    let floor = floor(&scratch)?;
    let inputs = bench::Inputs { tare: build::tare(Profile::Release)?, floor, busybox: fixtures::busybox()?, scratch };
    let kept = bench::run(&inputs)?;
    if kept || !arguments.iter().any(|argument| argument == "--check") {
        return Ok(());
    }
    Err(Error::new(Kind::Internal, "a budget is not kept"))
}

fn floor(dir: &Path) -> Result<std::path::PathBuf> {
    let floor = dir.join("floor");
    bench::compile_floor(&floor)?;
    Ok(floor)
}
