//! Who asks: basic authorization, or a token from the server that the registry names.

pub mod challenge;
mod token;

use std::collections::HashMap;
use std::sync::Mutex;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use stdx::{Error, Kind};

use crate::Credential;
use crate::client::Context;
use crate::error::Failure;
use crate::host;
use crate::session::Endpoint;
use crate::transport::Response;
use crate::url::{Scheme, Url};
use challenge::Challenge;
use token::Token;

/// What a question needs the right to do: `repository:library/busybox:pull`, none or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope(Vec<String>);

impl Scope {
    pub(crate) fn pull(path: &str) -> Self {
        Self(vec![format!("repository:{path}:pull")])
    }

    pub(crate) fn push(path: &str) -> Self {
        Self(vec![format!("repository:{path}:pull,push")])
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    fn key(&self) -> String {
        self.0.join(" ")
    }

    fn changes_something(&self) -> bool {
        self.0.iter().any(|scope| scope.contains("push"))
    }

    /// What the registry asks for, in its own words, beside what is needed.
    fn with_words(&self, words: Option<&str>) -> Vec<String> {
        let mut scopes = self.0.clone();
        for word in words.unwrap_or_default().split_whitespace() {
            if !scopes.iter().any(|scope| scope == word) {
                scopes.push(word.to_owned());
            }
        }
        scopes
    }
}

/// How one host wants to be asked, and what it was shown so far.
#[derive(Default)]
pub(crate) struct Auth(Mutex<State>);

#[derive(Default)]
struct State {
    way: Way,
    tokens: HashMap<String, Token>,
    /// Looked up when it is first needed.
    credential: Option<Option<Credential>>,
    /// A login: the credential is not to be replaced by what is stored, and an identity token is welcome.
    is_login: bool,
    identity: Option<Credential>,
}

#[derive(Default, Clone)]
enum Way {
    #[default]
    Open,
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
    },
}

/// What a question shows.
pub(crate) struct Shown {
    /// The value of `Authorization`.
    pub(crate) value: String,
    /// Fetched for this very question: another one would please no better.
    is_new: bool,
}

/// A token server and what it is asked for.
struct Wanted<'a> {
    realm: &'a Url,
    service: Option<&'a str>,
    scopes: &'a [String],
}

impl Auth {
    /// Logs in with this credential and no other.
    pub(crate) fn use_only(&self, credential: Credential) {
        let mut state = self.state();
        state.credential = Some(Some(credential));
        state.is_login = true;
    }

    /// The token that came for the password of a login.
    pub(crate) fn identity(&self) -> Option<Credential> {
        self.state().identity.clone()
    }

    /// The value of `Authorization` for a question, as far as is known before it is asked.
    pub(crate) fn header(
        &self,
        context: &Context,
        endpoint: &Endpoint,
        scope: &Scope,
    ) -> Result<Option<Shown>, Failure> {
        let mut state = self.state();
        let known = |value| Shown { value, is_new: false };
        match state.way.clone() {
            Way::Open => Ok(None),
            Way::Basic => {
                let credential = state.credential(context, endpoint, scope)?;
                Ok(credential.as_ref().and_then(basic).map(known))
            }
            Way::Bearer { realm, service } => {
                if let Some(token) = state.tokens.get(&scope.key()).filter(|token| token.is_fresh()) {
                    return Ok(Some(known(token.header())));
                }
                let wanted = Wanted { realm: &realm, service: service.as_deref(), scopes: &scope.0 };
                let value = state.fetch(context, endpoint, scope, &wanted)?;
                Ok(Some(Shown { value, is_new: true }))
            }
        }
    }

