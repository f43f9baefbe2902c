//! Which certificates are believed and shown: the system's authorities, those of a host's own directory, and none where
//! the administrator wants none.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stdx::{Context, Error, Kind, Result};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};

use crate::url::Origin;
use crate::{Config, host};

/// Where distributions keep the authorities they trust, as one file.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-bundle.crt",
];

/// Far above any bundle: the largest today are half a megabyte.
const LARGEST_FILE: u64 = 16 << 20;

type Certificates = Vec<Certificate<'static>>;

/// The system's authorities, read when they are first needed.
#[derive(Default)]
pub(crate) struct Roots(Mutex<Option<Arc<Certificates>>>);

impl Roots {
    fn get(&self) -> Result<Arc<Certificates>> {
        let mut cached = self.0.lock().expect("nothing panics with the lock held");
        if let Some(roots) = &*cached {
            return Ok(roots.clone());
        }
        let roots = Arc::new(system_roots()?);
        *cached = Some(roots.clone());
        Ok(roots)
    }
}

fn system_roots() -> Result<Certificates> {
    if let Some(path) = std::env::var_os("SSL_CERT_FILE") {
        return certificates(Path::new(&path));
    }
    match BUNDLES.iter().map(Path::new).find(|path| path.is_file()) {
        Some(path) => certificates(path),
        // A machine without any may still know its own registries' authorities.
        None => Ok(Vec::new()),
    }
}

/// Whether a host's certificate must hold. This machine's own registries go without, unless they have a directory of
/// authorities: who made one wants them checked.
pub(crate) fn is_verified(config: &Config, authority: &str) -> bool {
    if host::is_listed(&config.insecure, authority) {
        return false;
    }
    !host::is_here(authority) || directory(config, authority).is_some()
}

/// How TLS is spoken with a host.
pub(crate) fn settings(config: &Config, origin: &Origin, roots: &Roots) -> Result<TlsConfig> {
    let authority = origin.authority();
    let verified = is_verified(config, &authority);
    let own = match directory(config, &authority) {
        Some(dir) => Directory::read(&dir)?,
        None => Directory::default(),
    };
    let mut authorities = own.authorities;
    if verified {
        authorities.extend(roots.get()?.iter().cloned());
        if authorities.is_empty() {
            let message = format!("cannot verify \"{authority}\": this machine trusts no certificate authority");
            return Err(Error::new(Kind::NotFound, message).hint("install the package ca-certificates"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = TlsConfig::builder().provider(TlsProvider::Rustls).unversioned_rustls_crypto_provider(provider);
    let builder = builder.root_certs(RootCerts::new_with_certs(&authorities)).disable_verification(!verified);
    Ok(builder.client_cert(own.identity).build())
}

/// What lies in `DIR/HOST[:PORT]`.
#[derive(Default)]
struct Directory {
    authorities: Certificates,
    identity: Option<ClientCert>,
}

impl Directory {
    fn read(dir: &Path) -> Result<Self> {
        let entries = fs::read_dir(dir).context(|| format!("cannot list {dir:?}"))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut read = Self::default();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => read.authorities.extend(certificates(&path)?),
                Some("cert") => read.identity = Some(identity(&path)?),
                _ => {}
            }
        }
        Ok(read)
    }
}

fn directory(config: &Config, authority: &str) -> Option<PathBuf> {
    let names = [authority.to_owned(), format!("{authority}:443")];
    let candidates = config.ca_dirs.iter().flat_map(|dir| names.each_ref().map(|name| dir.join(name)));
    candidates.into_iter().find(|path| path.is_dir())
}

fn certificates(path: &Path) -> Result<Certificates> {
    let mut found = Vec::new();
    for item in parse_pem(&read(path)?) {
        // Bundles may hold what is not understood; a file without any certificate is a mistake.
        if let Ok(PemItem::Certificate(certificate)) = item {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(Error::invalid(format!("no certificate in {path:?}")));
    }
    Ok(found)
}

fn identity(path: &Path) -> Result<ClientCert> {
    let key_path = path.with_extension("key");
    let key = PrivateKey::from_pem(&read(&key_path)?)
        .map_err(|error| Error::invalid(format!("no usable private key in {key_path:?}: {error}")))?;
    Ok(ClientCert::new_with_certs(&certificates(path)?, key))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).context(|| format!("cannot read {path:?}"))?.len();
    if size > LARGEST_FILE {
        return Err(Error::invalid(format!("{path:?} is too large to be a certificate: {size} bytes")));
    }
    fs::read(path).context(|| format!("cannot read {path:?}"))
}
