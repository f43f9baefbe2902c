//! `cargo xtask test`: every test of the workspace, unit and end-to-end, on the kernel of this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use stdx::{Error, Kind, Result};

use crate::build::{self, Profile};
use crate::{command, debian, fixtures};

/// Builds the binary and the images, then runs all tests; `filters` go to the test runner.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    let tare = build::tare(Profile::Dev)?;
    let fixtures = fixtures::all()?;
    fixtures::registry()?;
    // Python reads our archives and answers for system calls in tests; iproute2 makes network devices, nft shows rules; `ps` is procps.
    debian::install(&["python3", "iproute2", "nftables", "procps"])?;
    let before = container_cgroups();
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
    let left: Vec<String> = container_cgroups().difference(&before).map(|dir| dir.display().to_string()).collect();
    if result.is_ok() && !left.is_empty() {
        return Err(Error::new(Kind::Internal, format!("control groups are left: {}", left.join(" "))));
    }
    result
}

/// The control group of every container on this machine. Each test looks after the containers that it knows of; this
/// also finds those that nobody knows of any more.
fn container_cgroups() -> BTreeSet<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = table.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let parents = hierarchies.map(|hierarchy| Path::new(hierarchy).join("tare"));
    let groups = parents.filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten().map(|entry| entry.path());
    groups.filter(|path| path.is_dir()).collect()
}

fn has_nextest() -> bool {
    let version = Command::new("cargo-nextest").args(["nextest", "--version"]).stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}
