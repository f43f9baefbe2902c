//! One HTTP request on a pooled connection. Nothing of registries is known here but that servers may be hostile.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Mutex;
use std::time::Duration;

use stdx::{Error, Result};
use ureq::http::{self, HeaderMap, Method, header};
use ureq::{Agent, Proxy, SendBody, Timeout};

use crate::Config;
use crate::error::{Again, Failure};
use crate::proxy::Proxies;
use crate::tls::{self, Roots};
use crate::url::{Origin, Url};

const LARGEST_HEADERS: usize = 64 << 10;
/// Measured with a registry on loopback: see the decision page on this crate's dependencies.
const BUFFER: usize = 256 << 10;
const IDLE_CONNECTIONS: usize = 8;
/// Shorter than servers and the boxes between keep a silent connection.
const IDLE_AGE: Duration = Duration::from_secs(15);

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A document that is read whole: it has a limit in time as it has one in size.
    Document,
    /// A stream of any length that must not stand still.
    Stream,
    /// What the registry may have to copy and to hash before it answers.
    Commit,
}

/// What goes with a request.
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// Exactly this many bytes of a reader.
    Stream(u64, &'a mut dyn Read),
}

/// One request.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload<'a>,
    pub(crate) patience: Patience,
}

/// What came back: everything but the body is there.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: ureq::Body,
}

/// What stands before the body.
pub(crate) struct Head {
    pub(crate) headers: HeaderMap,
    /// Where it came from.
    pub(crate) url: Url,
}

impl Head {
    /// A header's text, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }
}

/// Connections to any number of hosts, kept between requests.
pub(crate) struct Transport {
    config: Config,
    proxies: Proxies,
    roots: Roots,
    agents: Mutex<HashMap<Origin, Agent>>,
}

impl Transport {
    pub(crate) fn new(config: &Config, proxies: Proxies) -> Self {
        Self { config: config.clone(), proxies, roots: Roots::default(), agents: Mutex::default() }
    }

    /// Sends a request and waits for the head of its answer. Redirects are answers like others.
    pub(crate) fn send(&self, request: Request<'_>) -> Result<Response, Failure> {
        let Request { method, url, headers, payload, patience } = request;
        let agent = self.agent(&url.origin)?;
        let mut builder = http::Request::builder().method(method.clone()).uri(url.to_string());
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let mut bytes: &[u8] = &[];
        let mut exact;
        let body: &mut dyn Read = match payload {
            // RFC 9110, section 8.6: what usually has a body says that it has none.
            Payload::None if method == Method::GET || method == Method::HEAD || method == Method::DELETE => {
                return self.run(&agent, builder.body(SendBody::none()), &url, patience);
            }
            Payload::None => {
                builder = builder.header(header::CONTENT_LENGTH, 0);
                &mut bytes
            }
            Payload::Bytes(given) => {
                builder = builder.header(header::CONTENT_LENGTH, given.len());
                bytes = given;
                &mut bytes
            }
            Payload::Stream(length, reader) => {
                builder = builder.header(header::CONTENT_LENGTH, length);
                exact = Exact { left: length, reader };
                &mut exact
            }
        };
        self.run(&agent, builder.body(SendBody::from_reader(body)), &url, patience)
    }

    fn run(
        &self,
        agent: &Agent,
        request: http::Result<http::Request<SendBody<'_>>>,
        url: &Url,
        patience: Patience,
    ) -> Result<Response, Failure> {
        let request = request.map_err(|error| Error::invalid(format!("cannot ask {:?}: {error}", url.shown())))?;
        let config = agent.configure_request(request);
        let request = match patience {
            Patience::Document => config.timeout_per_call(Some(self.config.stall_timeout * 4)).build(),
            // A head that comes byte by byte never stands still.
            Patience::Stream => config.timeout_recv_response(Some(self.config.stall_timeout * 4)).build(),
            Patience::Commit => {
                let limit = Some(self.config.commit_timeout);
                config.timeout_per_read(limit).timeout_recv_response(limit).build()
            }
        };
        let response = agent.run(request).map_err(|error| self.broken(url, error))?;
        let (parts, body) = response.into_parts();
        let head = Head { headers: parts.headers, url: url.clone() };
        Ok(Response { status: parts.status.as_u16(), head, body })
    }

