//! `tare volume create`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use engine::Engine;
use engine::volumes::{self, Wanted};
use stdx::Error;

use crate::error::Failure;
use crate::table::out;

/// Create a volume
#[derive(clap::Parser, Debug)]
#[command(name = "tare volume create")]
pub(crate) struct Args {
    /// Volume driver: local
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// Set metadata on the volume
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Driver options: type, device, o
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    if args.driver != "local" {
        let error = Error::unsupported(format!("unknown volume driver \"{}\"", args.driver));
        return Err(error.hint("there is one, \"local\"").into());
    }
    let pairs = |texts: &[String]| -> BTreeMap<String, String> {
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        texts.iter().map(pair).collect()
    };
    let wanted = Wanted { name: args.name.clone(), labels: pairs(&args.label), options: pairs(&args.opt) };
    out(&format!("{}\n", volumes::create(engine, &wanted)?.name));
    Ok(0)
}
