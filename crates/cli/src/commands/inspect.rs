//! `tare inspect`.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::{find, inspect};
use stdx::{Context, Error, Kind, Result};

use crate::error::Failure;
use crate::table::out;

/// Show all that is known of containers or images, as JSON
#[derive(clap::Parser, Debug)]
#[command(name = "tare inspect")]
pub(crate) struct Args {
    /// Only things of this type: container or image
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Show what this Go template says, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    #[arg(value_name = "NAME|ID", required = true)]
    names: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let mut documents = Vec::new();
    let mut failed = false;
    for name in &args.names {
        match document(engine, name, args.kind.as_deref()) {
            Ok(document) => documents.push(document),
            Err(error) => {
                Failure::from(error).report();
                failed = true;
            }
        }
    }
    if let Some(format) = &args.format {
        crate::format::print_documents(format, &documents)?;
        return if failed { Err(Failure::reported(1)) } else { Ok(0) };
    }
    let text = serde_json::to_string_pretty(&documents).context(|| "cannot write JSON".into())?;
    out(&format!("{text}\n"));
    if failed { Err(Failure::reported(1)) } else { Ok(0) }
}

fn document(engine: &Engine, name: &str, kind: Option<&str>) -> Result<serde_json::Value> {
    let json = |value: serde_json::Result<serde_json::Value>| value.context(|| "cannot write JSON".into());
    if !matches!(kind, None | Some("container" | "image")) {
        return Err(Error::invalid(format!("invalid type \"{}\": it is container or image", kind.unwrap_or_default())));
    }
    if kind != Some("image") {
        match find::find(engine, name) {
            Ok(container) => {
                let details = inspect::inspect(engine, container)?;
                return json(serde_json::to_value(api::convert::container(&details)));
            }
            Err(error) if error.kind() == Kind::NotFound && kind.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    let image = engine.store()?.resolve(name).map_err(|error| match (error.kind(), kind) {
        (Kind::NotFound, None) => Error::not_found(format!("no such object: {name}")),
        _ => error,
    })?;
    json(serde_json::to_value(api::convert::image(&image)))
}
