//! A directory with a `config.json` (runtime-spec, bundle.md).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci::runtime_spec::Spec;
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Error, Kind, Result};

/// Larger configurations are refused.
pub const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// A bundle read from disk.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its directory; relative paths in the configuration start here.
    pub dir: PathBuf,
    /// Its configuration.
    pub spec: Spec,
}

impl Bundle {
    /// Reads `dir/config.json`.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let mut bytes = Vec::new();
        let file = File::open(&path).context(|| format!("cannot open {path:?}"))?;
        file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes).context(|| format!("cannot read {path:?}"))?;
        if bytes.len() as u64 > MAX_CONFIG_BYTES {
            return Err(Error::invalid(format!("{path:?} is larger than {MAX_CONFIG_BYTES} bytes")));
        }
        let spec = serde_json::from_slice(&bytes).context(|| format!("cannot parse {path:?}"));
        let spec = spec.map_err(|error| error.kinded(Kind::Invalid))?;
        Ok(Self { dir: dir.to_owned(), spec })
    }

    /// Writes `dir/config.json`; the directory exists.
    pub fn save(dir: &Path, spec: &Spec) -> Result<()> {
        let bytes = serde_json::to_vec(spec).context(|| "cannot write the runtime configuration".into())?;
        atomic_write(&dir.join("config.json"), &bytes, Durability::Scratch)
    }
}
