//! `cargo xtask bench runtime`: tare as an OCI runtime beside the newest others that this machine can have.
//!
//! All of them in one mount namespace that has version 1's control groups alone: crun refuses a machine that mounts both
//! versions. What cannot be had is left out, in words.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bench::budget::{OCI_CRUN, OCI_RUNC, OCI_TARE, OCI_YOUKI};
use bench::lifecycle::{self, Inputs, Runtime};
use stdx::{Context, Error, Kind, Result};

use crate::build::{self, Profile};
use crate::{command, debian, fixtures};

const INSIDE: &str = "TARE_BENCH_INSIDE";
/// Only where both versions are mounted.
const ENTER: &str = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$0\" \"$@\"";
const YOUKI_LIMIT: &str = "900";

/// Prints the tables; whether the budgets are kept.
pub(super) fn run(arguments: &[String]) -> Result<bool> {
    if std::env::var_os(INSIDE).is_none() {
        let own = std::env::current_exe().context(|| "cannot find this program".to_owned())?;
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "sh", "-c", ENTER]).arg(own).arg("bench").args(arguments).env(INSIDE, "1");
        return command::run(&mut inside).map(|()| true);
    }
    debian::install(&["runc", "util-linux"])?;
    let dir = build::target_dir().join("peers");
    fs::create_dir_all(&dir).context(|| format!("cannot make {dir:?}"))?;
    let tare = build::tare(Profile::Release)?.display().to_string();
    let mut runtimes = vec![
        Runtime { name: OCI_TARE, prefix: vec![tare, "runtime".into()] },
        Runtime { name: OCI_RUNC, prefix: vec!["runc".into()] },
    ];
    for (name, get) in [(OCI_CRUN, crun as fn(&Path) -> Result<Vec<String>>), (OCI_YOUKI, youki)] {
        match get(&dir) {
            Ok(prefix) => runtimes.push(Runtime { name, prefix }),
            Err(error) => eprintln!("without {name}: {error}"),
        }
    }
    let scratch = build::target_dir().join("bench");
    fs::create_dir_all(&scratch).context(|| format!("cannot make {scratch:?}"))?;
    lifecycle::run(&Inputs { runtimes, busybox: fixtures::busybox()?, scratch })
}

/// The next Debian's crun with its libraries, unpacked and never installed; this Debian's if it cannot be had.
fn crun(dir: &Path) -> Result<Vec<String>> {
    const PACKAGES: [&str; 7] = ["crun", "libc6", "libcap2", "libgcc-s1", "libseccomp2", "libsystemd0", "libyajl2"];
    let newest = crate::peers::unpack(dir, "crun-next", &PACKAGES, crate::peers::NEXT).map(|tree| {
        let libraries = tree.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
        let loader = libraries.join("ld-linux-x86-64.so.2");
        [loader, "--library-path".into(), libraries, tree.join("usr/bin/crun")]
            .map(|p| p.display().to_string())
            .to_vec()
    });
    newest.or_else(|error| {
        eprintln!("this release's crun: {error}");
        debian::install(&["crun"]).map(|()| vec!["crun".into()])
    })
}

/// Built from the registry of crates, once, if that takes no longer than a quarter of an hour.
fn youki(dir: &Path) -> Result<Vec<String>> {
    let root = dir.join("youki");
    let program = root.join("bin/youki");
    if !program.exists() {
        debian::install(&["libseccomp-dev", "pkg-config"])?;
        eprintln!("building youki, for at most {YOUKI_LIMIT} s");
        let mut install = Command::new("timeout");
        install.args([YOUKI_LIMIT, "cargo", "install", "--quiet", "--locked", "youki", "--no-default-features"]);
        install.args(["--features", "v1,seccomp", "--root"]).arg(&root).env("CARGO_TARGET_DIR", root.join("target"));
        let status = install.current_dir(dir).stdin(Stdio::null()).stderr(Stdio::null()).status();
        if !status.context(|| "cannot run cargo".to_owned())?.success() {
            return Err(Error::new(Kind::Unsupported, "it does not build here"));
        }
    }
    Ok(vec![program.display().to_string()])
}
