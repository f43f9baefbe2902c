//! `tare runtime list`.

use std::ffi::OsString;

use runtime::container::Container;
use stdx::{Context, Error};

use super::Globals;
use super::state::Document;
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

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let containers = Container::list(&globals.root())?;
    if args.quiet {
        containers.iter().for_each(|container| out(&format!("{}\n", container.id)));
        return Ok(0);
    }
    let states: Vec<Document> =
        containers.iter().map(|container| Document::new(container, &owner(container))).collect();
    match args.format.as_str() {
        "table" => table::print(
            &["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
            &states.iter().map(row).collect::<Vec<_>>(),
        ),
        "json" => out(&format!("{}\n", serde_json::to_string(&states).context(|| "cannot write JSON".into())?)),
        other => return Err(Error::invalid(format!("invalid format option \"{other}\": it is table or json")).into()),
    }
    Ok(0)
}

fn row(state: &Document) -> Vec<String> {
    vec![
        state.id.clone(),
        state.pid.to_string(),
        format!("{:?}", state.status).to_lowercase(),
        state.bundle.clone(),
        state.created.clone(),
        state.owner.clone(),
    ]
}

/// Whoever has made it, by name where there is one.
fn owner(container: &Container) -> String {
    let uid = container.owner().unwrap_or_default();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}
