//! `tare create`.

use std::ffi::OsString;

use engine::Engine;

use super::pull;
use super::run::CidFile;
use crate::container_args::ContainerArgs;
use crate::error::Failure;
use crate::table::out;

/// Create a new container
#[derive(clap::Parser, Debug)]
#[command(name = "tare create", disable_help_flag = true)]
pub(crate) struct Args {
    #[command(flatten)]
    container: ContainerArgs,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let options = args.container.options(true)?;
    if args.container.dry_run {
        return super::explain::dry_run(engine, options);
    }
    let cidfile = args.container.cidfile.as_deref().map(CidFile::reserve).transpose()?;
    let record = pull::create(engine, options, &args.container)?;
    if let Some(cidfile) = cidfile {
        cidfile.write(&record.id)?;
    }
    out(&format!("{}\n", record.id));
    Ok(0)
}