    /// Reads why a question was turned down. Whether it is worth asking again with what [`header`](Self::header) now gives.
    pub(crate) fn challenged(
        &self,
        context: &Context,
        endpoint: &Endpoint,
        response: &Response,
        scope: &Scope,
        shown: Option<&Shown>,
    ) -> Result<bool, Failure> {
        let mut state = self.state();
        let values = response.head.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Challenge> = values.flat_map(challenge::parse).collect();
        if let Some(bearer) = challenges.iter().find(|challenge| challenge.is("bearer")) {
            let realm = realm(endpoint, response, bearer)?;
            let service = bearer.parameter("service").map(str::to_owned);
            let scopes = scope.with_words(bearer.parameter("scope"));
            let is_news = shown.is_none_or(|shown| !shown.is_new) || scopes != scope.0;
            state.way = Way::Bearer { realm: realm.clone(), service: service.clone() };
            if is_news {
                let wanted = Wanted { realm: &realm, service: service.as_deref(), scopes: &scopes };
                state.fetch(context, endpoint, scope, &wanted)?;
            }
            return Ok(is_news);
        }
        if challenges.iter().any(|challenge| challenge.is("basic")) {
            state.way = Way::Basic;
            let header = state.credential(context, endpoint, scope)?.as_ref().and_then(basic);
            return Ok(header.is_some() && header.as_deref() != shown.map(|shown| shown.value.as_str()));
        }
        match challenges.first() {
            Some(other) => {
                let message =
                    format!("{} wants authorization {:?}, which is not supported", endpoint.who(), other.scheme);
                Err(Error::unsupported(message).into())
            }
            None => Ok(false),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics with the lock held")
    }
}

impl State {
    /// What is stored for a host. To pull, a helper that fails is no reason to fail: most of what is pulled is public.
    fn credential(
        &mut self,
        context: &Context,
        endpoint: &Endpoint,
        scope: &Scope,
    ) -> Result<Option<Credential>, Failure> {
        if let Some(known) = &self.credential {
            return Ok(known.clone());
        }
        let found = match context.credentials.get(&endpoint.host.name) {
            Err(error) if !scope.changes_something() => {
                context.note(error.to_string());
                None
            }
            found => found?,
        };
        self.credential = Some(found.clone());
        Ok(found)
    }

    /// Fetches a token and keeps it for questions of this scope.
    fn fetch(
        &mut self,
        context: &Context,
        endpoint: &Endpoint,
        scope: &Scope,
        wanted: &Wanted<'_>,
    ) -> Result<String, Failure> {
        let credential = self.credential(context, endpoint, scope)?;
        let token = token::fetch(context, endpoint, wanted, credential.as_ref(), self.is_login)?;
        if let (true, Some(identity)) = (self.is_login, &token.identity) {
            self.identity = Some(Credential::IdentityToken(identity.clone()));
        }
        let header = token.header();
        self.tokens.insert(scope.key(), token);
        Ok(header)
    }
}

/// `Basic …` for a name and a password.
fn basic(credential: &Credential) -> Option<String> {
    match credential {
        Credential::Password { user, password } => {
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
        }
        Credential::IdentityToken(_) | Credential::RegistryToken(_) => None,
    }
}

/// The token server that a challenge names. Credentials go there: encrypted, if the registry's own connection is.
fn realm(endpoint: &Endpoint, response: &Response, bearer: &Challenge) -> Result<Url, Failure> {
    let text = bearer.parameter("realm").unwrap_or_default();
    let refuse = |why: &str| {
        let message = format!("{} sends to the token server {text:?}, {why}", endpoint.who());
        Err(Error::new(Kind::Corrupt, message).into())
    };
    match Url::parse(text) {
        None => refuse("which is no URL"),
        Some(url) if response.head.url.origin.scheme == Scheme::Https && url.origin.scheme == Scheme::Http => {
            refuse("which is not encrypted")
        }
        Some(url) if host::is_here(&url.origin.host) && !host::is_here(&response.head.url.origin.host) => {
            refuse("which is this machine")
        }
        Some(url) => Ok(url),
    }
}

#[cfg(test)]
mod tests;
