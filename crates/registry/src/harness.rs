//! What the unit tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::Reference;

use crate::testing::{Guard, Options, Server};
use crate::{Access, Client, Config, Credentials, Repository};

pub(crate) const USER: &str = "captain";
pub(crate) const PASSWORD: &str = "har:bour é";
pub(crate) const NAME: &str = "team/app";

/// Settings with which nothing takes long.
pub(crate) fn quick() -> Config {
    let millisecond = Duration::from_millis(1);
    Config {
        ca_dirs: Vec::new(),
        pause: millisecond,
        longest_pause: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(5),
        commit_timeout: Duration::from_secs(5),
        ..Config::default()
    }
}

/// The same, and little patience with streams that stand still.
pub(crate) fn impatient() -> Config {
    Config { stall_timeout: Duration::from_millis(600), ..quick() }
}

pub(crate) fn client(config: &Config) -> Client {
    Client::new(config, Credentials::none()).unwrap()
}

pub(crate) fn reference(server: &Server, name: &str) -> Reference {
    Reference::parse(&format!("{}/{name}", server.host())).unwrap()
}

/// A repository of a server, read by anybody.
pub(crate) fn pull(server: &Server) -> Repository {
    client(&quick()).repository(&reference(server, NAME), Access::Pull)
}

/// The same, written by anybody.
pub(crate) fn push(server: &Server) -> Repository {
    client(&quick()).repository(&reference(server, NAME), Access::Push)
}

/// A client that knows a server's password.
pub(crate) fn knowing(server: &Server, dir: &Dir) -> Client {
    Client::new(&quick(), dir.credentials(&server.host())).unwrap()
}

pub(crate) fn guarded(guard: Guard) -> Server {
    Server::with(Options { guard, ..Options::default() })
}

pub(crate) fn by_token() -> Server {
    guarded(Guard::Token { user: USER.into(), password: PASSWORD.into() })
}

pub(crate) fn by_password() -> Server {
    guarded(Guard::Basic { user: USER.into(), password: PASSWORD.into() })
}

/// Bytes that differ from place to place.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A directory of a test's own, removed with it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tare-registry-{}", stdx::id::random_hex(8)));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Credentials with the password for a registry.
    pub(crate) fn credentials(&self, registry: &str) -> Credentials {
        let credentials = Credentials::at([self.path("config.json")]);
        let credential = crate::Credential::Password { user: USER.into(), password: PASSWORD.into() };
        credentials.store(registry, &credential).unwrap();
        credentials
    }
}

impl AsRef<Path> for Dir {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
