//! `tare system check`.

use std::ffi::OsString;

use engine::Engine;
use engine::system::check;
use store::Harm;

use crate::error::{Failure, printable};
use crate::table::out;

/// Verify every image and container, and find what crashes left
#[derive(clap::Parser, Debug)]
#[command(name = "tare system check")]
pub(crate) struct Args {
    /// Remove what was left over, and put right what can be
    #[arg(long)]
    repair: bool,
}

pub(crate) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = crate::commands::parse::<Args>(args)? else { return Ok(0) };
    let findings = check::check(engine, args.repair)?;
    for finding in &findings {
        let kind = if finding.harm == Harm::Broken { "broken" } else { "left over" };
        let how = finding.repaired.as_ref().map_or(String::new(), |how| format!(" [{how}]"));
        out(&format!("{kind}: {}{how}\n", printable(&finding.what)));
    }
    let left = findings.iter().filter(|finding| finding.repaired.is_none()).count();
    let broken = findings.iter().filter(|finding| finding.repaired.is_none() && finding.harm == Harm::Broken).count();
    if findings.is_empty() {
        out("everything is well\n");
    } else if left > 0 && !args.repair {
        out("\"tare system check --repair\" removes what is left over and repairs what can be repaired\n");
    }
    Ok(i32::from(if args.repair { broken > 0 } else { left > 0 }))
}
