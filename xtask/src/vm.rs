//! `cargo xtask vm`: the end-to-end tests under cgroup version 2, in a small virtual machine with Debian's kernel.
//!
//! It is started twice: with a shell script as its first process, and with systemd, which then makes the control groups
//! (`--cgroup-driver systemd`). No test needs a network, and the machine has none. What is slow to make is kept in
//! `target/vm`: the kernel, and the disk with the system.

mod disk;
mod kernel;
mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use stdx::{Context, Error, Kind, Result};

use crate::build::{self, Profile};
use crate::{command, debian, fixtures};

const PACKAGES: [&str; 7] = ["qemu-system-x86", "cpio", "kmod", "e2fsprogs", "busybox-static", "xz-utils", "zstd"];

/// One start of the machine.
pub(crate) struct Boot {
    name: &'static str,
    /// Its first process.
    init: &'static str,
    /// Who makes the control groups: `TARE_CGROUP_DRIVER`.
    driver: &'static str,
    /// Which tests: those whose names contain one of these, or all …
    filters: &'static [&'static str],
    /// … but those whose names contain one of these.
    skip: &'static [&'static str],
    limit: Duration,
}

/// Tests whose outcome depends on the kernel and its control groups. Those about bytes, archives, words, registries and
/// terminals meet the same code on every kernel, and an emulated processor needs minutes for them.
const ABOUT_THE_KERNEL: &[&str] = &[
    "cp::",
    "exec::",
    "lifecycle::",
    "limits::",
    "named_volumes::",
    "namespaces::",
    "network::",
    "restart::",
    "root::",
    "runtime::",
    "security::",
    "unified::",
    "verbs::",
    "volumes::",
];

/// Of these, what needs programs that the machine does not have (Python, `ip`, `ps`) or minutes of an emulated processor.
const NOT_IN_THE_MACHINE: &[&str] =
    &["runtime::seccomp::", "runtime::linux::network_devices", "runtime::list::processes", "runtime::exec::a_failed"];

const BOOTS: [Boot; 2] = [
    Boot {
        name: "plain",
        init: "/vm/plain",
        driver: "cgroupfs",
        filters: ABOUT_THE_KERNEL,
        skip: NOT_IN_THE_MACHINE,
        limit: Duration::from_secs(360),
    },
    Boot {
        name: "systemd",
        init: "/sbin/init",
        driver: "systemd",
        filters: &["exec::", "lifecycle::", "limits::", "restart::", "systemd::", "unified::", "verbs::"],
        skip: NOT_IN_THE_MACHINE,
        limit: Duration::from_secs(240),
    },
];

/// Runs the tests in both machines; `arguments` may name one of them, and further words replace its filters.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Error::new(
            Kind::Unsupported,
            "the virtual machine is an x86_64 one, and runs this machine's programs",
        ));
    }
    let (only, words) = match arguments.split_first() {
        Some((name, words)) if BOOTS.iter().any(|boot| boot.name == name) => (Some(name), words),
        _ => (None, arguments),
    };
    let boots: Vec<&Boot> = BOOTS.iter().filter(|boot| only.is_none_or(|name| boot.name == name)).collect();
    debian::install(&PACKAGES)?;
    let dir = build::target_dir().join("vm");
    fs::create_dir_all(&dir).context(|| format!("cannot make {dir:?}"))?;
    let kernel = kernel::make(&dir)?;
    let system = disk::system(&dir)?;
    let programs = [build::tare(Profile::Dev)?, tests()?];
    let images = fixtures::all()?;
    let mut failed = Vec::new();
    let started = Instant::now();
    for boot in &boots {
        let payload = disk::payload(&dir, boot, words, &programs, &images)?;
        println!("== cgroup v2, {}", boot.name);
        if let Err(error) = machine::run(&dir, boot, &kernel, &system, &payload) {
            println!("{error}");
            failed.push(boot.name);
        }
    }
    println!("the virtual machines took {} s", started.elapsed().as_secs());
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Internal, format!("tests failed under cgroup v2: {}", failed.join(", "))))
}

/// Builds the program of the end-to-end tests.
fn tests() -> Result<PathBuf> {
    let mut cargo = build::cargo();
    cargo.args(["test", "--quiet", "-p", "e2e", "--features", "root", "--test", "e2e", "--no-run"]);
    let messages = command::output(cargo.arg("--message-format=json-render-diagnostics"))?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.ok_or_else(|| Error::new(Kind::Internal, "cargo built no program of end-to-end tests"))
}

/// Makes `dir/name` by `make`, beside its place and moved there when it is whole; what is there is kept.
fn ensure(dir: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let path = dir.join(name);
    if path.exists() {
        return Ok(path);
    }
    println!("making {}", path.display());
    let unfinished = dir.join(format!("unfinished-{name}"));
    remove(&unfinished)?;
    make(&unfinished)?;
    fs::rename(&unfinished, &path).context(|| format!("cannot move {unfinished:?} to {path:?}"))?;
    Ok(path)
}

/// Removes a file or a tree, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {path:?}"))
        }
        _ => Ok(()),
    }
}
