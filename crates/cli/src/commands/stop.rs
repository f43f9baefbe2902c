//! `tare stop`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{find, stop};
use stdx::Error;

use crate::error::{Failure, for_each};
use crate::table::out;

/// Stop running containers
#[derive(clap::Parser, Debug)]
#[command(name = "tare stop")]
pub(crate) struct Args {
    #[command(flatten)]
    how: How,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// How a container is stopped, by `restart` too.
#[derive(clap::Args, Debug)]
pub(super) struct How {
    /// Signal to send first
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds to wait before killing the container; -1: for ever
    #[arg(short, long = "timeout", visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    pub(super) timeout: Option<i64>,
}

impl How {
    /// The signal's number.
    pub(super) fn signal(&self) -> Result<Option<i32>, Error> {
        self.signal.as_deref().map(parse_signal).transpose()
    }
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let signal = args.how.signal()?;
    for_each(&args.containers, |name| {
        stop::stop(engine, &find::find(engine, name)?, signal, args.how.timeout)?;
        out(&format!("{name}\n"));
        Ok(())
    })
}

/// A signal's number from its name.
pub(super) fn parse_signal(text: &str) -> Result<i32, Error> {
    sys::signal::parse(text).ok_or_else(|| Error::invalid(format!("invalid signal \"{text}\"")))
}
