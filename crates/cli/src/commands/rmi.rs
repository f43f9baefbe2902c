//! `tare rmi`.

use std::ffi::OsString;

use engine::Engine;
use stdx::Kind;
use store::Removed;

use crate::error::{Failure, for_each};
use crate::table::out;

/// Remove images
#[derive(clap::Parser, Debug)]
#[command(name = "tare rmi")]
pub(crate) struct Args {
    /// Remove an image that has several names or that stopped containers use
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    for_each(&args.images, |name| {
        let removed = match engine::images::remove(engine, name, args.force) {
            Err(error) if args.force && error.kind() == Kind::NotFound => return Ok(()),
            removed => removed?,
        };
        for item in removed {
            match item {
                Removed::Untagged(name) => out(&format!("Untagged: {}\n", name.familiar())),
                Removed::Deleted(id) => out(&format!("Deleted: {id}\n")),
                Removed::DeletedLayer(chain) => out(&format!("Deleted: {chain}\n")),
            }
        }
        Ok(())
    })
}
