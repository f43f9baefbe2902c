//! A client of registries: the distribution protocol, with the ways around it that the field has come to rely on
//! (token servers, Docker's `config.json`, mirrors, plain HTTP on loopback).
//!
//! Blocking and without a runtime: a [`Client`] is shared by as many threads as there are transfers, and keeps
//! connections between them. [`Client::repository`] opens a [`Repository`], whose methods are the protocol's verbs.
//!
//! ```text
//! Repository   one verb a method (manifest, blob, push_blob, …): what to ask and how to read the answer
//!    ask       one question until it is answered: mirrors, then retries with back-off
//!    session   one exchange with one host: authorization, redirects
//!    transport one HTTP request on a pooled connection: TLS, proxies, time limits
//! ```
//!
//! Servers are hostile until proven otherwise: every body that is parsed has a limit, what has a digest is compared
//! with it, and credentials go to the host they belong to and nowhere else.

mod ask;
mod auth;
mod blob;
mod body;
mod client;
mod config;
mod credentials;
mod error;
#[cfg(test)]
mod harness;
mod host;
mod manifest;
mod proxy;
mod push;
mod repository;
mod retry;
mod search;
mod session;
mod tags;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tls;
mod transport;
mod url;

pub use auth::challenge;
pub use blob::BlobReader;
pub use client::Client;
pub use config::Config;
pub use credentials::{Credential, Credentials};
pub use manifest::{Fetched, Which};
pub use push::Pushed;
pub use repository::{Access, Repository};
pub use search::Found;
