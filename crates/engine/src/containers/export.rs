//! `export`: a container's whole root as one tar, without what is mounted on it.

use std::io::Write;

use layer::diff::Options;
use stdx::{Error, Result};

use crate::containers::record::RecordImage;
use crate::containers::{Container, layers};
use crate::{Engine, events};

/// Writes the tar. Nothing of the container is executed, and nothing in it is followed.
pub fn export(engine: &Engine, container: &Container, writer: impl Write) -> Result<()> {
    let record = &container.record;
    if record.image == RecordImage::Host {
        let message = format!("cannot export container {}: its root is the host's", record.name);
        return Err(Error::unsupported(message).hint("\"tare diff\" shows what it changed"));
    }
    let store = engine.store()?;
    let _hold = store.hold()?;
    let root = layers::merged(engine, container)?;
    layer::export(&root, writer, &Options { ids: layers::merged_ids(record), ..Options::default() })?;
    events::of_container(engine, record, "export");
    Ok(())
}
