//! `tare runtime list`.

use std::ffi::OsString;

use runtime::container::Container;
use stdx::{Context, Error, Result};

use super::Globals;
use super::state::document;
use crate::error::Failure;
use crate::table::{self, out};

/// List containers started by this runtime with the given root
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime list")]
struct Args {
    /// Output format: table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: String,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> std::result::Result<i32, Failure> {
    let Some(args) = super::super::parse::<Args>(args)? else { return Ok(0) };
    let containers = Container::list(&globals.root())?;
    if args.quiet {
        containers.iter().for_each(|container| out(&format!("{}\n", container.id)));
        return Ok(0);
    }
    match args.format.as_str() {
        "table" => table::print(
            &["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
            &containers.iter().map(row).collect::<Vec<_>>(),
        ),
        "json" => {
            let states = containers.iter().map(|container| document(container, "root")).collect::<Result<Vec<_>>>()?;
            out(&format!("{}\n", serde_json::to_string(&states).context(|| "cannot write JSON".into())?));
        }
        other => return Err(Error::invalid(format!("invalid format \"{other}\": it is table or json")).into()),
    }
    Ok(0)
}

fn row(container: &Container) -> Vec<String> {
    let state = container.state();
    vec![
        container.id.clone(),
        state.pid.unwrap_or_default().to_string(),
        format!("{:?}", state.status).to_lowercase(),
        state.bundle,
        container.created.clone(),
        "root".into(),
    ]
}
