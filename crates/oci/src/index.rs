//! A list of manifests, one for each platform (image-spec: image-index.md), also the `index.json` of a layout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Descriptor, ParseError, Platform, null};

/// An image for several platforms, or the images of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, deserialize_with = "null::as_default")]
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null::as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Reads an index. The caller bounds the size.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        serde_json::from_slice(json).map_err(|error| ParseError::new(format!("invalid image index: {error}")))
    }

    /// The manifest that suits `wanted` best; the first of equals. One without a platform suits any machine worst.
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        let rank = |descriptor: &Descriptor| match &descriptor.platform {
            Some(platform) => platform.suits(wanted).map(u16::from),
            None => Some(u16::MAX),
        };
        self.manifests.iter().filter_map(|d| Some((rank(d)?, d))).min_by_key(|(rank, _)| *rank).map(|(_, d)| d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlobDigest, Digest};

    #[test]
    fn the_nearest_platform_is_selected() {
        let descriptor = |name: &str| {
            let platform = name.parse().ok();
            Descriptor { platform, ..Descriptor::new("", BlobDigest::new(Digest::of(name.as_bytes())), 1) }
        };
        let manifests = ["linux/arm/v6", "unknown/unknown", "linux/arm/v7", "linux/amd64", "linux/386"].map(descriptor);
        let index =
            Index { schema_version: 2, media_type: None, manifests: manifests.into(), annotations: BTreeMap::new() };
        let select =
            |wanted: &str| index.select(&wanted.parse().unwrap()).map(|d| d.platform.as_ref().unwrap().to_string());
        assert_eq!(select("linux/amd64").as_deref(), Some("linux/amd64"));
        assert_eq!(select("linux/arm64").as_deref(), Some("linux/arm/v7"));
        assert_eq!(select("linux/s390x"), None);
    }
}
