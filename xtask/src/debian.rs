//! Debian packages, installed by name when they are missing.

use std::process::{Command, Stdio};

use stdx::{Error, Kind, Result};

use crate::command;

/// Installs those of `packages` that dpkg does not have. Quiet and quick when there is nothing to do.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        let message = format!("packages missing: {}", missing.join(" "));
        return Err(Error::new(Kind::Denied, message).hint("install them, or run this as root"));
    }
    println!("installing {}", missing.join(" "));
    if apt_install(&missing).is_ok() {
        return Ok(());
    }
    // An old package list, or none: fetch it and try again.
    command::run(apt_get().args(["update", "-qq"]).stdout(Stdio::null()))?;
    apt_install(&missing)
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let mut install = apt_get();
    install.args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages);
    command::run(install.stdout(Stdio::null()))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}
