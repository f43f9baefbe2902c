//! `cargo xtask bench`: the budgets, beside whatever other engines this machine has.

mod runtimes;

use std::path::Path;

use stdx::{Context, Error, Kind, Result};

use crate::build::{self, Profile};
use crate::{command, debian, fixtures};

/// Prints the tables. With `--check`, a budget that is not kept is an error.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let check = arguments.iter().any(|argument| argument == "--check");
    let kept = match arguments.iter().find(|argument| !argument.starts_with('-')).map(String::as_str) {
        None => everything()?,
        Some("pull") => pull(arguments)?,
        Some("runtime") => runtimes::run(arguments)?,
        Some("many") => many()?,
        Some("build") => builds()?,
        Some(other) => {
            let known = "many, pull, runtime, build, or none";
            return Err(Error::invalid(format!("there is no benchmark {other:?}")).hint(known));
        }
    };
    if kept || !check { Ok(()) } else { Err(Error::new(Kind::Internal, "a budget is not kept")) }
}

fn everything() -> Result<bool> {
    debian::install(&["gcc", "libc6-dev", "linux-libc-dev"])?;
    let scratch = build::target_dir().join("bench");
    std::fs::create_dir_all(&scratch).context(|| format!("cannot make {scratch:?}"))?;
    let floor = floor(&scratch)?;
    let inputs = bench::Inputs { tare: build::tare(Profile::Release)?, floor, busybox: fixtures::busybox()?, scratch };
    bench::run(&inputs)
}

fn many() -> Result<bool> {
    let scratch = build::target_dir().join("bench");
    std::fs::create_dir_all(&scratch).context(|| format!("cannot make {scratch:?}"))?;
    let inputs = bench::many::Inputs { tare: build::tare(Profile::Release)?, busybox: fixtures::busybox()?, scratch };
    bench::many::run(&inputs)
}

fn builds() -> Result<bool> {
    let scratch = build::target_dir().join("bench");
    std::fs::create_dir_all(&scratch).context(|| format!("cannot make {scratch:?}"))?;
    let inputs = bench::build::Inputs { tare: build::tare(Profile::Release)?, busybox: fixtures::busybox()?, scratch };
    bench::build::run(&inputs)
}

/// In a network namespace of its own, which this program enters by starting itself again.
fn pull(arguments: &[String]) -> Result<bool> {
    const INSIDE: &str = "TARE_BENCH_INSIDE";
    debian::install(&["iproute2", "util-linux"])?;
    let scratch = build::target_dir().join("bench");
    std::fs::create_dir_all(&scratch).context(|| format!("cannot make {scratch:?}"))?;
    let inputs = bench::transfer::Inputs {
        tare: build::tare(Profile::Release)?,
        registry: fixtures::registry()?,
        busybox: fixtures::busybox()?,
        debian: fixtures::debian()?,
        scratch,
    };
    if std::env::var_os(INSIDE).is_some() {
        return bench::transfer::run(&inputs);
    }
    let own = std::env::current_exe().context(|| "cannot find this program".to_owned())?;
    let mut inside = std::process::Command::new("unshare");
    inside.args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(own).arg("bench");
    command::run(inside.args(arguments).env(INSIDE, "1")).map(|()| true)
}

fn floor(dir: &Path) -> Result<std::path::PathBuf> {
    let floor = dir.join("floor");
    bench::compile_floor(&floor)?;
    Ok(floor)
}
