//! Programs that run a container and are no engine: the floor, and OCI runtimes, tare's own among them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stdx::{Context, Result};

use crate::scratch::Scratch;
use crate::{budget, sample};

/// A command that runs `true` in a container and leaves nothing.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    arguments: Vec<String>,
}

impl Program {
    fn new(name: &str, arguments: &[&str]) -> Self {
        Self { name: name.into(), arguments: arguments.iter().map(|&argument| argument.into()).collect() }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]);
        command
    }
}

/// The floor, then the OCI runtimes that work here.
pub(crate) fn installed(tare: &Path, floor: &Path, rootfs: &Path, scratch: &Scratch) -> Result<Vec<Program>> {
    let (floor, rootfs) = (floor.to_string_lossy(), rootfs.to_string_lossy());
    let upper = scratch.data("floor")?;
    let mut programs = vec![Program::new(budget::FLOOR, &[&floor, &upper.to_string_lossy(), &rootfs, "true"])];
    match bundle(&rootfs, scratch) {
        Ok(bundle) => programs.extend(runtimes(&tare.to_string_lossy(), &bundle, &scratch.run)),
        Err(error) => eprintln!("without OCI runtimes: {error}"),
    }
    Ok(programs)
}

fn runtimes(tare: &str, bundle: &str, run: &Path) -> Vec<Program> {
    let root = run.join("oci").display().to_string();
    let candidates = [
        Program::new(budget::TARE_RUNTIME, &[tare, "runtime", "--root", &root, "run", "--bundle", bundle, "bench"]),
        Program::new(budget::RUNC, &["runc", "--root", &root, "run", "--bundle", bundle, "bench"]),
        Program::new(budget::CRUN, &["crun", "--root", &root, "run", "--bundle", bundle, "bench"]),
        // crun refuses a machine that mounts cgroup v2 beside v1: it gets a view without. The shell costs about 1 ms.
        Program::new(
            budget::CRUN_IN_SHELL,
            &[
                "unshare",
                "--mount",
                "sh",
                "-c",
                &format!("umount /sys/fs/cgroup/unified; exec crun --root {root} run --bundle {bundle} bench"),
            ],
        ),
    ];
    let mut working: Vec<Program> =
        candidates.into_iter().filter(|p| sample::quiet(&mut p.command()).is_ok()).collect();
    if working.iter().any(|program| program.name == budget::CRUN) {
        working.retain(|program| program.name != budget::CRUN_IN_SHELL);
    }
    working
}

/// A bundle with the default configuration of runc, changed to run `true` in the image without a terminal.
pub(crate) fn bundle(rootfs: &str, scratch: &Scratch) -> Result<String> {
    let dir = scratch.data("bundle")?;
    sample::quiet(Command::new("runc").arg("spec").current_dir(&dir))?;
    let path = dir.join("config.json");
    let text = fs::read(&path).context(|| format!("cannot read {path:?}"))?;
    let mut config: Value = serde_json::from_slice(&text).context(|| format!("cannot parse {path:?}"))?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["true"]);
    config["process"]["rlimits"] = json!([]);
    config["root"] = json!({"path": rootfs, "readonly": false});
    fs::write(&path, config.to_string()).context(|| format!("cannot write {path:?}"))?;
    Ok(dir.display().to_string())
}
