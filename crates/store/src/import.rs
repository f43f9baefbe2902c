//! `import`: a root file system's tar becomes an image of one layer.

use std::collections::BTreeMap;
use std::io::Read;

use jiff::Timestamp;
use layer::Limits;
use oci::image_config::History;
use oci::{BlobDigest, ImageConfig, ImageId, Platform, Reference};
use stdx::{Error, Result};

use crate::Store;
use crate::names::{Record, Unnamed};
use crate::preparation::{Preparation, Stack};
use crate::spool::Spooled;

/// What `import` is told besides the archive.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// `latest` if it has no tag.
    pub name: Option<Reference>,
    /// Dockerfile instructions for the configuration.
    pub changes: Vec<String>,
    /// The comment in the image's history.
    pub message: String,
    /// The host's own if not given.
    pub platform: Option<Platform>,
}

impl Store {
    /// Makes an image of a root file system's tar, compressed or not.
    pub fn import(&self, reader: impl Read + Send, options: ImportOptions) -> Result<ImageId> {
        let now = Timestamp::now().to_string();
        let mut image = ImageConfig {
            created: Some(now.clone()),
            comment: options.message.clone(),
            platform: options.platform.unwrap_or_else(Platform::host),
            history: vec![History { created: Some(now), comment: options.message, ..History::default() }],
            ..ImageConfig::default()
        };
        for change in &options.changes {
            oci::change::apply(&mut image.config, change).map_err(|error| Error::invalid(error.to_string()))?;
        }
        if options.name.as_ref().is_some_and(|name| name.digest().is_some()) {
            return Err(Error::invalid("cannot import an image under a digest: it follows from the content"));
        }
        let ingest = self.ingest()?;
        let limits = Limits::default();
        let blob = Spooled::write(reader, ingest.path().join("layer"))?;
        let config_path = ingest.path().join("config");
        let mut snapshots = Preparation::new(self, ingest);
        let mut stack = Stack::default();
        let diff_id = snapshots.push_new(&mut stack, blob.open()?, Some(blob.describe()?), &limits)?;
        image.rootfs.diff_ids.push(diff_id);
        let config = Spooled::write(&image.to_json()[..], config_path)?;
        let id = ImageId::new(config.digest);
        let record = Record { size: stack.size, ..Record::default() };
        let names = options.name.map(Reference::or_latest).into_iter().collect();
        let blobs = [blob, config].map(|file| (BlobDigest::new(file.digest), file.path));
        snapshots.publish(&BTreeMap::from(blobs), vec![Unnamed { id, record, names }])?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
