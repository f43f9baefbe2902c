//! `tare volume inspect`.

use std::ffi::OsString;

use engine::Engine;
use engine::volumes;
use stdx::Context;

use crate::error::Failure;

/// Show all that is known of volumes, as JSON
#[derive(clap::Parser, Debug)]
#[command(name = "tare volume inspect")]
pub(crate) struct Args {
    /// Show what this Go template says, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    #[arg(value_name = "VOLUME", required = true)]
    names: Vec<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    crate::commands::inspect::show(&args.names, args.format.as_deref(), |name| {
        let document = api::convert::volume(&volumes::find(engine, name)?, &volumes::data_path(engine, name));
        serde_json::to_value(document).context(|| "cannot write JSON".into())
    })
}
