//! `tare runtime ps`.

use std::ffi::OsString;
use std::process::Command;

use stdx::{Context, Error};

use super::Globals;
use crate::error::Failure;
use crate::table::out;

/// Display the processes running inside a container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime ps")]
struct Args {
    /// Output format: table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: String,
    #[arg(value_name = "ID [PS OPTIONS]", required = true, trailing_var_arg = true)]
    id_and_options: Vec<String>,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let (id, options) = args.id_and_options.split_first().ok_or_else(|| Error::invalid("no container given"))?;
    let pids = globals.container(id)?.cgroup()?.pids()?;
    match args.format.as_str() {
        "json" => out(&format!("{}\n", serde_json::json!(pids))),
        "table" => out(&table(&pids, options)?),
        other => return Err(Error::invalid(format!("invalid format \"{other}\": it is table or json")).into()),
    }
    Ok(0)
}

/// The host's `ps`, with the lines of other processes taken out.
fn table(pids: &[i32], options: &[String]) -> Result<String, Failure> {
    let options = if options.is_empty() { vec!["-ef".to_owned()] } else { options.to_vec() };
    let output = Command::new("ps").args(&options).output().context(|| "cannot execute \"ps\"".into())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let header = text.lines().next().unwrap_or_default();
    let column = header.split_ascii_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Error::invalid("the output of ps has no column PID"))?;
    let ours = |line: &&str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|field| field.parse::<i32>().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(header).chain(text.lines().skip(1).filter(ours));
    Ok(lines.flat_map(|line| [line, "\n"]).collect())
}
