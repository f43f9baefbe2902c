//! Other programs: run them, or take what they print.

use std::process::{Command, Stdio};

use stdx::{Context, Error, Kind, Result};

/// Runs a program on this terminal; an error if it does not exit with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().context(|| format!("cannot run {:?}", command.get_program()))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(Kind::Internal, format!("{:?} failed ({status})", command.get_program())))
}

/// Runs a program and returns what it printed; its standard error stays on this terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        return Err(Error::new(Kind::Internal, format!("{:?} failed ({})", command.get_program(), output.status)));
    }
    String::from_utf8(output.stdout).context(|| format!("cannot read the output of {:?}", command.get_program()))
}
