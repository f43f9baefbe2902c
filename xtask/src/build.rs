//! Where the workspace is, and the built binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stdx::{Context, Error, Kind, Result};

use crate::command;

/// The build that a lane drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// What users get.
    Release,
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// A cargo command in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// `cargo metadata` of the workspace for this platform; from what is already here if that is enough.
pub(crate) fn metadata() -> Result<Value> {
    let platform = host_platform()?;
    let query = |extra: &[&str]| {
        let mut cargo = cargo();
        cargo.args(["metadata", "--format-version=1", "--filter-platform", &platform]).args(extra);
        command::output(&mut cargo)
    };
    let text = query(&["--offline"]).or_else(|_| query(&[]))?;
    serde_json::from_str(&text).context(|| "cannot read cargo's metadata".into())
}

fn host_platform() -> Result<String> {
    let text = command::output(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Error::new(Kind::Unsupported, "rustc does not name its host"))
}

/// The directory for generated files.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds the `tare` binary and returns its path, as cargo names it.
pub(crate) fn tare(profile: Profile) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "-p", "cli", "--bin", "tare", "--message-format=json-render-diagnostics"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    let messages = command::output(&mut cargo)?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.ok_or_else(|| Error::new(Kind::Internal, "cargo built no executable \"tare\""))
}
