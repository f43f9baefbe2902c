//! `cargo xtask test`: every test of the workspace, unit and end-to-end, on the kernel of this machine.

use std::process::{Command, Stdio};
use std::time::Instant;

use stdx::Result;

use crate::build::{self, Profile};
use crate::{command, fixtures};

/// Builds the binary and the images, then runs all tests; `filters` go to the test runner.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    let tare = build::tare(Profile::Dev)?;
    let fixtures = fixtures::all()?;
    let started = Instant::now();
    let mut runner = build::cargo();
    let nextest = has_nextest();
    runner.args(if nextest { &["nextest", "run", "--no-fail-fast"][..] } else { &["test", "--no-fail-fast"] });
    runner.arg("--workspace").args(filters);
    // Tests that need root are ignored by name without this feature: a run without root says so in its last line.
    if rustix::process::geteuid().is_root() {
        runner.args(["--features", "e2e/root"]);
    }
    runner.env("TARE_BIN", tare);
    runner.env("TARE_FIXTURES", fixtures[0].parent().expect("a fixture lies in a directory"));
    let result = command::run(&mut runner);
    println!("tests took {} s", started.elapsed().as_secs());
    result
}

fn has_nextest() -> bool {
    let version = Command::new("cargo-nextest").args(["nextest", "--version"]).stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}
