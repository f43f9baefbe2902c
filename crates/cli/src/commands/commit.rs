//! `tare commit`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{commit, find};

use super::pull::reference;
use crate::error::Failure;
use crate::interrupt::{Interruptible, Undo};
use crate::table::out;

/// Make an image of a container's changes
#[derive(clap::Parser, Debug)]
#[command(name = "tare commit")]
pub(crate) struct Args {
    /// Who made it
    #[arg(short, long, value_name = "NAME", default_value = "")]
    author: String,
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Set a message in the image's history
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// Pause the container meanwhile
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pause: bool,
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let options = commit::Options {
        author: args.author,
        message: args.message,
        changes: args.change,
        keep_running: !args.pause,
        name: args.name.as_deref().map(reference).transpose()?,
    };
    let container = find::find(engine, &args.container)?;
    let _interruptible =
        Interruptible::begin(engine, &Undo { container: Some(&container.record.id), ..Undo::default() })?;
    let committed = commit::commit(engine, &container, options)?;
    for path in &committed.torn {
        let path = String::from_utf8_lossy(path);
        eprintln!("WARNING: \"/{path}\" was changed while it was read");
    }
    out(&format!("{}\n", committed.id));
    Ok(0)
}
