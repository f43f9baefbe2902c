//! A repository: the place that the protocol's verbs apply to.

use std::sync::Arc;

use oci::Reference;
use stdx::Result;

use crate::ask;
use crate::auth::Scope;
use crate::client::Context;
use crate::error::Failure;
use crate::session::Endpoint;

/// What is going to be done, so that one token suffices for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, from mirrors too.
    Pull,
    /// Reading and writing, from the registry itself alone: what a mirror has, the registry may not have.
    Push,
}

/// A repository of a registry. Cheap to clone; usable from several threads at a time.
#[derive(Clone)]
pub struct Repository {
    pub(crate) context: Arc<Context>,
    pub(crate) name: Reference,
    pub(crate) scope: Scope,
    access: Access,
}

impl Repository {
    pub(crate) fn new(context: Arc<Context>, name: &Reference, access: Access) -> Self {
        let scope = match access {
            Access::Pull => Scope::pull(name.path()),
            Access::Push => Scope::push(name.path()),
        };
        Self { context, name: name.repository(), scope, access }
    }

    /// The hosts to read from, in order.
    pub(crate) fn sources(&self) -> Result<Vec<Arc<Endpoint>>> {
        match self.access {
            Access::Pull => self.context.endpoints(self.name.registry()),
            Access::Push => Ok(vec![self.registry()?]),
        }
    }

    /// The registry itself.
    pub(crate) fn registry(&self) -> Result<Arc<Endpoint>> {
        self.context.registry(self.name.registry())
    }

    /// Reads from the first host that has it.
    pub(crate) fn read<T>(&self, ask: impl FnMut(&Arc<Endpoint>) -> Result<T, Failure>) -> Result<T> {
        ask::first(&self.context, &self.sources()?, ask)
    }

    /// Below the root of the API.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.name.path())
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("name", &self.name.to_string()).field("access", &self.access).finish()
    }
}
