//! `/etc/tare/config.toml`: what the administrator decides. Read when something needs it, by most commands never.

use std::io::ErrorKind;
use std::path::PathBuf;

use serde::Deserialize;
use stdx::{Context, Error, Result};

/// Where the settings are unless `TARE_CONFIG` says otherwise.
const PATH: &str = "/etc/tare/config.toml";

/// The whole file. What is not in it has a default; what nobody knows is refused by name.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) registry: registry::Config,
    pub(crate) build: Build,
}

/// What builds may do.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Build {
    /// How large their cache may become, as in `20g`.
    pub(crate) keep_storage: Option<String>,
}

impl Settings {
    /// Reads the file; without one, everything has its default.
    pub(crate) fn read() -> Result<Self> {
        let asked = std::env::var_os("TARE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let path = asked.clone().unwrap_or_else(|| PathBuf::from(PATH));
        let message = || format!("cannot read settings {path:?}");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && asked.is_none() => return Ok(Self::default()),
            text => text.context(message)?,
        };
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::invalid(format!("{}: line {line}: {}", message(), error.message()))
        })
    }
}