    fn agent(&self, origin: &Origin) -> Result<Agent> {
        let mut agents = self.agents.lock().expect("nothing panics with the lock held");
        if let Some(agent) = agents.get(origin) {
            return Ok(agent.clone());
        }
        let agent = self.make_agent(origin)?;
        agents.insert(origin.clone(), agent.clone());
        Ok(agent)
    }

    fn make_agent(&self, origin: &Origin) -> Result<Agent> {
        let proxy = self.proxies.for_origin(origin).map(|text| {
            Proxy::new(text).map_err(|_| Error::invalid(format!("invalid proxy for \"{}\"", origin.authority())))
        });
        let mut builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("tare/", env!("CARGO_PKG_VERSION")))
            // A body that is compressed on its way has another length and another digest.
            .accept_encoding("identity")
            .proxy(proxy.transpose()?)
            .timeout_connect(Some(self.config.connect_timeout))
            .timeout_per_read(Some(self.config.stall_timeout))
            .timeout_per_write(Some(self.config.stall_timeout))
            .max_response_header_size(LARGEST_HEADERS)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections(2 * IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .max_idle_age(IDLE_AGE);
        if origin.scheme == crate::url::Scheme::Https {
            builder = builder.tls_config(tls::settings(&self.config, origin, &self.roots)?);
        }
        Ok(builder.build().new_agent())
    }

    fn broken(&self, url: &Url, error: ureq::Error) -> Failure {
        let host = url.origin.authority();
        let (words, again) = self.words(error);
        let through = if self.proxies.for_origin(&url.origin).is_some() { " through a proxy" } else { "" };
        let error = Error::new(stdx::Kind::Internal, format!("cannot reach \"{host}\"{through}: {words}"));
        let error = match self.config.ca_dirs.first().filter(|_| words.contains("peer certificate")) {
            Some(dir) => {
                let path = dir.join(&host).join("ca.crt");
                error.hint(format!("a certificate authority of its own is trusted as {}", path.display()))
            }
            None => error,
        };
        Failure::new(error, again)
    }

    fn words(&self, error: ureq::Error) -> (String, Again) {
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                let seconds = self.config.connect_timeout.as_secs_f32();
                (format!("no connection within {seconds} s"), Again::Unreachable)
            }
            ureq::Error::Timeout(_) => ("no answer in time".to_owned(), Again::Soon),
            ureq::Error::HostNotFound => ("no such host".to_owned(), Again::Unreachable),
            ureq::Error::ConnectProxyFailed(why) => (format!("the proxy failed: {why}"), Again::Unreachable),
            ureq::Error::Io(error) => describe_io(&error),
            error => (error.to_string(), Again::Never),
        }
    }
}

/// What a broken stream means, in words and for those who would try again.
pub(crate) fn describe_io(error: &io::Error) -> (String, Again) {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, InvalidInput, NetworkUnreachable};
    if let Some(inner) = error.get_ref() {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return (format!("TLS failed: {tls}"), Again::Never);
        }
        if let Some(ureq::Error::Timeout(_)) = inner.downcast_ref::<ureq::Error>() {
            return ("the stream stands still".to_owned(), Again::Soon);
        }
    }
    // The resolver asks as often as it is told to, and the standard library has no kind for what it says.
    let text = error.to_string();
    if text.starts_with("failed to lookup address information") {
        let why = text.split_once(": ").map_or("it is unknown", |(_, why)| why);
        return (format!("no such host: {}", why.to_lowercase()), Again::Unreachable);
    }
    let again = match error.kind() {
        ConnectionRefused | HostUnreachable | NetworkUnreachable => Again::Unreachable,
        InvalidInput => Again::Never,
        _ => Again::Soon,
    };
    (text.split(" (os error").next().unwrap_or(&text).to_lowercase(), again)
}

/// Exactly as many bytes as were announced: one that ends early must not leave the other side waiting.
struct Exact<'a> {
    left: u64,
    reader: &'a mut dyn Read,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it ends {} bytes early", self.left)));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
