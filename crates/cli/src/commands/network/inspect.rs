//! `tare network inspect`.

use std::ffi::OsString;

use engine::Engine;
use engine::networks;
use stdx::{Context, Result};

use crate::error::Failure;
use crate::table::out;

/// Show all that is known of networks, as JSON
#[derive(clap::Parser, Debug)]
#[command(name = "tare network inspect")]
pub(crate) struct Args {
    /// Show what this Go template says, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let mut documents = Vec::new();
    let mut failed = false;
    for name in &args.names {
        match document(engine, name) {
            Ok(document) => documents.push(document),
            Err(error) => {
                Failure::from(error).report();
                failed = true;
            }
        }
    }
    match &args.format {
        Some(format) => crate::format::print_documents(format, &documents)?,
        None => {
            let text = serde_json::to_string_pretty(&documents).context(|| "cannot write JSON".into())?;
            out(&format!("{text}\n"));
        }
    }
    if failed { Err(Failure::reported(1)) } else { Ok(0) }
}

fn document(engine: &Engine, name: &str) -> Result<serde_json::Value> {
    let record = networks::find(engine, name)?;
    let members = networks::members(engine, &record.network)?;
    serde_json::to_value(api::networks::network(&record, &members)).context(|| "cannot write JSON".into())
}
