//! `tare manifest inspect`.

use std::ffi::OsString;

use engine::Engine;
use engine::images::pull;
use stdx::Context;

use super::pull::{notes, reference};
use crate::error::Failure;
use crate::table::out;

/// Show the manifest of an image in a registry, or the index of its manifests
#[derive(clap::Parser, Debug)]
#[command(name = "tare manifest inspect")]
pub(crate) struct Args {
    /// Show its digest and media type as well
    #[arg(short, long)]
    verbose: bool,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let name = reference(&args.name)?.or_latest();
    let fetched = pull::manifest(engine, &name);
    notes(engine);
    let fetched = fetched?;
    let what = || format!("cannot read the manifest of {}", name.familiar());
    let document: serde_json::Value = serde_json::from_slice(&fetched.bytes).context(what)?;
    let shown = if args.verbose {
        serde_json::json!({ "Ref": name.to_string(), "Descriptor": fetched.descriptor, "Manifest": document })
    } else {
        document
    };
    let text = serde_json::to_string_pretty(&shown).context(what)?;
    out(&format!("{text}\n"));
    Ok(0)
}
