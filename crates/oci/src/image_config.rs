//! An image's configuration: what to run, and which layers it runs on (image-spec: config.md, with Docker's fields).
//!
//! The bytes an image came with are its identity and stay as they are; these types read them, and write the
//! configurations this engine makes itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DiffId, ParseError, Platform, null};

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// RFC 3339; absent or nonsense in some images, so nothing may depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub author: String,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub comment: String,
    #[serde(flatten)]
    pub platform: Platform,
    #[serde(default, deserialize_with = "null::as_default")]
    pub config: Config,
    pub rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null::as_default")]
    pub history: Vec<History>,
}

impl ImageConfig {
    /// Reads a configuration. The caller bounds the size.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let config: Self = serde_json::from_slice(json)
            .map_err(|error| ParseError::new(format!("invalid image configuration: {error}")))?;
        match config.rootfs.kind.as_str() {
            "layers" => Ok(config),
            other => Err(ParseError::new(format!("image root file system of type {other:?} is not supported"))),
        }
    }

    /// The bytes whose digest is the image's id.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and maps of them always serialise")
    }
}

/// The image's layers, bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "null::as_default")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One step of how the image was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub created_by: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub author: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// A set as Go's JSON spells it: an object with empty values.
pub type Set = BTreeMap<String, Empty>;

/// `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Defaults for the containers of an image. Containers and `commit` use the same shape.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// `name|uid[:group|gid]`; empty is root.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub user: String,
    /// `port[-port]/proto`.
    #[serde(skip_serializing_if = "Set::is_empty", deserialize_with = "null::as_default")]
    pub exposed_ports: Set,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null::as_default")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    #[serde(skip_serializing_if = "Set::is_empty", deserialize_with = "null::as_default")]
    pub volumes: Set,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null::as_default")]
    pub labels: BTreeMap<String, String>,
    /// A name (`SIGTERM`) or number.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null::as_default")]
    pub stop_signal: String,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Dockerfile instructions to run when another image builds on this one.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null::as_default")]
    pub on_build: Vec<String>,
    /// What shell-form commands are run by.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null::as_default")]
    pub shell: Vec<String>,
}

/// How to ask a container whether it is well (Docker's image format). Durations are nanoseconds, 0 means "inherit".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// Empty: inherit; `["NONE"]`; `["CMD", …]`; `["CMD-SHELL", command]`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null::as_default")]
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_nulls_and_unknown_fields_are_read() {
        let json = br#"{"architecture":"amd64","variant":null,"os":"linux","created":"2024-01-02T03:04:05Z",
            "config":{"Hostname":"","User":"","Env":["A=b"],"Cmd":["sh"],"Entrypoint":null,"Volumes":null,
              "ExposedPorts":{"80/tcp":{}},"Labels":null,"OnBuild":null,
              "Healthcheck":{"Test":["CMD","true"],"Interval":5000000000}},
            "container_config":{"Image":"x"},"docker_version":"20.10","history":[{"created_by":"x","empty_layer":true}],
            "rootfs":{"type":"layers","diff_ids":null}}"#;
        let image = ImageConfig::parse(json).unwrap();
        assert_eq!(image.platform.to_string(), "linux/amd64");
        assert_eq!(image.config.cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(image.config.entrypoint, None);
        assert!(image.config.exposed_ports.contains_key("80/tcp"));
        assert_eq!(image.config.healthcheck.as_ref().unwrap().interval, 5_000_000_000);
        assert!(image.history[0].empty_layer);
        assert_eq!(ImageConfig::parse(&image.to_json()), Ok(image));
    }

    #[test]
    fn what_is_no_image_configuration_is_refused() {
        for bad in
            ["", "[]", "{}", r#"{"rootfs":{"type":"other"}}"#, r#"{"rootfs":{"type":"layers","diff_ids":["x"]}}"#]
        {
            assert!(ImageConfig::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
