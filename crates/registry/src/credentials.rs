//! Who somebody is at which registry: Docker's `config.json`, and the helpers that it names.

mod file;
mod helper;

use std::path::PathBuf;

use stdx::Result;

use file::File;

/// What is shown to a registry or to its token server.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        user: String,
        password: String,
    },
    /// Exchanged for tokens at the token server.
    IdentityToken(String),
    /// Shown as it is.
    RegistryToken(String),
}

/// Secrets stay out of messages.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::RegistryToken(_) => f.write_str("RegistryToken"),
        }
    }
}

/// Where credentials are kept. Files are read when something is asked, so a login is seen by who runs already.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// In the order in which they are asked; logins go to the first.
    files: Vec<File>,
}

impl Credentials {
    /// No credentials: everything is asked for as anybody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of this user, by the environment: `DOCKER_CONFIG/config.json` alone if the variable is set; otherwise
    /// `tare/config.json` below `XDG_CONFIG_HOME` or `~/.config` if it is there, then `~/.docker/config.json`.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let dir = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(dir) = dir("DOCKER_CONFIG") {
            return Self::at([dir.join("config.json")]);
        }
        let home = dir("HOME");
        let config = dir("XDG_CONFIG_HOME").or_else(|| Some(home.clone()?.join(".config")));
        let own = config.map(|dir| dir.join("tare/config.json")).filter(|path| path.exists());
        Self::at(own.into_iter().chain(home.map(|home| home.join(".docker/config.json"))))
    }

    /// These files, which need not exist.
    pub fn at(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: paths.into_iter().map(File::new).collect() }
    }

    /// What is stored for a registry (`docker.io`, `HOST[:PORT]`), in the first file that has something.
    pub fn get(&self, registry: &str) -> Result<Option<Credential>> {
        for file in &self.files {
            if let Some(found) = file.get(registry)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Stores a credential. Returns the file it went into in plain text, if it did not go to a helper.
    pub fn store(&self, registry: &str, credential: &Credential) -> Result<Option<PathBuf>> {
        self.first()?.store(registry, credential)
    }

    /// Forgets what is stored for a registry, wherever it is. Whether there was something.
    pub fn erase(&self, registry: &str) -> Result<bool> {
        let mut was_there = false;
        for file in &self.files {
            was_there |= file.erase(registry)?;
        }
        Ok(was_there)
    }

    fn first(&self) -> Result<&File> {
        self.files
            .first()
            .ok_or_else(|| stdx::Error::not_found("no place to keep credentials").hint("set HOME or DOCKER_CONFIG"))
    }
}

#[cfg(test)]
mod tests;
