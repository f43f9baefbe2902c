//! `tare system start`.

use std::ffi::OsString;

use engine::Engine;
use engine::system::start;
use stdx::Error;

use crate::error::Failure;
use crate::table::out;

/// Start the containers whose restart policy wants them running, as after a boot
#[derive(clap::Parser, Debug)]
#[command(name = "tare system start")]
pub(crate) struct Args {}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(Args {}) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut failed = false;
    for (container, result) in start::start(engine)? {
        let name = &container.record.name;
        match result {
            Ok(()) => out(&format!("{name}\n")),
            Err(error) => {
                let text = format!("cannot start container {name}: {}", error.error);
                Failure::from(Error::new(error.error.kind(), text)).report();
                failed = true;
            }
        }
    }
    if failed { Err(Failure::reported(1)) } else { Ok(0) }
}
