//! The validation programs of the specification's own runtime-tools: each makes bundles, runs them through the runtime,
//! and looks from inside or outside whether the container is what its configuration says.
//!
//! Built with Debian's Go from Debian's sources. Debian lacks one library they use, which prints their results:
//! `runtime_tools/tap.go` is ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stdx::{Context, Error, Result};

use super::column::Column;
use super::report::{Outcome, Verdict};
use super::{Deadline, Lane, Part, confine, sources, tap};
use crate::command;

pub(super) const PART: Part = Part {
    name: "runtime-tools",
    packages: &[
        "golang-go",
        "golang-github-blang-semver-dev",
        "golang-github-google-uuid-dev",
        "golang-github-hashicorp-go-multierror-dev",
        "golang-github-mrunalp-fileutils-dev",
        "golang-github-opencontainers-selinux-dev",
        "golang-github-opencontainers-specs-dev",
        "golang-github-sirupsen-logrus-dev",
        "golang-github-urfave-cli-dev",
        "golang-github-xeipuuv-gojsonschema-dev",
        "golang-gocapability-dev",
        "golang-golang-x-sys-dev",
    ],
    run,
};

const PACKAGE: &str = "golang-github-opencontainers-runtime-tools";
const IMPORT_PATH: &str = "src/github.com/opencontainers/runtime-tools";
const TAP: &str = include_str!("runtime_tools/tap.go");
const PROGRAM_LIMIT: Duration = Duration::from_secs(120);
const SUITE_LIMIT: Duration = Duration::from_secs(20 * 60);

fn run(lane: &Lane, column: &Column) -> Result<Vec<Outcome>> {
    let tree = build(lane)?;
    let deadline = Deadline::after(SUITE_LIMIT);
    let mut programs: Vec<String> = names(&tree.join("programs"))?;
    programs.retain(|program| lane.wants(program));
    let run = |program: String| {
        let mut command = Command::new(tree.join("programs").join(&program));
        command.env("RUNTIME", &column.program).current_dir(&tree);
        let said = confine::run(&command, deadline.grants(PROGRAM_LIMIT))?;
        Ok(Outcome { test: program, verdict: verdict(&said) })
    };
    programs.into_iter().map(run).collect()
}

/// A program is clean if it ends well, keeps to its plan (what runs inside prints more), and complains of nothing: every test that it prints has passed,
/// or it prints none (a plan of 0 or none at all) and no error.
fn verdict(said: &confine::Said) -> Verdict {
    let tests = tap::parse(&said.text);
    let failed: Vec<String> = tests.iter().filter_map(failure).collect();
    if said.timed_out {
        return Verdict::Fail(format!("was killed at its limit of time, after {} tests", tests.len()));
    }
    if !failed.is_empty() {
        return Verdict::Fail(format!("{} of {} tests: {}", failed.len(), tests.len(), failed.join("; ")));
    }
    if said.code != Some(0) {
        let last: Vec<&str> = said.text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = last[last.len().saturating_sub(3)..].join(" / ");
        return Verdict::Fail(format!("exit code {:?} after {} tests: {last}", said.code, tests.len()));
    }
    match (tap::plan(&said.text), complaint(&said.text)) {
        (None, Some(error)) | (Some(0), Some(error)) => Verdict::Fail(error.to_owned()),
        (Some(plan), _) if plan > tests.len() => {
            Verdict::Fail(format!("{} of {plan} planned tests were run", tests.len()))
        }
        _ => match tests.iter().find(|test| !matches!(test.verdict, Verdict::Skip(_))) {
            None if !tests.is_empty() => tests[0].verdict.clone(),
            _ => Verdict::Pass,
        },
    }
}

/// The error that a program without tests has printed.
fn complaint(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim().strip_prefix("\"error\": "))
}

fn failure(outcome: &Outcome) -> Option<String> {
    match &outcome.verdict {
        Verdict::Fail(said) => Some(format!("{} ({said})", outcome.test)),
        _ => None,
    }
}

/// The built tree: `runtimetest`, which the programs put into their bundles, and `programs/`.
fn build(lane: &Lane) -> Result<PathBuf> {
    let path = lane.dir.join("runtime-tools");
    let tree = path.join(IMPORT_PATH);
    if tree.join("programs").exists() {
        return Ok(tree);
    }
    let sources = sources::fetch(&lane.dir, PACKAGE)?;
    lane.fresh("runtime-tools")?;
    let library = path.join("src/github.com/mndrix/tap-go");
    let what = || format!("cannot make {path:?}");
    fs::create_dir_all(&library).context(what)?;
    fs::write(library.join("tap.go"), TAP).context(what)?;
    fs::create_dir_all(tree.parent().expect("it has a parent")).context(what)?;
    command::run(Command::new("cp").arg("-r").arg(sources).arg(&tree))?;
    println!("building the validation programs");
    // Inside containers there are no libraries.
    let inside = ["-tags", "netgo osusergo", "-o", "runtimetest", "./cmd/runtimetest"];
    command::run(go(&path, &tree).env("CGO_ENABLED", "0").args(inside))?;
    fs::create_dir(tree.join("unfinished")).context(what)?;
    command::run(go(&path, &tree).args(["-o", "unfinished/", "./validation/..."]))?;
    fs::rename(tree.join("unfinished"), tree.join("programs")).context(what)?;
    Ok(tree)
}

fn go(path: &Path, tree: &Path) -> Command {
    let mut go = Command::new("go");
    go.arg("build").current_dir(tree).env("GO111MODULE", "off").env("GOFLAGS", "");
    go.env("GOPATH", format!("{}:/usr/share/gocode", path.display())).env("GOCACHE", path.join("cache"));
    go
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).context(|| format!("cannot list {dir:?}"))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    if names.is_empty() { Err(Error::not_found(format!("no programs in {dir:?}"))) } else { Ok(names) }
}
