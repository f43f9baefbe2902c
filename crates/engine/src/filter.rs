//! Which of many things are meant: what `--filter` says.

mod containers;

use std::collections::BTreeMap;

use jiff::Timestamp;
use store::Image;

pub use containers::{ContainerFilter, state_of};

/// What containers and images have in common.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only what was made before.
    pub until: Option<Timestamp>,
    /// `KEY` or `KEY=VALUE`: only what has all of these labels,
    pub labels: Vec<String>,
    /// and none of these.
    pub without_labels: Vec<String>,
}

impl Filter {
    /// Whether something made then, with these labels, is meant.
    pub fn suits(&self, created: Option<Timestamp>, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|own| own == value),
            None => labels.contains_key(wanted),
        };
        self.until.is_none_or(|until| created.is_some_and(|created| created < until))
            && self.labels.iter().all(has)
            && !self.without_labels.iter().any(has)
    }
}

/// Which images are meant.
#[derive(Debug, Clone, Default)]
pub struct ImageFilter {
    pub common: Filter,
    /// Only what was made before each of these.
    pub before: Vec<Timestamp>,
    /// Only those without a name, or only those with one.
    pub dangling: Option<bool>,
    /// Only what was made after each of these.
    pub since: Vec<Timestamp>,
    /// Patterns of names, with or without a tag (`*` does not go beyond a slash): one has to suit.
    pub references: Vec<String>,
}

impl ImageFilter {
    /// Whether an image is meant.
    pub fn suits(&self, image: &Image) -> bool {
        let created = image.created();
        let is_dangling = image.names.is_empty() && image.digests.is_empty();
        self.common.suits(created, &image.config.config.labels)
            && self.dangling.is_none_or(|dangling| dangling == is_dangling)
            && self.before.iter().all(|before| created.is_some_and(|created| created < *before))
            && self.since.iter().all(|since| created.is_some_and(|created| created > *since))
            && (self.references.is_empty() || image.names.iter().any(|name| self.suits_name(name)))
    }

    /// Whether a name of an image is meant: of several, those that are not are not shown.
    pub fn suits_name(&self, name: &oci::Reference) -> bool {
        let suits = |pattern: &String| {
            let whole = dockerfile::matches_path(pattern, &name.familiar());
            // A pattern that is none suits nothing.
            whole.unwrap_or(false) || dockerfile::matches_path(pattern, &name.familiar_name()).unwrap_or(false)
        };
        self.references.is_empty() || self.references.iter().any(suits)
    }
}
