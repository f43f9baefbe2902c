//! `tare runtime state`.

use std::ffi::OsString;

use stdx::{Context, Result};

use super::Globals;
use crate::error::Failure;
use crate::table::out;

/// Output the state of a container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime state")]
struct Args {
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::super::parse::<Args>(args)? else { return Ok(0) };
    let document = document(&globals.container(&args.id)?, "")?;
    out(&format!("{}\n", serde_json::to_string_pretty(&document).context(|| "cannot write JSON".into())?));
    Ok(0)
}

/// The specification's state, with what runc adds to it.
pub(super) fn document(container: &runtime::container::Container, owner: &str) -> Result<serde_json::Value> {
    let mut state = serde_json::to_value(container.state()).context(|| "cannot write JSON".into())?;
    state["rootfs"] = rootfs(container).into();
    state["created"] = container.created.clone().into();
    state["owner"] = owner.into();
    Ok(state)
}

fn rootfs(container: &runtime::container::Container) -> String {
    let root = container.config.root.as_ref().map_or("", |root| root.path.as_str());
    container.bundle.join(root).to_string_lossy().into_owned()
}
