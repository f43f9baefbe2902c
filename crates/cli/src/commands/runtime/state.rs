//! `tare runtime state`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use oci::runtime_spec::Status;
use runtime::container::Container;
use serde::Serialize;
use stdx::Context;

use super::Globals;
use crate::error::Failure;
use crate::table::out;

/// Output the state of a container
#[derive(clap::Parser, Debug)]
#[command(name = "tare runtime state")]
struct Args {
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn main(globals: &Globals, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let document = Document::new(&globals.container(&args.id)?, "");
    out(&format!("{}\n", serde_json::to_string_pretty(&document).context(|| "cannot write JSON".into())?));
    Ok(0)
}

/// The specification's state with what runc adds to it, in runc's order: there are scripts that cut it apart.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    oci_version: String,
    pub(super) id: String,
    pub(super) pid: i32,
    pub(super) status: Status,
    pub(super) bundle: String,
    rootfs: PathBuf,
    pub(super) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    pub(super) owner: String,
}

impl Document {
    pub(super) fn new(container: &Container, owner: &str) -> Self {
        let state = container.state();
        let root = container.config.root.as_ref().map_or("", |root| root.path.as_str());
        Self {
            oci_version: state.oci_version,
            id: state.id,
            pid: state.pid.unwrap_or_default(),
            status: state.status,
            bundle: state.bundle,
            rootfs: container.bundle.join(root),
            created: container.created.clone(),
            annotations: state.annotations,
            owner: owner.to_owned(),
        }
    }
}
