//! The manifest of one image (image-spec: manifest.md), and Docker's schema 2, which has the same shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::media_type;
use crate::{Descriptor, ParseError, null};

/// A configuration and the layers it names, bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    #[serde(default, deserialize_with = "null::as_default")]
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null::as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest. The caller bounds the size: registries agree on 4 MiB.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let manifest: Self = serde_json::from_slice(json)
            .map_err(|error| ParseError::new(format!("invalid image manifest: {error}")))?;
        if manifest.schema_version != 2 {
            let version = manifest.schema_version;
            return Err(ParseError::new(format!("image manifest has schema version {version}, only 2 is supported")));
        }
        Ok(manifest)
    }

    /// What it is, if it is no image but an artifact (image-spec: "Guidelines for Artifact Usage").
    pub fn artifact(&self) -> Option<String> {
        let config = &self.config.media_type;
        let kind = self.artifact_type.as_ref().unwrap_or(config);
        (!media_type::is_config(config)).then(|| kind.clone())
    }
}
