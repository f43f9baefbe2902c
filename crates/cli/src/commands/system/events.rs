//! `tare events`.

use std::ffi::OsString;

use engine::Engine;
use engine::events::{self, Filter, Wanted};
use monitor::events::Event;
use serde_json::Value;
use stdx::{Context, Error, Result};

use crate::error::{Failure, printable};
use crate::filter::point_in_time;
use crate::table::out;
use crate::{format, times};

/// Show what happens, as it happens
#[derive(clap::Parser, Debug)]
#[command(name = "tare events")]
pub(crate) struct Args {
    /// Show only what suits: container, event, image, label, network, scope, type or volume
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Show what this Go template says, or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show what has happened since: a time (2026-01-31T12:00:00Z), seconds since 1970, or how long ago (42m)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Stop at this time: likewise
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Prints one event.
type Show = Box<dyn Fn(&Event) -> Result<()>>;

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let time = |text: &Option<String>| text.as_deref().map(point_in_time).transpose();
    let wanted = Wanted { since: time(&args.since)?, until: time(&args.until)?, filter: filter(&args.filter)? };
    let show: Show = match args.format.as_deref() {
        None => Box::new(|event| {
            out(&format!("{}\n", printable(&line(event))));
            Ok(())
        }),
        Some("json" | "{{json .}}") => Box::new(|event| {
            out(&format!("{}\n", document(event)?));
            Ok(())
        }),
        Some(text) => {
            let template = format::parse(text)?;
            Box::new(move |event| {
                out(&format!("{}\n", printable(&format::render(&template, &fields(event)?)?)));
                Ok(())
            })
        }
    };
    events::events(engine, &wanted, &mut |event| show(event))?;
    Ok(0)
}

fn filter(words: &[String]) -> Result<Filter> {
    let mut filter = Filter::default();
    for word in words {
        let invalid = || Error::invalid(format!("invalid filter \"{word}\""));
        let (key, value) = word.split_once('=').ok_or_else(invalid)?;
        let list = match key {
            "container" => &mut filter.containers,
            "event" => &mut filter.actions,
            "image" => &mut filter.images,
            "label" => &mut filter.labels,
            "network" => &mut filter.networks,
            "scope" => &mut filter.scopes,
            "type" => &mut filter.kinds,
            "volume" => &mut filter.volumes,
            "config" | "daemon" | "node" | "plugin" | "secret" | "service" => {
                return Err(Error::unsupported(format!("invalid filter \"{word}\": there is no {key} here")));
            }
            _ => return Err(invalid().hint("container, event, image, label, network, scope, type or volume")),
        };
        list.push(value.to_owned());
    }
    Ok(filter)
}

/// Docker's line: the time, the type, the action, the id, and the attributes by name.
fn line(event: &Event) -> String {
    let time = times::rfc3339(event.at);
    let attributes: Vec<String> = event.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let space = if event.id.is_empty() { "" } else { " " };
    format!("{time} {} {}{space}{} ({})", event.kind.name(), event.action, event.id, attributes.join(", "))
}

fn document(event: &Event) -> Result<Value> {
    serde_json::to_value(api::convert::event(event)).context(|| "cannot write JSON".into())
}

/// The document, with its fields under the names they have in a template too.
fn fields(event: &Event) -> Result<Value> {
    let mut value = document(event)?;
    if let Value::Object(map) = &mut value {
        for (json, template) in [
            ("status", "Status"),
            ("id", "ID"),
            ("from", "From"),
            ("scope", "Scope"),
            ("time", "Time"),
            ("timeNano", "TimeNano"),
        ] {
            let field = map.get(json).cloned().unwrap_or_else(|| "".into());
            map.insert(template.into(), field);
        }
    }
    Ok(value)
}
