//! `tare tag`.

use std::ffi::OsString;

use engine::Engine;
use oci::Reference;
use stdx::{Context, Error, Kind};

use crate::error::Failure;

/// Give an image another name
#[derive(clap::Parser, Debug)]
#[command(name = "tare tag")]
pub(crate) struct Args {
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let target = Reference::parse_tagged(&args.target).context(|| format!("invalid image name \"{}\"", args.target));
    let target = target.map_err(|error| error.kinded(Kind::Invalid))?;
    if args.target == engine::images::host::NAME {
        return Err(Error::invalid("cannot name an image \"host\": that one is built in").into());
    }
    engine::images::tag(engine, &args.source, &target)?;
    Ok(0)
}
