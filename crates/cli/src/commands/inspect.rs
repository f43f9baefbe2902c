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

pub(super) fn main(engine: &Engine, args: &[OsString]) -> std::result::Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    show(&args.names, args.format.as_deref(), |name| document(engine, name, args.kind.as_deref()))
}

/// Shows what there is; what there is not has been reported.
pub(super) fn show(
    names: &[String],
    format: Option<&str>,
    document: impl Fn(&str) -> Result<serde_json::Value>,
) -> std::result::Result<i32, Failure> {
    let mut documents = Vec::new();
    let found = crate::error::for_each(names, |name| {
        documents.push(document(name)?);
        Ok(())
    });
    match format {
        Some(format) => crate::format::print_documents(format, &documents)?,
        None => {
            let text = serde_json::to_string_pretty(&documents).context(|| "cannot write JSON".into())?;
            out(&format!("{text}\n"));
        }
    }
    found
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
    super::image_inspect::document(engine, name, None).map_err(|error| match (error.kind(), kind) {
        (Kind::NotFound, None) => Error::not_found(format!("no such object: {name}")),
        _ => error,
    })
}
