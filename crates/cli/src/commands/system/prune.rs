//! `tare system prune`, `tare image prune`, `tare container prune`.

use std::ffi::OsString;
use std::io::Write;

use engine::Engine;
use engine::system::prune::{self, Pruned};
use stdx::{Error, Result};
use store::Removed;

use crate::error::Failure;
use crate::filter::common as filter;
use crate::table::out;
use crate::terminal;

/// Remove images that are not in use
#[derive(clap::Parser, Debug)]
#[command(name = "tare image prune")]
pub(crate) struct Args {
    /// Also images that have names, if no container stands on them
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Remove what is not in use
#[derive(clap::Parser, Debug)]
#[command(name = "tare system prune")]
pub(crate) struct SystemArgs {
    #[command(flatten)]
    images: Args,
    /// Also anonymous volumes that no container uses
    #[arg(long)]
    volumes: bool,
}

/// Remove containers that are not running
#[derive(clap::Parser, Debug)]
#[command(name = "tare container prune")]
pub(crate) struct ContainerArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

pub(crate) fn system(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<SystemArgs>(args)? else { return Ok(0) };
    let (args, with_volumes) = (args.images, args.volumes);
    let images = if args.all { "all images without a container" } else { "all images without a name" };
    let volumes = if with_volumes { "  - all anonymous volumes without a container\n" } else { "" };
    let warning = format!(
        "This will remove:\n  - all stopped containers\n  - all networks without a container\n  - {images}\n{volumes}  - parts of downloads\n"
    );
    let filter = filter(&args.filter)?;
    if args.force || agreed(&warning)? {
        show(&prune::system(engine, args.all, with_volumes, &filter)?);
    }
    Ok(0)
}

pub(crate) fn images(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let which =
        if args.all { "all images without at least one container associated to them" } else { "all dangling images" };
    let filter = filter(&args.filter)?;
    if args.force || agreed(&format!("This will remove {which}.\n"))? {
        show(&prune::images(engine, args.all, &filter)?);
    }
    Ok(0)
}

pub(crate) fn containers(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<ContainerArgs>(args)? else { return Ok(0) };
    let filter = filter(&args.filter)?;
    if args.force || agreed("This will remove all stopped containers.\n")? {
        show(&prune::containers(engine, &filter)?);
    }
    Ok(0)
}

/// Asks on a terminal; elsewhere nobody answers, and nothing is removed.
pub(crate) fn agreed(warning: &str) -> Result<bool> {
    if !terminal::is_terminal() {
        return Err(Error::invalid("cannot ask whether to go on: standard input is no terminal").hint("use --force"));
    }
    out(&format!("WARNING! {warning}Are you sure you want to continue? [y/N] "));
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn show(pruned: &Pruned) {
    let lines = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            out(&format!("{title}:\n{}\n\n", lines.join("\n")));
        }
    };
    lines("Deleted Containers", pruned.containers.clone());
    lines("Deleted Volumes", pruned.volumes.clone());
    lines("Deleted Networks", pruned.networks.clone());
    let image = |item: &Removed| match item {
        Removed::Untagged(name) => format!("untagged: {}", name.familiar()),
        Removed::Deleted(id) => format!("deleted: {id}"),
        Removed::DeletedLayer(chain) => format!("deleted: {chain}"),
    };
    lines("Deleted Images", pruned.images.iter().map(image).collect());
    out(&format!("Total reclaimed space: {}\n", stdx::size::human(pruned.bytes)));
}
