//! `tare load`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use engine::{Engine, images};
use stdx::{Context, Error};
use store::{Progress, Step};

use super::pull::platform;
use crate::error::Failure;
use crate::interrupt::{Interruptible, Undo};
use crate::table::out;

/// Load images from an archive
#[derive(clap::Parser, Debug)]
#[command(name = "tare load")]
pub(crate) struct Args {
    /// Read from this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Of images for several platforms the one for this (os/arch[/variant]); any other has to be for it
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// No progress, only the result
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let what = args.input.as_ref().map_or("standard input".into(), |path| format!("{path:?}"));
    let reader: Box<dyn Read + Send> = match &args.input {
        Some(path) => Box::new(File::open(path).context(|| format!("cannot open {what}"))?),
        None if crate::terminal::is_terminal() => {
            return Err(Error::invalid("requested load from standard input, but it is a terminal")
                .hint("use -i FILE")
                .into());
        }
        None => Box::new(std::io::stdin()),
    };
    let show = !args.quiet && rustix::termios::isatty(rustix::stdio::stderr());
    let platform = platform(args.platform.as_deref())?;
    let _interruptible = Interruptible::begin(engine, &Undo::default())?;
    let loaded = images::load(engine, reader, platform.as_ref(), &|progress| {
        if show {
            report(progress);
        }
    });
    if show {
        eprint!("\r\x1b[K");
    }
    let loaded = loaded.context(|| format!("cannot load images from {what}"))?;
    for image in loaded {
        for (name, id) in &image.replaced {
            out(&format!(
                "The image {} already exists, renaming the old one with ID {id} to empty string\n",
                name.familiar()
            ));
        }
        if image.names.is_empty() {
            out(&format!("Loaded image ID: {}\n", image.id));
        }
        image.names.iter().for_each(|name| out(&format!("Loaded image: {}\n", name.familiar())));
    }
    Ok(0)
}

fn report(progress: Progress) {
    match progress {
        Progress::Reading { bytes } => eprint!("\r\x1b[Kreading {}", stdx::size::human(bytes)),
        Progress::Layer { diff_id, step: Step::Extracting { done, .. } } => {
            eprint!("\r\x1b[Kunpacking layer {}: {}", diff_id.short(), stdx::size::human(done));
        }
        Progress::Layer { .. } => {}
    }
}
