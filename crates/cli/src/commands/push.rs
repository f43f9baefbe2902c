//! `tare push`.

use std::ffi::OsString;

use engine::Engine;
use engine::images::push;
use oci::Reference;
use stdx::Error;

use super::pull::{notes, reference};
use crate::error::Failure;
use crate::interrupt::{Interruptible, Undo};
use crate::table::out;
use crate::transfer::{Output, Transfer};

/// Upload an image to a registry
#[derive(clap::Parser, Debug)]
#[command(name = "tare push")]
pub(crate) struct Args {
    /// Upload all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// No progress, only the result
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let name = reference(&args.name)?;
    if args.all_tags && name.tag().is_some() {
        return Err(Error::invalid("tag can't be used with --all-tags/-a").into());
    }
    if !args.quiet {
        let latest = if !args.all_tags && name.tag().is_none() { "Using default tag: latest\n" } else { "" };
        let repository = name.repository();
        out(&format!("{latest}The push refers to repository [{repository}]\n"));
    }
    let names = if args.all_tags { push::tags(engine, &name)? } else { vec![name.clone().or_latest()] };
    if names.is_empty() {
        let message = format!("an image does not exist locally with the tag: {}", name.familiar_name());
        return Err(Error::not_found(message).into());
    }
    for name in names {
        one(engine, &name, args.quiet)?;
    }
    Ok(0)
}

fn one(engine: &Engine, name: &Reference, quiet: bool) -> Result<(), Failure> {
    let transfer = Transfer::new(if quiet { Output::Nowhere } else { Output::Stdout });
    let _interruptible = Interruptible::begin(engine, &Undo::default())?;
    let pushed = push::push(engine, name, &|event| transfer.pushing(event));
    transfer.finish();
    notes(engine);
    let pushed = pushed?;
    if quiet {
        out(&format!("{name}\n"));
    } else {
        out(&format!("{}: digest: {} size: {}\n", name.tag().unwrap_or_default(), pushed.digest, pushed.size));
    }
    Ok(())
}
