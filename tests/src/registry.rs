//! The field's own registry, on a loopback port of the kernel's choice: plain and open, or behind TLS and a password.
//!
//! [`Server`](registry::testing::Server), in this process, is for what a good registry never does.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use registry::testing::certificates::Authority;

use crate::fixture;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Who may enter a [`Secure`] registry, and how.
const USER: &str = "captain";
const PASSWORD: &str = "har:bour";
const HTPASSWD: &str = "captain:$2y$05$KMygPiqpsRW7V6C74xDtue7Bwwf3.TShzlUzygqiYniT2GmhpX4wa\n";

/// Plain HTTP, open to everybody. Stopped and removed when dropped.
#[derive(Debug)]
pub struct Plain(Process);

/// TLS with a certificate of its own authority, and a password. Stopped and removed when dropped.
#[derive(Debug)]
pub struct Secure(Process);

impl Plain {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        Self(Process::start("", |_| ()))
    }

    /// `127.0.0.1:PORT`: the registry's part of a reference.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Where it keeps what it is given.
    pub fn data_dir(&self) -> PathBuf {
        self.0.dir.join("data")
    }
}

impl Secure {
    /// Starts one and waits until it listens. Its certificate is for `127.0.0.1` and `localhost`.
    pub fn start() -> Self {
        const MORE: &str = "  tls: {certificate: DIR/server.crt, key: DIR/server.key}
auth: {htpasswd: {realm: tests, path: DIR/htpasswd}}
";
        Self(Process::start(MORE, |dir| {
            let authority = Authority::new("tests");
            let identity = authority.identity(&["127.0.0.1", "localhost"]);
            fs::write(dir.join("ca.crt"), authority.pem()).unwrap();
            fs::write(dir.join("server.crt"), identity.certificate_pem()).unwrap();
            fs::write(dir.join("server.key"), identity.key_pem()).unwrap();
            fs::write(dir.join("htpasswd"), HTPASSWD).unwrap();
        }))
    }

    /// `127.0.0.1:PORT`: the registry's part of a reference.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// The certificate of the authority that signed the server's.
    pub fn ca(&self) -> PathBuf {
        self.0.dir.join("ca.crt")
    }

    /// A directory as `/etc/docker/certs.d` is one, with the authority of this registry.
    pub fn certs_dir(&self) -> PathBuf {
        let dir = self.0.dir.join("certs.d");
        let own = dir.join(self.address());
        fs::create_dir_all(&own).unwrap();
        fs::copy(self.ca(), own.join("ca.crt")).unwrap();
        dir
    }

    /// The name that may enter.
    pub fn user(&self) -> &str {
        USER
    }

    /// Its password.
    pub fn password(&self) -> &str {
        PASSWORD
    }

    /// Where it keeps what it is given.
    pub fn data_dir(&self) -> PathBuf {
        self.0.dir.join("data")
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    address: String,
    dir: PathBuf,
}

impl Process {
    fn start(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tare-registry-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        prepare(&dir);
        let config = "version: 0.1
log: {level: info, formatter: json, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: DIR/data}, delete: {enabled: true}}
http:
  addr: 127.0.0.1:0
";
        let config = format!("{config}{more}").replace("DIR", dir.to_str().unwrap());
        fs::write(dir.join("config.yml"), config).unwrap();
        let mut command = Command::new(fixture("docker-registry"));
        command.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = listening(&mut log);
        // It must not wait for somebody to read what it says.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let mut process = Self { child, address: String::new(), dir };
        process.address = address.unwrap_or_else(|said| panic!("the registry does not listen:\n{said}"));
        process
    }
}

/// The address in the line that says where it listens, or everything it said instead.
fn listening(log: &mut impl BufRead) -> Result<String, String> {
    let mut said = String::new();
    loop {
        let start = said.len();
        if log.take(1 << 16).read_line(&mut said).unwrap() == 0 {
            return Err(said);
        }
        if let Some((_, rest)) = said[start..].split_once("listening on ") {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':'))).unwrap_or(rest.len());
            return Ok(rest[..end].to_owned());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
