//! `cargo xtask demo`: the release binary at work, on this terminal.

use std::process::Command;

use stdx::Result;

use crate::build::{self, Profile};
use crate::{command, fixtures};

/// Builds the release binary and hands it, with an image to import, to the script that shows it.
pub(crate) fn run() -> Result<()> {
    println!("building the release binary (a minute or two the first time)");
    let tare = build::tare(Profile::Release)?;
    let busybox = fixtures::busybox()?;
    let tare = tare.strip_prefix(build::root()).unwrap_or(&tare);
    command::run(Command::new("sh").arg("demo/demo.sh").arg(tare).arg(busybox).current_dir(build::root()))
}
