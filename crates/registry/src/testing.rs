//! A registry in this process, honest until it is told not to be: for the tests of this crate and of those above it.
//!
//! ```text
//! let server = Server::start();                          // plain, open to everybody
//! let layer = server.put_blob("a/b", b"…");
//! server.fail("GET", "/blobs/", Fault::Cut(1000));       // once
//! … Reference::parse(&format!("{}/a/b", server.host())) …
//! assert_eq!(server.asked("GET", "/blobs/").len(), 2);
//! ```

pub mod certificates;
mod fault;
mod http;
mod routes;
mod store;
mod tokens;

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use oci::{BlobDigest, Descriptor};

pub use fault::Fault;
pub use http::Asked;

use fault::Faults;
use store::Store;
use tokens::Tokens;

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub enum Guard {
    /// Everybody.
    #[default]
    Open,
    /// Who knows the password.
    Basic { user: String, password: String },
    /// Who has a token; the password is needed for everything but pulling.
    Token { user: String, password: String },
}

/// How a server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub guard: Guard,
    /// TLS, with this.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// In place of its own address in challenges.
    pub realm: Option<String>,
    /// Told to who uploads, and insisted on.
    pub smallest_chunk: Option<u64>,
    /// Refuses larger requests with 413.
    pub largest_request: Option<u64>,
    /// How many tags a page has, at most.
    pub page: Option<usize>,
    /// Has no cross-repository mounts.
    pub no_mounts: bool,
}

/// A running registry; dropping it ends it and every connection.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    options: Options,
    store: Store,
    tokens: Tokens,
    faults: Faults,
    asked: Mutex<Vec<Asked>>,
    /// Those that ended are none.
    connections: Mutex<Vec<Option<TcpStream>>>,
    is_stopped: AtomicBool,
}

/// Both directions of a connection, encrypted or not.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Server {
    /// A plain server on a loopback port of the kernel's choice.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// One that differs from the usual.
    pub fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("a bound socket has an address"),
            options,
            store: Store::default(),
            tokens: Tokens::default(),
            faults: Faults::default(),
            asked: Mutex::default(),
            connections: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        let listener = thread::spawn(move || accepting.accept(&listener));
        Self { shared, listener: Some(listener) }
    }

    /// `127.0.0.1:PORT`: the registry's part of a reference.
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// An absolute URL of this server.
    pub fn url(&self, path: &str) -> String {
        self.shared.url(path)
    }

    /// Makes a blob.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Descriptor {
        let digest = self.shared.store.put_blob(repository, bytes.to_vec());
        Descriptor::new("application/octet-stream", digest, bytes.len() as u64)
    }

    /// Makes a manifest under a tag.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> BlobDigest {
        self.shared.store.put_manifest(repository, Some(tag), media_type, bytes.to_vec())
    }

    /// A blob that is there.
    pub fn blob(&self, repository: &str, digest: BlobDigest) -> Option<Vec<u8>> {
        self.shared.store.blob(repository, digest).map(|bytes| bytes.to_vec())
    }

    /// The bytes and the media type of a manifest that is there, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(Vec<u8>, String)> {
        self.shared.store.manifest(repository, reference).map(|manifest| (manifest.bytes.to_vec(), manifest.media_type))
    }

    /// The next request of this method (any if empty) whose path contains this text goes wrong.
    pub fn fail(&self, method: &str, path: &str, fault: Fault) {
        self.fail_times(1, method, path, fault);
    }

    /// The same for as many requests.
    pub fn fail_times(&self, times: usize, method: &str, path: &str, fault: Fault) {
        self.shared.faults.add(times, method, path, fault);
    }

    /// Every request of this method (any if empty) whose path contains this text, in order of arrival.
    pub fn asked(&self, method: &str, path: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock().expect("no thread panics with the lock held");
        asked.iter().filter(|asked| asked.is(method, path)).cloned().collect()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().expect("no thread panics with the lock held").len()
    }

    /// Tokens given from now on are for this long.
    pub fn set_token_life(&self, seconds: u64) {
        self.shared.tokens.set_life(seconds);
    }

    /// Tokens given so far are worth nothing.
    pub fn revoke_tokens(&self) {
        self.shared.tokens.revoke();
    }

    /// Passwords are answered with this token as well, and it is taken in their place.
    pub fn set_identity_token(&self, token: &str) {
        self.shared.tokens.set_identity(token);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for connection in self.shared.connections.lock().expect("no thread panics with the lock held").iter().flatten()
        {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn url(&self, path: &str) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if self.is_stopped.load(Ordering::SeqCst) {
                return;
            }
            let kept = stream.try_clone().ok();
            let mut connections = self.connections.lock().expect("no thread panics with the lock held");
            let number = connections.len();
            connections.push(kept);
            drop(connections);
            let shared = self.clone();
            thread::spawn(move || {
                // A connection ends as it likes: what counts is what the client makes of it.
                let _ = shared.serve(stream);
                // The last handle: now it is closed.
                shared.connections.lock().expect("no thread panics with the lock held")[number] = None;
            });
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        match &self.options.tls {
            None => self.converse(stream),
            Some(config) => {
                let connection = rustls::ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                self.converse(rustls::StreamOwned::new(connection, stream))
            }
        }
    }

    fn converse(&self, stream: impl Stream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = http::Request::read(&mut stream)? {
            self.asked.lock().expect("no thread panics with the lock held").push(request.asked.clone());
            let fault = self.faults.take(&request.asked);
            if !self.answer(request, fault, &mut stream)? {
                return Ok(());
            }
        }
        Ok(())
    }
}
