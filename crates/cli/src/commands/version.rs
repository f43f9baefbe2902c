//! `tare version`.

use std::ffi::OsString;

use engine::Engine;
use serde_json::json;

use crate::error::Failure;
use crate::format;
use crate::table::out;

/// Show the version
#[derive(clap::Parser, Debug)]
#[command(name = "tare version")]
pub(crate) struct Args {
    /// Show what this Go template says, or json
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The newest version of Docker's API whose documents are printed.
const API: &str = "1.48";

pub(super) fn main(_engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let Some(format) = &args.format else {
        out(&format!("tare version {VERSION}\n"));
        return Ok(0);
    };
    let arch = oci::Platform::host().architecture;
    // There is one program: what asks and what answers are the same.
    let client = json!({"Version": VERSION, "ApiVersion": API, "DefaultAPIVersion": API, "Os": "linux", "Arch": arch});
    let server = json!({
        "Platform": {"Name": "tare"}, "Version": VERSION, "ApiVersion": API, "MinAPIVersion": API, "Os": "linux",
        "Arch": arch, "KernelVersion": rustix::system::uname().release().to_string_lossy(),
    });
    format::print_documents(format, &[json!({"Client": client, "Server": server})])?;
    Ok(0)
}
