//! What happens to containers, images and volumes, written down by whoever does it: a line of JSON in one journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stdx::Result;
use stdx::journal::Journal;

use crate::config;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Container,
    Image,
    Volume,
    Network,
}

impl Kind {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub kind: Kind,
    /// Docker's word; some have more after a colon, as in `health_status: healthy`.
    pub action: String,
    /// What it happened to.
    pub id: String,
    pub attributes: BTreeMap<String, String>,
    pub at: Timestamp,
}

impl Event {
    /// Something that happens now.
    pub fn now(kind: Kind, action: impl Into<String>, id: impl Into<String>, attributes: Attributes) -> Self {
        Self { kind, action: action.into(), id: id.into(), attributes: attributes.0, at: Timestamp::now() }
    }

    /// Writes it down. One that cannot be is lost: what happened has happened, and must not fail for that.
    pub fn emit(&self, journal: &Journal) {
        if let Ok(line) = serde_json::to_string(self) {
            let _ = journal.append(&line);
        }
    }
}

/// What is known of what an event happened to, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes(pub BTreeMap<String, String>);

impl Attributes {
    /// The same with one more.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }
}

/// A container as events show it, in its run directory: whoever has something to tell reads it then, so a new name is told
/// from the moment it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The journal's directory.
    pub journal: PathBuf,
    pub id: String,
    /// Its labels, image and name.
    pub attributes: Attributes,
    /// The volumes it uses.
    pub volumes: Vec<String>,
}

const FILE: &str = "actor.json";

impl Actor {
    /// Writes it into a run directory.
    pub fn save(&self, dir: &Path) -> Result<()> {
        config::save(self, &dir.join(FILE))
    }
}

/// Tells what happens to the container of a run directory.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    dir: PathBuf,
}

impl Teller {
    /// For the container whose run directory is `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Something happened to it.
    pub(crate) fn tell(&self, action: &str, more: Attributes) {
        let Some(actor) = self.actor() else { return };
        let mut attributes = actor.attributes;
        attributes.0.extend(more.0);
        Event::now(Kind::Container, action, actor.id, attributes).emit(&Journal::new(actor.journal));
    }

    /// It uses its volumes no more.
    pub(crate) fn tell_of_volumes(&self) {
        let Some(actor) = self.actor() else { return };
        let journal = Journal::new(actor.journal);
        for volume in actor.volumes {
            let attributes = Attributes::default().with("container", &actor.id).with("driver", "local");
            Event::now(Kind::Volume, "unmount", volume, attributes).emit(&journal);
        }
    }

    fn actor(&self) -> Option<Actor> {
        config::load(&self.dir.join(FILE)).ok()
    }
}
