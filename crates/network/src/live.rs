//! How a running container is joined to networks.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Result};

use crate::{Endpoint, Mapping};

/// The file of this in a container's run directory. One that is gone is of a container that does not run.
const FILE: &str = "network.json";

/// Everything that the host has for one running container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Its places in networks: the first has `eth0`.
    pub endpoints: Vec<Endpoint>,
    /// Its ports on the host.
    pub ports: Vec<Mapping>,
    /// Its first process on the host, once it has one.
    pub pid: Option<i32>,
    /// The resolver answers its questions.
    pub has_names: bool,
    /// Whom the resolver asks for it; none: whom the host asks.
    pub name_servers: Vec<IpAddr>,
}

impl Live {
    /// Whether any of its networks has a way out.
    pub fn leads_out(&self) -> bool {
        self.endpoints.iter().any(|endpoint| !endpoint.gateways.is_empty())
    }

    /// Reads it from the run directory of a container; `None` if there is none.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            bytes => {
                let bytes = bytes.context(|| format!("cannot read {path:?}"))?;
                serde_json::from_slice(&bytes).map(Some).context(|| format!("cannot parse {path:?}"))
            }
        }
    }

    /// Replaces it.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).context(|| "cannot write how a container is joined to networks".into())?;
        atomic_write(&dir.join(FILE), &bytes, Durability::Scratch)
    }

    /// Forgets it: nothing of it is left on the host.
    pub fn forget(dir: &Path) {
        // One that stays is taken back once more, when the container is removed.
        let _ = fs::remove_file(dir.join(FILE));
    }

    /// That of every container whose run directory is in `dir`, by its id.
    pub fn all(dir: &Path) -> Result<Vec<(String, Self)>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(|| format!("cannot list {dir:?}"))?,
        };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            all.extend(Self::load(&entry.path())?.map(|live| (name, live)));
        }
        Ok(all)
    }
}
