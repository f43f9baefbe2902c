//! `events`: what happens, read from the journal that everybody writes to, the monitors among them; see [`monitor::events`].

use std::time::Duration;

use jiff::Timestamp;
pub use monitor::events::Kind;
use monitor::events::{Actor, Attributes, Event};
use oci::ImageId;
use stdx::Result;
use stdx::journal::Journal;

use crate::Engine;
use crate::containers::Record;
use crate::volumes;

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// From here on; `None`: from now on.
    pub since: Option<Timestamp>,
    /// Up to here; `None`: for ever.
    pub until: Option<Timestamp>,
    pub filter: Filter,
}

/// What `--filter` says: of each list one has to suit, of the labels all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub kinds: Vec<String>,
    pub actions: Vec<String>,
    /// By name, id, or the beginning of an id.
    pub containers: Vec<String>,
    pub images: Vec<String>,
    pub volumes: Vec<String>,
    pub networks: Vec<String>,
    /// `KEY` or `KEY=VALUE`.
    pub labels: Vec<String>,
    /// `local` is all there is here.
    pub scopes: Vec<String>,
}

impl Filter {
    /// Whether an event is wanted.
    pub fn suits(&self, event: &Event) -> bool {
        let any =
            |list: &[String], suits: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|text| suits(text));
        let name = event.attributes.get("name").map(String::as_str);
        // The number of the image is not the image's name: that of a container is in its attributes.
        let is = |kind: Kind, text: &str| event.kind == kind && (event.id.starts_with(text) || name == Some(text));
        let has = |label: &String| match label.split_once('=') {
            Some((key, value)) => event.attributes.get(key).is_some_and(|own| own == value),
            None => event.attributes.contains_key(label),
        };
        let image = |text: &str| {
            let own = if event.kind == Kind::Image { name } else { event.attributes.get("image").map(String::as_str) };
            is(Kind::Image, text)
                || own.is_some_and(|own| own == text || own.rsplit_once(':').is_some_and(|(base, _)| base == text))
        };
        any(&self.kinds, &|text| text == event.kind.name())
            && any(&self.actions, &|text| event.action.split(':').next() == Some(text) || event.action == text)
            && any(&self.containers, &|text| is(Kind::Container, text))
            && any(&self.images, &image)
            && any(&self.volumes, &|text| is(Kind::Volume, text))
            && any(&self.networks, &|text| is(Kind::Network, text))
            && any(&self.scopes, &|text| text == "local")
            && self.labels.iter().all(has)
    }
}

/// Gives events to `each`, those of the past first, until the wanted time is over.
pub fn events(engine: &Engine, wanted: &Wanted, each: &mut dyn FnMut(&Event) -> Result<()>) -> Result<()> {
    let since = wanted.since.unwrap_or_else(Timestamp::now);
    let mut reader = journal(engine).read()?;
    loop {
        while let Some(line) = reader.next_line()? {
            // A line that a full disk has cut is passed over.
            let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
            let is_late = wanted.until.is_some_and(|until| event.at > until);
            if event.at >= since && !is_late && wanted.filter.suits(&event) {
                each(&event)?;
            }
        }
        let left = wanted.until.map(|until| until.duration_since(Timestamp::now()));
        match left.map(Duration::try_from) {
            None => reader.wait(None)?,
            Some(Ok(left)) if !left.is_zero() => reader.wait(Some(left))?,
            Some(_) => return Ok(()),
        }
    }
}

pub(crate) fn journal(engine: &Engine) -> Journal {
    Journal::new(engine.dirs().events())
}

/// Tells of a container; `more` is added to what is always told: its image, its name and its labels.
pub(crate) fn container(engine: &Engine, record: &Record, action: &str, more: Attributes) {
    let mut attributes = attributes(record);
    attributes.0.extend(more.0);
    Event::now(Kind::Container, action, &record.id, attributes).emit(&journal(engine));
}

/// Tells of a container what needs no more words.
pub fn of_container(engine: &Engine, record: &Record, action: &str) {
    container(engine, record, action, Attributes::default());
}

/// Tells of an image, by the name it is known by here.
pub fn image(engine: &Engine, id: &ImageId, name: &str, action: &str) {
    let attributes = Attributes::default().with("name", name);
    Event::now(Kind::Image, action, id.to_string(), attributes).emit(&journal(engine));
}

/// Tells of an image in a registry, which is its name.
pub(crate) fn remote_image(engine: &Engine, name: &str, action: &str) {
    let repository = name.split_once('@').map_or(name, |(name, _)| name);
    let repository =
        repository.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(repository, |(name, _)| name);
    let attributes = Attributes::default().with("name", repository);
    Event::now(Kind::Image, action, name, attributes).emit(&journal(engine));
}

/// Tells of a volume.
pub(crate) fn volume(engine: &Engine, name: &str, action: &str, more: Attributes) {
    Event::now(Kind::Volume, action, name, more.with("driver", "local")).emit(&journal(engine));
}

/// Tells how many bytes were freed.
pub(crate) fn pruned(engine: &Engine, kind: Kind, bytes: u64) {
    Event::now(kind, "prune", "", Attributes::default().with("reclaimed", bytes)).emit(&journal(engine));
}

/// A container as its monitor tells of it.
pub(crate) fn actor(engine: &Engine, record: &Record) -> Actor {
    Actor {
        journal: engine.dirs().events(),
        id: record.id.clone(),
        attributes: attributes(record),
        volumes: volumes::named_in(&record.options.mounts).map(str::to_owned).collect(),
    }
}

fn attributes(record: &Record) -> Attributes {
    Attributes(record.process.labels.clone()).with("image", record.image.name()).with("name", &record.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: Kind, action: &str, attributes: &[(&str, &str)]) -> Event {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Event { kind, action: action.into(), id: "abcdef".into(), attributes, at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn filters_are_dockers() {
        let health =
            event(Kind::Container, "health_status: healthy", &[("name", "box"), ("image", "busybox:1"), ("a", "b")]);
        let filter = |set: &dyn Fn(&mut Filter, String), text: &str| {
            let mut filter = Filter::default();
            set(&mut filter, text.to_owned());
            filter.suits(&health)
        };
        let actions = |f: &mut Filter, text| f.actions.push(text);
        assert!(filter(&actions, "health_status") && filter(&actions, "health_status: healthy"));
        assert!(!filter(&actions, "health"));
        let containers = |f: &mut Filter, text| f.containers.push(text);
        assert!(filter(&containers, "box") && filter(&containers, "abc") && !filter(&containers, "bo"));
        let images = |f: &mut Filter, text| f.images.push(text);
        assert!(filter(&images, "busybox") && filter(&images, "busybox:1") && !filter(&images, "busy"));
        let labels = |f: &mut Filter, text| f.labels.push(text);
        assert!(filter(&labels, "a") && filter(&labels, "a=b") && !filter(&labels, "a=c"));
        let kinds = |f: &mut Filter, text| f.kinds.push(text);
        assert!(filter(&kinds, "container") && !filter(&kinds, "image"));
        assert!(Filter { images: vec!["abc".into()], ..Filter::default() }.suits(&event(Kind::Image, "pull", &[])));
    }
}
