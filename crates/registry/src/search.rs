//! Searching, which only Docker Hub offers, by an interface older than the protocol.

use serde::Deserialize;
use stdx::{Error, Result};
use ureq::http::Method;

use crate::auth::Scope;
use crate::client::Client;
use crate::config::Config;
use crate::error::Deed;
use crate::host::Host;
use crate::session::{Endpoint, Question, Target};
use crate::{ask, body};

const INDEX: &str = "index.docker.io";
const LARGEST: u64 = 4 << 20;

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Found {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub star_count: u64,
    #[serde(default)]
    pub is_official: bool,
    #[serde(default)]
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Answer {
    results: Option<Vec<Found>>,
}

impl Client {
    /// The repositories of Docker Hub that fit a term, at most `limit` (1 to 100). A term that names another registry is
    /// refused: there is no way to ask it.
    pub fn search(&self, term: &str, limit: u32) -> Result<Vec<Found>> {
        let term = hub_term(term)?;
        if !(1..=100).contains(&limit) {
            return Err(Error::invalid(format!("limit {limit} is outside the range of [1, 100]")));
        }
        let host = Host { name: "docker.io".to_owned(), ..Host::registry(&Config::default(), INDEX)? };
        self.search_at(&Endpoint::new(host), term, limit)
    }

    fn search_at(&self, endpoint: &Endpoint, term: &str, limit: u32) -> Result<Vec<Found>> {
        let scope = Scope::default();
        let query = vec![("q", term.to_owned()), ("n", limit.to_string())];
        let mut question = Question::new(Method::GET, Target::Path("/v1/search".to_owned(), query), &scope);
        let deed = Deed::new("search for", format!("{term:?}"));
        let document = ask::document(&self.context, endpoint, &deed, &mut question, LARGEST)?;
        let answer: Answer = body::json(&document.head, &document.bytes)?;
        let mut found = answer.results.unwrap_or_default();
        found.truncate(limit as usize);
        Ok(found)
    }
}

fn hub_term(term: &str) -> Result<&str> {
    let (first, rest) = term.split_once('/').unwrap_or(("", term));
    match first {
        "docker.io" | INDEX => Ok(rest),
        host if host.contains(['.', ':']) || host == "localhost" => {
            Err(Error::unsupported(format!("registry {host:?} cannot be searched: only Docker Hub can")))
        }
        _ if term.is_empty() => Err(Error::invalid("nothing to search for")),
        _ => Ok(term),
    }
}

#[cfg(test)]
mod tests;
