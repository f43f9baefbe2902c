//! `manifest.json` of the archives that `docker save` writes.

use serde::{Deserialize, Serialize};

use crate::{ParseError, null};

/// One image of the archive; paths are the archive's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ArchiveImage {
    pub config: String,
    #[serde(default, deserialize_with = "null::as_default")]
    pub repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null::as_default")]
    pub layers: Vec<String>,
}

/// Reads `manifest.json`. The caller bounds the size.
pub fn parse(json: &[u8]) -> Result<Vec<ArchiveImage>, ParseError> {
    serde_json::from_slice(json).map_err(|error| ParseError::new(format!("invalid manifest.json: {error}")))
}
