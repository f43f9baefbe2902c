//! `tare import`.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use engine::{Engine, images};
use oci::{Platform, Reference};
use stdx::{Context, Error, Kind};
use store::ImportOptions;

use crate::error::Failure;
use crate::interrupt::{Interruptible, Undo};
use crate::table::out;

/// Make an image from a root filesystem's tar
#[derive(clap::Parser, Debug)]
#[command(name = "tare import")]
pub(crate) struct Args {
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Set a message in the image's history
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// Platform the image is for (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// The tar, compressed or not; - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let invalid = |error: Error| error.kinded(Kind::Invalid);
    let name =
        args.name.as_deref().map(|text| Reference::parse(text).context(|| format!("invalid image name \"{text}\"")));
    let platform = args
        .platform
        .as_deref()
        .map(|text| text.parse::<Platform>().context(|| format!("invalid platform \"{text}\"")));
    let options = ImportOptions {
        name: name.transpose().map_err(invalid)?,
        changes: args.change.clone(),
        message: args.message.clone(),
        platform: platform.transpose().map_err(invalid)?,
    };
    if options.name.as_ref().is_some_and(|name| name.familiar() == "host") {
        return Err(Error::invalid("cannot name an image \"host\": that one is built in").into());
    }
    let _interruptible = Interruptible::begin(engine, &Undo::default())?;
    let id = if args.file.as_os_str() == "-" {
        images::import(engine, std::io::stdin(), options)?
    } else {
        let file = File::open(&args.file).context(|| format!("cannot open {:?}", args.file))?;
        images::import(engine, file, options).context(|| format!("cannot import {:?}", args.file))?
    };
    out(&format!("{id}\n"));
    Ok(0)
}
