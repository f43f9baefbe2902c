//! The client: connections, credentials and what was learned of hosts, shared by everything that is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use oci::Reference;
use stdx::Result;
use ureq::http::Method;

use crate::ask;
use crate::auth::Scope;
use crate::body;
use crate::error::Deed;
use crate::host::Host;
use crate::proxy::Proxies;
use crate::repository::{Access, Repository};
use crate::session::{Endpoint, Question, Target};
use crate::transport::Transport;
use crate::{Config, Credential, Credentials};

/// Talks to registries. Clones share everything; any number of threads may use one at a time.
#[derive(Clone)]
pub struct Client {
    pub(crate) context: Arc<Context>,
}

/// What all questions have in common.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) credentials: Credentials,
    pub(crate) transport: Transport,
    /// By the names of registries and of mirrors.
    endpoints: Mutex<HashMap<String, Vec<Arc<Endpoint>>>>,
    notes: Mutex<Vec<String>>,
}

/// More would be a fault repeated, not news.
const MOST_NOTES: usize = 32;

impl Context {
    /// Leaves word of what went wrong without being an error.
    pub(crate) fn note(&self, note: String) {
        let mut notes = self.notes.lock().expect("nothing panics with the lock held");
        if notes.len() < MOST_NOTES && !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// A registry and, before it, its mirrors.
    pub(crate) fn endpoints(&self, registry: &str) -> Result<Vec<Arc<Endpoint>>> {
        let mut known = self.endpoints.lock().expect("nothing panics with the lock held");
        if let Some(endpoints) = known.get(registry) {
            return Ok(endpoints.clone());
        }
        let mut hosts = Host::mirrors(&self.config, registry)?;
        hosts.push(Host::registry(&self.config, registry)?);
        let endpoints: Vec<_> = hosts.into_iter().map(|host| Arc::new(Endpoint::new(host))).collect();
        known.insert(registry.to_owned(), endpoints.clone());
        Ok(endpoints)
    }

    /// The registry itself.
    pub(crate) fn registry(&self, registry: &str) -> Result<Arc<Endpoint>> {
        Ok(self.endpoints(registry)?.pop().expect("a registry comes after its mirrors"))
    }
}

impl Client {
    /// A client with these settings, and the proxies that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    /// Nothing is asked yet.
    pub fn new(config: &Config, credentials: Credentials) -> Result<Self> {
        Ok(Self::through(config, credentials, Proxies::from_env(|name| std::env::var(name).ok())))
    }

    fn through(config: &Config, credentials: Credentials, proxies: Proxies) -> Self {
        let transport = Transport::new(config, proxies);
        let config = config.clone();
        let (endpoints, notes) = (Mutex::default(), Mutex::default());
        Self { context: Arc::new(Context { config, credentials, transport, endpoints, notes }) }
    }

    /// A repository, to read it or to write into it; tag and digest of the reference do not matter. An invalid registry
    /// or mirror is told by the first question.
    pub fn repository(&self, name: &Reference, access: Access) -> Repository {
        Repository::new(self.context.clone(), name, access)
    }

    /// Asks a registry whether it is one, and whether it accepts the credentials there are for it.
    pub fn ping(&self, registry: &str) -> Result<()> {
        let endpoint = self.context.registry(registry)?;
        let scope = Scope::default();
        let mut question = Question::new(Method::GET, Target::path("/v2/"), &scope);
        let deed = Deed::new("answer", "version 2 of the protocol");
        body::discard(ask::ask(&self.context, &endpoint, &deed, &mut question, &[200])?);
        Ok(())
    }

    /// Verifies a name and a password with a registry. Returns what is to be [stored](Credentials::store): the password,
    /// or the token that the registry wants to be shown instead of it.
    pub fn login(&self, registry: &str, user: &str, password: &str) -> Result<Credential> {
        let credential = Credential::Password { user: user.to_owned(), password: password.to_owned() };
        let endpoint = Endpoint::new(Host::registry(&self.context.config, registry)?);
        endpoint.auth.use_only(credential.clone());
        let scope = Scope::default();
        let mut question = Question::new(Method::GET, Target::path("/v2/"), &scope);
        let deed = Deed::new("log in", format!("user {user:?}"));
        body::discard(ask::ask(&self.context, &endpoint, &deed, &mut question, &[200])?);
        Ok(endpoint.auth.identity().unwrap_or(credential))
    }

    /// What went wrong without being an error since this was asked last: mirrors passed over, helpers that failed.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.context.notes.lock().expect("nothing panics with the lock held"))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
