//! One `config.json`. Fields that are not understood are kept as they are.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value, json};
use stdx::atomic_write::{Durability, atomic_write_private};
use stdx::{Context, Error, Result};

use super::{Credential, helper};

/// Docker Hub's key, from before the protocol had a second version.
const HUB_KEY: &str = "https://index.docker.io/v1/";
const LARGEST: u64 = 4 << 20;

#[derive(Debug, Clone)]
pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn get(&self, registry: &str) -> Result<Option<Credential>> {
        let config = self.read()?;
        if let Some(helper) = helper_for(&config, registry) {
            if let Some(found) = helper::get(helper, key(registry))? {
                return Ok(Some(found));
            }
        }
        match entry(&config, registry) {
            Some((name, entry)) => credential(entry).map_err(|why| {
                Error::invalid(format!("{:?} has no usable credentials for {name:?}: {why}", self.path))
            }),
            None => Ok(None),
        }
    }

    pub(super) fn store(&self, registry: &str, credential: &Credential) -> Result<Option<PathBuf>> {
        self.change(|config| {
            let auths = object(config, "auths");
            auths.retain(|name, _| !is_key(name, registry));
            let helper = helper_for(config, registry).map(str::to_owned);
            if let Some(helper) = helper {
                helper::store(&helper, key(registry), credential)?;
                // Docker notes that the helper has it by an empty entry.
                object(config, "auths").insert(key(registry).to_owned(), json!({}));
                return Ok((true, None));
            }
            object(config, "auths").insert(key(registry).to_owned(), to_json(credential));
            Ok((true, Some(self.path.clone())))
        })
    }

    pub(super) fn erase(&self, registry: &str) -> Result<bool> {
        if !self.path.exists() {
            return Ok(false);
        }
        self.change(|config| {
            let mut was_there = false;
            if let Some(helper) = helper_for(config, registry) {
                was_there = helper::get(helper, key(registry))?.is_some();
                helper::erase(helper, key(registry))?;
            }
            let auths = object(config, "auths");
            let before = auths.len();
            auths.retain(|name, _| !is_key(name, registry));
            let is_changed = auths.len() != before;
            Ok((is_changed, was_there || is_changed))
        })
    }

    fn read(&self) -> Result<Map<String, Value>> {
        let message = || format!("cannot read {:?}", self.path);
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
            metadata => {
                let size = metadata.context(message)?.len();
                if size > LARGEST {
                    return Err(Error::invalid(format!("{:?} is too large: {size} bytes", self.path)));
                }
            }
        }
        let bytes = fs::read(&self.path).context(message)?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        serde_json::from_slice(&bytes).map_err(|error| Error::invalid(format!("{:?} is invalid: {error}", self.path)))
    }

    /// Reads, changes and writes while nobody else does; written only if `change` says so.
    fn change<T>(&self, change: impl FnOnce(&mut Map<String, Value>) -> Result<(bool, T)>) -> Result<T> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let message = || format!("cannot create {dir:?}");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).context(message)?;
        let locked = fs::File::open(dir).context(message)?;
        flock(&locked, FlockOperation::LockExclusive).context(|| format!("cannot lock {dir:?}"))?;
        let mut config = self.read()?;
        let (is_changed, answer) = change(&mut config)?;
        if is_changed {
            // A link is somebody's arrangement: what it points to is replaced, not the link.
            let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
            atomic_write_private(&path, &pretty(&config), Durability::Synced)?;
        }
        Ok(answer)
    }
}

/// With tabs, as Docker writes it.
fn pretty(config: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(config, &mut serializer).expect("a map of JSON values is JSON");
    bytes.push(b'\n');
    bytes
}

fn object<'a>(config: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = config.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was made one")
}

fn key(registry: &str) -> &str {
    if registry == oci::reference::DEFAULT_REGISTRY { HUB_KEY } else { registry }
}

/// Whether an entry is for a registry: its name, or a URL of it as older versions wrote.
fn is_key(name: &str, registry: &str) -> bool {
    let host = |text: &str| {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_ascii_lowercase()
    };
    match registry {
        oci::reference::DEFAULT_REGISTRY => {
            matches!(host(name).as_str(), "index.docker.io" | "docker.io" | "registry-1.docker.io")
        }
        // `host/namespace` is a narrower thing, which nothing of this file's makers writes.
        _ => host(name) == registry.to_ascii_lowercase() && (name.contains("://") || !name.contains('/')),
    }
}

fn entry<'a>(config: &'a Map<String, Value>, registry: &str) -> Option<(&'a str, &'a Value)> {
    let auths = config.get("auths")?.as_object()?;
    let exact = auths.get_key_value(key(registry));
    let found = exact.or_else(|| auths.iter().find(|(name, _)| is_key(name, registry)))?;
    Some((found.0.as_str(), found.1))
}

fn helper_for<'a>(config: &'a Map<String, Value>, registry: &str) -> Option<&'a str> {
    let own = config.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
        let exact = helpers.get(registry);
        exact.or_else(|| helpers.iter().find(|(name, _)| is_key(name, registry)).map(|(_, helper)| helper))
    });
    own.or_else(|| config.get("credsStore")).and_then(Value::as_str).filter(|name| !name.is_empty())
}

fn credential(entry: &Value) -> Result<Option<Credential>, String> {
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::IdentityToken(token.to_owned())));
    }
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credential::RegistryToken(token.to_owned())));
    }
    if let Some(auth) = text("auth") {
        let decoded = BASE64_STANDARD.decode(auth.trim()).map_err(|error| error.to_string())?;
        let decoded = String::from_utf8(decoded).map_err(|_| "\"auth\" is not text".to_owned())?;
        let (user, password) = decoded.split_once(':').ok_or("\"auth\" has no colon")?;
        let password = password.trim_end_matches('\0');
        return Ok(Some(Credential::Password { user: user.to_owned(), password: password.to_owned() }));
    }
    match (text("username"), text("password")) {
        (Some(user), Some(password)) => {
            Ok(Some(Credential::Password { user: user.to_owned(), password: password.to_owned() }))
        }
        _ => Ok(None),
    }
}

fn to_json(credential: &Credential) -> Value {
    match credential {
        Credential::Password { user, password } => {
            json!({"auth": BASE64_STANDARD.encode(format!("{user}:{password}"))})
        }
        Credential::IdentityToken(token) => json!({"identitytoken": token}),
        Credential::RegistryToken(token) => json!({"registrytoken": token}),
    }
}
