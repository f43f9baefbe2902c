//! What a user can ask of a build.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::containers::options::Network;
use jiff::Timestamp;
use oci::runtime_spec::{Resources, Rlimit};
use oci::{Platform, Reference};
use stdx::{Error, Result};

use crate::context::{ContextSource, DockerfileSource};

/// When a base image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pull {
    /// When it is not here.
    #[default]
    Missing,
    Always,
    Never,
}

/// The options of `build`.
#[derive(Debug, Default)]
pub struct Options {
    pub context: ContextSource,
    pub dockerfile: DockerfileSource,
    /// Further contexts, by name: a directory, or an image as `docker-image://NAME`.
    pub contexts: BTreeMap<String, String>,
    /// The stage that becomes the image; the last one if none is named.
    pub target: Option<String>,
    pub tags: Vec<Reference>,
    /// Only the files are wanted: no image is made of them.
    pub files_only: bool,
    pub build_args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub platform: Option<Platform>,
    pub pull: Pull,
    pub no_cache: bool,
    /// Names of stages whose steps are made again.
    pub no_cache_stages: Vec<String>,
    /// What is given to steps and kept nowhere, by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Sockets of agents, by id.
    pub agents: BTreeMap<String, PathBuf>,
    /// The network of steps that do not say.
    pub network: Network,
    /// Steps may ask for the host's network.
    pub allow_host_network: bool,
    /// Steps may ask for all privileges.
    pub allow_insecure: bool,
    /// `(name, address)`.
    pub extra_hosts: Vec<(String, String)>,
    pub resources: Resources,
    pub nano_cpus: Option<i64>,
    pub cgroup_parent: Option<String>,
    pub ulimits: Vec<Rlimit>,
    /// Bytes of `/dev/shm` in steps.
    pub shm_size: Option<u64>,
}

/// The argument that says when everything was made.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

impl Options {
    /// The time that everything is to have been made at.
    pub(crate) fn epoch(&self) -> Result<Option<Timestamp>> {
        let Some(text) = self.build_args.get(EPOCH).filter(|text| !text.is_empty()) else { return Ok(None) };
        let seconds = text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        let invalid = || Error::invalid(format!("invalid {EPOCH} {text:?}: it is seconds since 1970"));
        seconds.map(Some).ok_or_else(invalid)
    }

    /// The platform the image is for.
    pub(crate) fn target_platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }

    /// The arguments that are there without being given (reference: "Automatic platform ARGs").
    pub(crate) fn platform_args(&self) -> BTreeMap<String, String> {
        let mut args = BTreeMap::new();
        for (prefix, platform) in [("TARGET", self.target_platform()), ("BUILD", Platform::host())] {
            let parts = [
                ("PLATFORM", platform.to_string()),
                ("OS", platform.os.clone()),
                ("ARCH", platform.architecture.clone()),
                ("VARIANT", platform.variant.clone().unwrap_or_default()),
            ];
            args.extend(parts.map(|(name, value)| (format!("{prefix}{name}"), value)));
        }
        args.insert("TARGETSTAGE".to_owned(), self.target.clone().unwrap_or_else(|| "default".to_owned()));
        args
    }
}
