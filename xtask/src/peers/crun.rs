//! crun's Python tests, each file by itself, with crun's own `init` as the only program in their containers.
//!
//! They use words that only crun has (`--cgroup-manager`, `--config` for the bundle's own file): `crun/runtime.sh` stands
//! between them and every column alike.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stdx::{Context, Result};

use super::column::Column;
use super::report::{Outcome, Verdict};
use super::{Deadline, Lane, Part, confine, sources, tap};
use crate::command;

pub(super) const PART: Part =
    Part { name: "crun", packages: &["gcc", "libc6-dev", "libseccomp-dev", "libcap-dev", "python3"], run };

const RUNTIME: &str = include_str!("crun/runtime.sh");
const LIBMOUNT: &str = include_str!("crun/libmount.py");
const FILE_LIMIT: Duration = Duration::from_secs(60);
const SUITE_LIMIT: Duration = Duration::from_secs(20 * 60);

fn run(lane: &Lane, column: &Column) -> Result<Vec<Outcome>> {
    let tree = sources::fetch(&lane.dir, "crun")?;
    let init = build_init(&tree)?;
    let deadline = Deadline::after(SUITE_LIMIT);
    let mut outcomes = Vec::new();
    for file in files(&tree.join("tests"))? {
        let scratch = scratch(lane, &tree)?;
        let mut command = Command::new("/usr/bin/python3");
        command.arg(tree.join("tests").join(&file)).current_dir(&scratch).env("PYTHONUNBUFFERED", "1");
        command.env("PYTHONPATH", &scratch).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("OCI_RUNTIME", scratch.join("runtime")).env("INIT", &init).env("PROGRAM", &column.program);
        let said = confine::run(&command, deadline.grants(FILE_LIMIT))?;
        thaw();
        outcomes.extend(of_file(&file, &said).into_iter().filter(|outcome| lane.wants(&outcome.test)));
    }
    Ok(outcomes)
}

/// Where a file's tests are run. Some name their program by a path from here.
fn scratch(lane: &Lane, tree: &Path) -> Result<PathBuf> {
    let dir = lane.fresh("crun")?;
    let runtime = dir.join("runtime");
    let what = || format!("cannot fill {dir:?}");
    fs::write(&runtime, RUNTIME).context(what)?;
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).context(what)?;
    fs::write(dir.join("libmount.py"), LIBMOUNT).context(what)?;
    symlink(tree.join("tests"), dir.join("tests")).context(what)?;
    Ok(dir)
}

/// A test freezes its container by a control group of this name. When it fails, not even SIGKILL ends what is in there.
fn thaw() {
    // Without the group there is nothing to do.
    let _ = fs::write("/sys/fs/cgroup/freezer/frozen/freezer.state", "THAWED");
}

/// The tests of one file under the file's name; a file that stops early is a failed test of its own.
fn of_file(file: &str, said: &confine::Said) -> Vec<Outcome> {
    let named = |outcome: Outcome| Outcome { test: format!("{file}: {}", outcome.test), ..outcome };
    let mut outcomes: Vec<Outcome> = tap::parse(&said.text).into_iter().map(named).collect();
    if tap::plan(&said.text) != Some(outcomes.len()) {
        let end = if said.timed_out { "at its limit of time".into() } else { format!("{:?}", said.code) };
        let last = said.text.lines().last().unwrap_or_default();
        let verdict = Verdict::Fail(format!("ended early ({end}): {last}"));
        outcomes.push(Outcome { test: format!("{file}: all of it"), verdict });
    }
    outcomes
}

/// The program in the containers. Its `config.h` is what `configure` would find here, as far as this file asks.
fn build_init(tree: &Path) -> Result<PathBuf> {
    let tests = tree.join("tests");
    let init = tests.join("init");
    if init.exists() {
        return Ok(init);
    }
    let config = tests.join("config.h");
    let text = "#define HAVE_ERROR_H 1\n#define HAVE_SECCOMP 1\n";
    fs::write(&config, text).context(|| format!("cannot write {config:?}"))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-w", "-I"]).arg(&tests).arg("-o").arg(&init).arg(tests.join("init.c")).arg("-lseccomp");
    command::run(&mut compiler)?;
    Ok(init)
}

fn files(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).context(|| format!("cannot list {dir:?}"))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> = names.filter(|name| name.starts_with("test_") && name.ends_with(".py")).collect();
    files.sort();
    Ok(files)
}
