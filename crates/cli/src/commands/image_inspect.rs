//! `tare image inspect`.

use std::ffi::OsString;

use engine::Engine;
use engine::images::inspect;
use oci::Platform;
use stdx::{Context, Result};

use super::pull::platform;
use crate::error::Failure;

/// Show all that is known of images, as JSON
#[derive(clap::Parser, Debug)]
#[command(name = "tare image inspect")]
pub(crate) struct Args {
    /// Show what this Go template says, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Only images for this platform (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> std::result::Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let platform = platform(args.platform.as_deref())?;
    super::inspect::show(&args.images, args.format.as_deref(), |name| document(engine, name, platform.as_ref()))
}

pub(super) fn document(engine: &Engine, name: &str, platform: Option<&Platform>) -> Result<serde_json::Value> {
    let details = inspect::inspect(engine, name, platform)?;
    serde_json::to_value(api::convert::image(&details)).context(|| "cannot write JSON".into())
}
