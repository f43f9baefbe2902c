//! runc's own tests, each file by itself, from the newest sources that Debian has, with the runc that belongs to them: what
//! an older runc does not know yet would count against it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stdx::{Context, Result};

use super::column::Column;
use super::report::{Outcome, Verdict};
use super::{Deadline, Lane, Part, confine, sources, tap};
use crate::{command, fixtures};

pub(super) const PART: Part = Part {
    name: "bats",
    packages: &[
        "bats",
        "gawk",
        "jq",
        "patchelf",
        "gcc",
        "libc6-dev",
        "libseccomp-dev",
        "git",
        "iproute2",
        "procps",
        "bsdutils",
    ],
    run,
};

/// Debian's release that has the newest sources.
const NEWEST: &str = "sid";
/// The programs of package `runc` that need the C library they were built with.
const DYNAMIC: [&str; 5] = ["runc", "recvtty", "sd-helper", "pidfd-kill", "seccompagent"];
const STATIC: [&str; 2] = ["fs-idmap", "remap-rootfs"];
const FILE_LIMIT: Duration = Duration::from_secs(300);
const SUITE_LIMIT: Duration = Duration::from_secs(25 * 60);

/// A terminal for the tests, whose other end nobody closes.
const ON_A_TERMINAL: &str =
    "mkfifo /run/keys && exec script --quiet --return --command \"$TESTS\" /dev/null <>/run/keys";

fn run(lane: &Lane, column: &Column) -> Result<Vec<Outcome>> {
    let tree = sources::fetch_of(&lane.dir, "runc", NEWEST)?;
    let programs = programs(&lane.dir, &tree)?;
    let tests = tree.join("tests/integration");
    images(&tests.join("testdata"))?;
    let runtime = if column.name == "runc" { programs.join("runc") } else { column.program.clone() };
    let path = std::env::var("PATH").unwrap_or_default();
    let deadline = Deadline::after(SUITE_LIMIT);
    let mut outcomes = Vec::new();
    for file in files(&tests)? {
        let mut command = Command::new("sh");
        command.args(["-c", ON_A_TERMINAL]).current_dir(&tests).env("RUNC", &runtime);
        command.env("TESTS", format!("stty -opost cols 200; bats --tap --print-output-on-failure {file}"));
        command.env("PATH", format!("{}:{path}", programs.display()));
        let said = confine::run(&command, deadline.grants(FILE_LIMIT))?;
        outcomes.extend(of_file(&file, &said).into_iter().filter(|outcome| lane.wants(&outcome.test)));
    }
    Ok(outcomes)
}

/// The tests of one file under the file's name; those that its end left out have failed.
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

/// runc and the helpers of its tests, from Debian's package, with the libraries they were built for; and a `go` that knows
/// what the tests ask of it. Linked to where the tests look.
fn programs(dir: &Path, tree: &Path) -> Result<PathBuf> {
    let programs = dir.join("runc-programs");
    if programs.exists() {
        return Ok(programs);
    }
    let packages = sources::unpack(dir, "runc-packages", &["runc", "libc6", "libseccomp2"], NEWEST)?;
    let unfinished = dir.join("unfinished-runc-programs");
    let what = || format!("cannot make {unfinished:?}");
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished).context(what)?;
    let libraries = packages.join("usr/lib/x86_64-linux-gnu");
    for name in DYNAMIC.iter().chain(&STATIC) {
        fs::copy(packages.join("usr/sbin").join(name), unfinished.join(name)).context(what)?;
    }
    for name in DYNAMIC {
        let mut patch = Command::new("patchelf");
        patch.arg("--set-interpreter").arg(libraries.join("ld-linux-x86-64.so.2"));
        patch.arg("--set-rpath").arg(&libraries).arg(unfinished.join(name));
        command::run(&mut patch)?;
    }
    let go = unfinished.join("go");
    fs::write(&go, "#!/bin/sh\necho amd64\n").context(what)?;
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).context(what)?;
    let expected = tree.join("tests/cmd/_bin");
    let _ = fs::remove_file(&expected);
    symlink(&programs, &expected).context(|| format!("cannot make {expected:?}"))?;
    fs::rename(&unfinished, &programs).context(|| format!("cannot make {programs:?}"))?;
    Ok(programs)
}

/// The images of the tests are ours: `tar` looks at what is in them, not at their names.
fn images(dir: &Path) -> Result<()> {
    for (name, image) in [("busybox", fixtures::busybox()?), ("debian", fixtures::debian()?)] {
        let place = dir.join(format!("{name}-amd64.tar.xz"));
        if !place.exists() {
            fs::copy(&image, &place).context(|| format!("cannot make {place:?}"))?;
        }
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).context(|| format!("cannot list {dir:?}"))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> = names.filter(|name| name.ends_with(".bats")).collect();
    files.sort();
    Ok(files)
}
