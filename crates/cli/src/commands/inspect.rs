//! `tare inspect`.

use std::ffi::OsString;

use engine::containers::{find, inspect, size};
use engine::{Engine, volumes};
use stdx::{Context, Error, Kind, Result};

use crate::error::Failure;
use crate::table::out;

/// Show all that is known of containers or images, as JSON
#[derive(clap::Parser, Debug)]
#[command(name = "tare inspect")]
pub(crate) struct Args {
    /// Only things of this type: container, image or volume
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Show what this Go template says, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show the sizes of containers' files
    #[arg(short, long)]
    size: bool,
    #[arg(value_name = "NAME|ID", required = true)]
    names: Vec<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> std::result::Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    show(&args.names, args.format.as_deref(), |name| document(engine, name, args.kind.as_deref(), args.size))
}

/// Shows what there is; what there is not has been reported.
pub(in crate::commands) fn show(
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

fn document(engine: &Engine, name: &str, kind: Option<&str>, size: bool) -> Result<serde_json::Value> {
    let nothing = |error: &Error| error.kind() == Kind::NotFound && kind.is_none();
    if !matches!(kind, None | Some("container" | "image" | "volume")) {
        return Err(Error::invalid(format!("invalid type \"{}\"", kind.unwrap_or_default()))
            .hint("it is container, image or volume"));
    }
    if matches!(kind, None | Some("container")) {
        match find::find(engine, name) {
            Err(error) if nothing(&error) => {}
            found => {
                let mut details = inspect::inspect(engine, found?)?;
                if size {
                    details.size = Some(size::size(engine, &details.container.record)?);
                }
                return json(serde_json::to_value(api::convert::container(&details)));
            }
        }
    }
    if matches!(kind, None | Some("image")) {
        match super::image_inspect::document(engine, name, None) {
            Err(error) if nothing(&error) => {}
            found => return found,
        }
    }
    match volumes::find(engine, name) {
        // What is no name of a volume either is nothing at all.
        Err(error) if kind.is_none() && matches!(error.kind(), Kind::NotFound | Kind::Invalid) => {
            Err(Error::not_found(format!("no such object: {name}")))
        }
        found => {
            let volume = found?;
            json(serde_json::to_value(api::convert::volume(&volume, &volumes::data_path(engine, &volume.name))))
        }
    }
}

fn json(value: serde_json::Result<serde_json::Value>) -> Result<serde_json::Value> {
    value.context(|| "cannot write JSON".into())
}
