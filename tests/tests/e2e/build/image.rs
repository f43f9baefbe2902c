//! A built image looked at without running anything: its configuration, and its files in the store's snapshots.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use e2e::Tare;
use oci::{ChainId, DiffId};
use serde_json::Value;

/// An image, and its layers' directories, the topmost first.
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) json: Value,
    layers: Vec<PathBuf>,
}

impl Image {
    #[track_caller]
    pub(crate) fn new(tare: &Tare, name: &str) -> Self {
        let text = tare.tare(["inspect", name]).ok();
        let json = serde_json::from_str::<Value>(&text).unwrap()[0].take();
        let diff_ids = json["RootFS"]["Layers"].as_array().cloned().unwrap_or_default();
        let diff_ids: Vec<DiffId> = diff_ids.iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect();
        let chains = ChainId::stack(&diff_ids);
        let layers = chains.iter().rev().map(|chain| tare.root().join("snapshots").join(chain.hex()).join("fs"));
        Self { id: json["Id"].as_str().unwrap().to_owned(), layers: layers.collect(), json }
    }

    /// A field of the configuration.
    pub(crate) fn config(&self, name: &str) -> &Value {
        &self.json["Config"][name]
    }

    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Where a path is, links on the way not followed; `None` if the image does not have it.
    pub(crate) fn find(&self, path: &str) -> Option<(PathBuf, Metadata)> {
        let relative = path.trim_start_matches('/');
        for layer in &self.layers {
            if let Ok(metadata) = layer.join(relative).symlink_metadata() {
                let is_whiteout = metadata.file_type().is_char_device() && metadata.rdev() == 0;
                return (!is_whiteout).then(|| (layer.join(relative), metadata));
            }
            // A parent that is no directory, or is taken away, hides what is below it.
            let parents = relative.match_indices('/').map(|(at, _)| &relative[..at]);
            let hides = |parent: &str| layer.join(parent).symlink_metadata().is_ok_and(|metadata| !metadata.is_dir());
            if parents.into_iter().any(hides) {
                return None;
            }
        }
        None
    }

    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        let (path, _) = self.find(path).unwrap_or_else(|| panic!("{path} is not in the image"));
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    }

    /// Mode and owner: `644 0:0`.
    #[track_caller]
    pub(crate) fn mode(&self, path: &str) -> String {
        let (_, metadata) = self.find(path).unwrap_or_else(|| panic!("{path} is not in the image"));
        format!("{:o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    #[track_caller]
    pub(crate) fn link(&self, path: &str) -> String {
        let (path, _) = self.find(path).unwrap_or_else(|| panic!("{path} is not in the image"));
        fs::read_link(path).unwrap().to_str().unwrap().to_owned()
    }
}
