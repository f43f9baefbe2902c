//! `tare images`.

use std::ffi::OsString;

use engine::Engine;
use oci::Reference;

use crate::error::Failure;
use crate::{table, times};

/// List images
#[derive(clap::Parser, Debug)]
#[command(name = "tare images")]
pub(crate) struct Args {
    /// Do not cut ids short
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Only images of this repository, or this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let mut images = engine::images::list(engine)?;
    images.sort_by_key(|image| std::cmp::Reverse(image.created()));
    let wanted = |name: Option<&Reference>| match (&args.name, name) {
        (None, _) => true,
        (Some(wanted), Some(name)) => *wanted == name.familiar() || *wanted == name.familiar_name(),
        (Some(_), None) => false,
    };
    let mut rows = Vec::new();
    for image in &images {
        let id = if args.no_trunc { image.id.to_string() } else { image.id.short() };
        let names: Vec<Option<&Reference>> =
            if image.names.is_empty() { vec![None] } else { image.names.iter().map(Some).collect() };
        for name in names.into_iter().filter(|name| wanted(*name)) {
            rows.push(vec![
                name.map_or("<none>".into(), Reference::familiar_name),
                name.and_then(Reference::tag).unwrap_or("<none>").to_owned(),
                id.clone(),
                image.created().map_or("N/A".into(), times::ago),
                stdx::size::human(image.size),
            ]);
        }
    }
    if args.quiet {
        let mut ids: Vec<&String> = rows.iter().map(|row| &row[2]).collect();
        ids.dedup();
        ids.iter().for_each(|id| table::out(&format!("{id}\n")));
        return Ok(0);
    }
    table::print(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], &rows);
    Ok(0)
}
