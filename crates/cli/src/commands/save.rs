//! `tare save`.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use engine::Engine;
use engine::images;
use store::ArchiveFormat;

use super::pull::platform;
use crate::error::Failure;
use crate::output_file::write_to;

/// Write images to an archive
#[derive(clap::Parser, Debug)]
#[command(name = "tare save")]
pub(crate) struct Args {
    /// What to write: an archive for "docker load", or an OCI layout with compressed layers
    #[arg(long, value_enum, default_value = "docker", value_name = "FORMAT")]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The images have to be for this platform (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    #[value(alias = "docker-archive")]
    Docker,
    #[value(alias = "oci-archive")]
    Oci,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let format = match args.format {
        Format::Docker => ArchiveFormat::Docker,
        Format::Oci => ArchiveFormat::Oci,
    };
    let platform = platform(args.platform.as_deref())?;
    let write = |writer: &mut dyn Write| images::save::save(engine, &args.images, format, platform.as_ref(), writer);
    write_to(engine, args.output.as_deref(), write)?;
    Ok(0)
}
