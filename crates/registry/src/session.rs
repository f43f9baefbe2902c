//! One exchange with one host: authorization is added where it belongs, and redirects are followed.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use stdx::{Error, Result};
use ureq::http::Method;

use crate::auth::{Auth, Scope, Shown};
use crate::body;
use crate::client::Context;
use crate::error::Failure;
use crate::host::{self, Host};
use crate::tls;
use crate::transport::{Patience, Payload, Request, Response};
use crate::url::{Scheme, Url};

const REDIRECTS: usize = 5;

/// A host, and what was learned of it since this process began to talk with it.
pub(crate) struct Endpoint {
    pub(crate) host: Host,
    base: Mutex<Option<Url>>,
    pub(crate) auth: Auth,
    /// Nobody was there: not asked again.
    is_gone: AtomicBool,
}

/// Makes the bytes of a request anew, as often as it is sent.
pub(crate) type Open<'a> = &'a mut dyn FnMut() -> Result<Box<dyn Read + 'a>>;

/// What goes with a question.
pub(crate) enum Source<'a> {
    None,
    Bytes(&'a [u8]),
    Stream(u64, Open<'a>),
}

/// What to ask of a host.
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) source: Source<'a>,
    pub(crate) patience: Patience,
    pub(crate) scope: &'a Scope,
}

/// Where a question goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// Below the root of the API, with parameters.
    Path(String, Vec<(&'static str, String)>),
    /// Where the host said.
    Url(Url),
}

impl Target {
    pub(crate) fn path(path: impl Into<String>) -> Self {
        Self::Path(path.into(), Vec::new())
    }

    fn url(&self, base: &Url) -> Url {
        match self {
            Self::Path(path, query) => query.iter().fold(base.below(path), |url, (name, value)| url.with(name, value)),
            Self::Url(url) => url.clone(),
        }
    }
}

impl<'a> Question<'a> {
    pub(crate) fn new(method: Method, target: Target, scope: &'a Scope) -> Self {
        Self { method, target, headers: Vec::new(), source: Source::None, patience: Patience::Document, scope }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn source(mut self, source: Source<'a>) -> Self {
        self.source = source;
        self
    }

    pub(crate) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

impl Endpoint {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, base: Mutex::default(), auth: Auth::default(), is_gone: AtomicBool::new(false) }
    }

    /// How messages name it.
    pub(crate) fn who(&self) -> String {
        let what = if self.host.is_mirror { "mirror" } else { "registry" };
        format!("{what} \"{}\"", self.host.name)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    pub(crate) fn give_up(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    /// The root of the API. Where TLS may fail, it is found out once which way the host speaks, without credentials.
    pub(crate) fn base(&self, context: &Context) -> Result<Url, Failure> {
        let mut found = self.base.lock().expect("nothing panics with the lock held");
        if let Some(base) = &*found {
            return Ok(base.clone());
        }
        let base = match self.host.bases.as_slice() {
            [only] => only.clone(),
            several => self.first_to_answer(context, several)?,
        };
        *found = Some(base.clone());
        Ok(base)
    }

    fn first_to_answer(&self, context: &Context, bases: &[Url]) -> Result<Url, Failure> {
        let mut first = None;
        for base in bases {
            let request = Request {
                method: Method::GET,
                url: base.below("/v2/"),
                headers: Vec::new(),
                payload: Payload::None,
                patience: Patience::Document,
            };
            match context.transport.send(request) {
                // What a server says that is spoken to in plain HTTP and wants TLS.
                Ok(response) if response.status == 400 => body::discard(response),
                Ok(response) => {
                    body::discard(response);
                    return Ok(base.clone());
                }
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        Err(first.unwrap_or_else(|| Error::corrupt(format!("{} does not speak the protocol", self.who())).into()))
    }

    /// Asks once, or twice if the host wants to know who asks.
    pub(crate) fn exchange(&self, context: &Context, question: &mut Question<'_>) -> Result<Response, Failure> {
        let base = self.base(context)?;
        let mut url = question.target.url(&base);
        let (mut is_challenged, mut redirects) = (false, 0);
        loop {
            let is_own = url.origin == base.origin;
            let authorization = if is_own { self.auth.header(context, self, question.scope)? } else { None };
            let response = send(context, question, &url, authorization.as_ref())?;
            if response.status == 401 && is_own && !is_challenged {
                is_challenged = true;
                if self.auth.challenged(context, self, &response, question.scope, authorization.as_ref())? {
                    body::discard(response);
                    continue;
                }
                return Ok(response);
            }
            let Some(to) = redirect(context, question, &response)? else { return Ok(response) };
            redirects += 1;
            if redirects > REDIRECTS {
                let message = format!("{} redirects more than {REDIRECTS} times", self.who());
                return Err(Error::corrupt(message).into());
            }
            body::discard(response);
            url = to;
        }
    }
}

fn send(
    context: &Context,
    question: &mut Question<'_>,
    url: &Url,
    authorization: Option<&Shown>,
) -> Result<Response, Failure> {
    let mut headers = question.headers.clone();
    headers.extend(authorization.map(|shown| ("authorization", shown.value.clone())));
    let mut opened;
    let payload = match &mut question.source {
        Source::None => Payload::None,
        Source::Bytes(bytes) => Payload::Bytes(bytes),
        Source::Stream(length, open) => {
            opened = open()?;
            Payload::Stream(*length, &mut opened)
        }
    };
    let (method, patience) = (question.method.clone(), question.patience);
    context.transport.send(Request { method, url: url.clone(), headers, payload, patience })
}

/// Where an answer leads, if it leads anywhere.
fn redirect(context: &Context, question: &Question<'_>, response: &Response) -> Result<Option<Url>, Failure> {
    let reads = question.method == Method::GET || question.method == Method::HEAD;
    let is_redirect = match response.status {
        301..=303 => reads,
        307 | 308 => true,
        _ => false,
    };
    if !is_redirect {
        return Ok(None);
    }
    let from = &response.head.url;
    let location = response.head.header("location").unwrap_or_default();
    let to = lead(context, from, location).map_err(|why| {
        Error::corrupt(format!(
            "{:?} redirects to {:?}, {why}",
            from.shown(),
            location.split('?').next().unwrap_or_default()
        ))
    })?;
    Ok(Some(to))
}

/// Where a text from a host leads, or why nobody goes there.
pub(crate) fn lead(context: &Context, from: &Url, text: &str) -> Result<Url, &'static str> {
    let to = from.join(text).ok_or("which is no URL")?;
    let is_lowered = from.origin.scheme == Scheme::Https && to.origin.scheme == Scheme::Http;
    if is_lowered && tls::is_verified(&context.config, &to.origin.authority()) {
        return Err("which is not encrypted");
    }
    // What listens here was not made to be asked by strangers through us.
    if host::is_here(&to.origin.host) && !host::is_here(&from.origin.host) {
        return Err("which is this machine");
    }
    Ok(to)
}

#[cfg(test)]
mod tests;
