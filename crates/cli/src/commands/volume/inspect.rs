//! `tare volume inspect`.

use std::ffi::OsString;

use engine::Engine;
use engine::volumes;
use stdx::Context;

use crate::error::Failure;
use crate::table::out;

/// Show all that is known of volumes, as JSON
#[derive(clap::Parser, Debug)]
#[command(name = "tare volume inspect")]
pub(crate) struct Args {
    #[arg(value_name = "VOLUME", required = true)]
    names: Vec<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut documents = Vec::new();
    let mut failed = false;
    for name in &args.names {
        match volumes::find(engine, name) {
            Ok(volume) => documents.push(api::convert::volume(&volume, &volumes::data_path(engine, name))),
            Err(error) => {
                Failure::from(error).report();
                failed = true;
            }
        }
    }
    let text = serde_json::to_string_pretty(&documents).context(|| "cannot write JSON".into())?;
    out(&format!("{text}\n"));
    if failed { Err(Failure::reported(1)) } else { Ok(0) }
}
