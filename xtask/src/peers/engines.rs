//! podman, dockerd and containerd, each with the program as its runtime: they run, execute in, pause, change, kill and remove
//! containers. The steps are `engines/life.sh`; the engines keep everything below the scratch directory and a private
//! `/run`, in a network of their own.

use std::process::Command;
use std::time::Duration;

use stdx::Result;

use super::column::Column;
use super::report::{Outcome, Verdict};
use super::{Deadline, Lane, Part, confine, tap};
use crate::fixtures;

pub(super) const PART: Part = Part {
    name: "engines",
    packages: &["podman", "docker.io", "containerd", "conmon", "netavark", "iproute2", "bsdutils"],
    run,
};

const LIFE: &str = include_str!("engines/life.sh");
/// A network with nothing but itself. `ip netns exec` would hide the control groups.
const ALONE: &str = "ip link set lo up && exec bash -c \"$LIFE\" life \"$@\"";
const ENGINES: [&str; 3] = ["podman", "docker", "containerd"];
const ENGINE_LIMIT: Duration = Duration::from_secs(300);

fn run(lane: &Lane, column: &Column) -> Result<Vec<Outcome>> {
    let image = fixtures::busybox()?;
    let deadline = Deadline::after(ENGINE_LIMIT * ENGINES.len() as u32);
    let mut outcomes = Vec::new();
    for engine in ENGINES {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", ALONE, "alone", engine]).arg(&column.program).arg(&image);
        command.env("LIFE", LIFE).current_dir(lane.fresh(&format!("engine-{engine}"))?);
        let said = confine::run(&command, deadline.grants(ENGINE_LIMIT))?;
        outcomes.extend(of_engine(engine, &said).into_iter().filter(|outcome| lane.wants(&outcome.test)));
    }
    Ok(outcomes)
}

/// The steps under the engine's name.
fn of_engine(engine: &str, said: &confine::Said) -> Vec<Outcome> {
    let named = |outcome: Outcome| Outcome { test: format!("{engine}: {}", outcome.test), ..outcome };
    let mut outcomes: Vec<Outcome> = tap::parse(&said.text).into_iter().map(named).collect();
    if tap::plan(&said.text) != Some(outcomes.len()) {
        let verdict = Verdict::Fail(said.text.lines().last().unwrap_or_default().to_owned());
        outcomes.push(Outcome { test: format!("{engine}: all of it"), verdict });
    }
    outcomes
}
