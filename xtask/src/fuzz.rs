//! `cargo xtask fuzz [TARGET] [--seconds=N]`: the parsers of strangers' bytes, fed with what no stranger has thought of yet.
//!
//! The targets are programs with libFuzzer in them, in a workspace of their own. The compiler's flags for coverage are
//! those of a stable toolchain, so nothing but a C++ compiler is needed. What they learn stays in `target/fuzz/corpus`
//! and is where the next run starts; an input that breaks something is named and kept in `target/fuzz/artifacts`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use stdx::{Context, Error, Kind, Result};

use crate::{build, command, debian};

const SECONDS: u32 = 20;
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs every target, or the one that is named, as many at a time as there are processors.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut seconds = SECONDS;
    let mut wanted = None;
    for argument in arguments {
        match argument.strip_prefix("--seconds=").map(str::parse) {
            Some(Ok(number)) => seconds = number,
            None if !argument.starts_with('-') => wanted = Some(argument.as_str()),
            _ => return Err(Error::invalid(format!("unknown option {argument:?}"))),
        }
    }
    let targets: Vec<String> =
        targets()?.into_iter().filter(|name| wanted.is_none_or(|wanted| name == wanted)).collect();
    if targets.is_empty() {
        return Err(Error::not_found(format!("there is no fuzz target {:?}", wanted.unwrap_or_default())));
    }
    debian::install(&["g++"])?;
    let binaries = build_targets()?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut failed = Vec::new();
    for group in targets.chunks(processors) {
        let started: Vec<_> =
            group.iter().map(|name| Ok((name, start(&binaries, name, seconds)?))).collect::<Result<_>>()?;
        for (name, (child, log)) in started {
            if !finish(name, child, &log)? {
                failed.push(name.clone());
            }
        }
    }
    let _ = fs::remove_dir_all(scratch());
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Internal, format!("fuzz targets failed: {}", failed.join(" "))))
}

fn source() -> PathBuf {
    build::root().join("fuzz")
}

fn target_dir() -> PathBuf {
    build::target_dir().join("fuzz")
}

/// In memory if there is such a place: the layer target makes and removes a tree for each input.
fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    base.join(format!("tare-fuzz-{}", std::process::id()))
}

fn targets() -> Result<Vec<String>> {
    let dir = source().join("targets");
    let entries = fs::read_dir(&dir).context(|| format!("cannot read {dir:?}"))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

fn build_targets() -> Result<PathBuf> {
    let mut cargo = build::cargo();
    cargo.current_dir(source()).args(["build", "--quiet", "--release", "--bins", "--target-dir"]);
    command::run(cargo.arg(target_dir()).env("RUSTFLAGS", COVERAGE))?;
    // The repository's configuration always names its target.
    let built = fs::read_dir(target_dir()).context(|| "cannot read the build's directory".to_owned())?;
    let built = built.flatten().map(|entry| entry.path().join("release")).find(|dir| dir.join("layer").exists());
    built.ok_or_else(|| Error::not_found("fuzz targets were not built"))
}

fn start(binaries: &Path, name: &str, seconds: u32) -> Result<(Child, PathBuf)> {
    let dir = |kind: &str| {
        let dir = target_dir().join(kind).join(name);
        fs::create_dir_all(&dir).context(|| format!("cannot create {dir:?}")).map(|()| dir)
    };
    let (corpus, artifacts, logs) = (dir("corpus")?, dir("artifacts")?, dir("logs")?);
    let scratch = scratch().join(name);
    fs::create_dir_all(&scratch).context(|| format!("cannot create {scratch:?}"))?;
    let seeds = if name == "layer" { layer_seeds(&scratch)? } else { source().join("seeds").join(name) };
    let path = logs.join("last");
    let log = fs::File::create(&path).context(|| format!("cannot create {path:?}"))?;
    let jail = scratch.join("jail");
    fs::create_dir_all(&jail).context(|| format!("cannot create {jail:?}"))?;
    let mut target = Command::new(binaries.join(name));
    target.arg(corpus).arg(seeds).arg(format!("-max_total_time={seconds}"));
    target.args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1"]);
    target.arg(format!("-artifact_prefix={}/", artifacts.display())).env("TMPDIR", jail);
    target.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let child = target.spawn().context(|| format!("cannot run fuzz target {name:?}"))?;
    Ok((child, path))
}

/// One small tree in every dialect of tar, so that inputs start as archives.
fn layer_seeds(scratch: &Path) -> Result<PathBuf> {
    let (tree, seeds) = (scratch.join("tree"), scratch.join("seeds"));
    fs::create_dir_all(&seeds).context(|| format!("cannot create {seeds:?}"))?;
    let script = "mkdir -p d/e && echo content >d/file && ln -f d/file hard && ln -sf d/file soft && ln -sfn .. up && mkfifo fifo && \
        mknod null c 1 3 && chmod 4755 d/file && touch d/.wh.gone d/e/.wh..wh..opq && \
        truncate -s 20000 sparse && echo data >>sparse && touch -d @1.25 soft && \
        echo >$(printf '%0120d' 0)";
    fs::create_dir_all(&tree).context(|| format!("cannot create {tree:?}"))?;
    command::run(Command::new("sh").args(["-c", script]).current_dir(&tree))?;
    let (tree, transform) = (tree.to_string_lossy(), "s,d/file,up/through,;s,d/.wh.gone,up/.wh.victim,");
    for dialect in ["gnu", "pax", "ustar", "v7"] {
        let archive = seeds.join(dialect);
        let archive = archive.to_string_lossy();
        let tar = |arguments: &[&str]| {
            let mut tar = Command::new("tar");
            tar.args(["-C", &tree, "--format", dialect, "--file", &archive]).args(arguments);
            // The older dialects leave out what they cannot say, and tell so.
            let _ = command::run(tar.stderr(Stdio::null()));
        };
        tar(&["--create", "--sparse", "."]);
        tar(&["--append", "--transform", transform, "./d/file", "./d/.wh.gone"]);
    }
    Ok(seeds)
}

/// Prints one line about a target, or all it said if it failed.
fn finish(name: &str, mut child: Child, log: &Path) -> Result<bool> {
    let status = child.wait().context(|| format!("cannot wait for fuzz target {name:?}"))?;
    let log = fs::read(log).context(|| format!("cannot read {log:?}"))?;
    let log = String::from_utf8_lossy(&log);
    if !status.success() {
        let from = log.len().saturating_sub(8000);
        println!("{}", String::from_utf8_lossy(&log.as_bytes()[from..]));
    }
    let stat = |key: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(&format!("stat::{key}:")));
        line.map_or_else(|| "?".to_owned(), |value| value.trim().to_owned())
    };
    let coverage = log.lines().rev().find_map(|line| line.split_once("cov: ")?.1.split(' ').next());
    let (inputs, coverage) = (stat("number_of_executed_units"), coverage.unwrap_or("?"));
    println!("{name}: {inputs} inputs, {coverage} edges, {status}");
    Ok(status.success())
}
