//! Which containers are meant: what `ps --filter` says.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use monitor::State;
use monitor::health::Status;
use network::ports::Protocol;
use oci::DiffId;
use regex_lite::Regex;
use stdx::{Error, Result};

use super::Filter;
use crate::Engine;
use crate::containers::options::MountKind;
use crate::containers::record::RecordImage;
use crate::containers::{Container, find, health, pause, wait};

/// Docker's filters: of each kind one has to suit, of the labels all.
#[derive(Debug, Default)]
pub struct ContainerFilter {
    labels: Filter,
    /// Beginnings of ids.
    ids: Vec<String>,
    names: Vec<Regex>,
    exit_codes: Vec<i32>,
    states: Vec<String>,
    ancestors: Vec<Ancestor>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    volumes: Vec<String>,
    networks: Vec<String>,
    health: Vec<String>,
    /// Published ports, and ports that are said to be listened on.
    published: Vec<Ports>,
    exposed: Vec<Ports>,
    /// Nothing is a service's task.
    nothing: bool,
}

#[derive(Debug)]
enum Ancestor {
    Host,
    /// An image by its layers: those that begin with the same ones stand on it.
    Layers(Vec<DiffId>),
    Unknown,
}

const STATES: [&str; 7] = ["created", "dead", "exited", "paused", "removing", "restarting", "running"];
const HEALTH: [&str; 4] = ["healthy", "none", "starting", "unhealthy"];

impl ContainerFilter {
    /// Reads `KEY=VALUE` as it is typed.
    ///
    /// # Errors
    /// `Invalid` for a key or a value there is not; `NotFound` for a container that `before` or `since` names.
    pub fn parse(engine: &Engine, words: &[String]) -> Result<Self> {
        let mut filter = Self::default();
        for word in words {
            let invalid = || Error::invalid(format!("invalid filter \"{word}\""));
            let (key, value) = word.split_once('=').ok_or_else(|| invalid().hint("as in KEY=VALUE"))?;
            let one_of = |known: &[&str]| {
                let found = known.contains(&value).then(|| value.to_owned());
                found.ok_or_else(|| invalid().hint(format!("it is one of {}", known.join(", "))))
            };
            let owned = value.to_owned();
            match key {
                "id" => filter.ids.push(owned),
                "name" => {
                    // Docker's own names begin with a slash, and so do patterns that people know.
                    let pattern = value.strip_prefix("^/").map_or(owned, |rest| format!("^{rest}"));
                    filter.names.push(Regex::new(&pattern).map_err(|_| invalid().hint("it is a regular expression"))?);
                }
                "label" => filter.labels.labels.push(owned),
                "label!" => filter.labels.without_labels.push(owned),
                "exited" => filter.exit_codes.push(value.parse().map_err(|_| invalid().hint("it is a number"))?),
                "status" => filter.states.push(one_of(&STATES)?),
                "health" => filter.health.push(one_of(&HEALTH)?),
                "ancestor" => filter.ancestors.push(Ancestor::find(engine, value)?),
                "before" => filter.before = Some(find::find(engine, value)?.record.created),
                "since" => filter.since = Some(find::find(engine, value)?.record.created),
                "volume" => filter.volumes.push(owned),
                "network" => filter.networks.push(owned),
                "publish" | "expose" => {
                    let list = if key == "publish" { &mut filter.published } else { &mut filter.exposed };
                    list.push(Ports::parse(value).ok_or_else(|| invalid().hint("as in 80, 80/tcp or 8000-8010"))?);
                }
                "is-task" => filter.nothing |= one_of(&["true", "false"])? == "true",
                "isolation" => {
                    return Err(Error::unsupported(format!(
                        "invalid filter \"{word}\": isolation is a word of Windows"
                    )));
                }
                _ => {
                    return Err(invalid().hint(
                        "ancestor, before, exited, expose, health, id, is-task, label, name, network, publish, since, \
                         status or volume",
                    ));
                }
            }
        }
        Ok(filter)
    }

    /// Whether it speaks of containers that do not run: then `ps` looks at all.
    pub fn asks_for_state(&self) -> bool {
        !self.states.is_empty() || !self.exit_codes.is_empty()
    }

    /// Whether a container is meant.
    pub fn suits(&self, engine: &Engine, container: &Container) -> bool {
        let record = &container.record;
        let any =
            |list: &[String], suits: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|text| suits(text));
        !self.nothing
            && self.labels.suits(None, &record.process.labels)
            && any(&self.ids, &|id| record.id.starts_with(id))
            && (self.names.is_empty() || self.names.iter().any(|name| name.is_match(&record.name)))
            && (self.exit_codes.is_empty() || has_exited(container, &self.exit_codes))
            && any(&self.states, &|state| state == state_of(engine, container))
            && any(&self.health, &|health| health == health_of(engine, container))
            && (self.ancestors.is_empty() || self.ancestors.iter().any(|image| image.carries(engine, container)))
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && has_port(&self.published, record.options.ports.iter().map(|port| (port.container_port, port.protocol)))
            && has_port(&self.exposed, record.options.expose.iter().copied())
            && any(&self.volumes, &|volume| has_volume(container, volume))
            && any(&self.networks, &|network| {
                record.options.namespaces.network.names().iter().any(|name| name == network)
            })
    }
}

impl Ancestor {
    fn find(engine: &Engine, text: &str) -> Result<Self> {
        if text == crate::images::host::NAME {
            return Ok(Self::Host);
        }
        match engine.store()?.resolve(text) {
            Ok(image) => Ok(Self::Layers(image.diff_ids().to_vec())),
            Err(error) if error.kind() == stdx::Kind::NotFound => Ok(Self::Unknown),
            Err(error) => Err(error),
        }
    }

    fn carries(&self, engine: &Engine, container: &Container) -> bool {
        match (self, &container.record.image) {
            (Self::Host, RecordImage::Host) => true,
            (Self::Layers(layers), RecordImage::Stored { id, .. }) => {
                let image = engine.store().and_then(|store| store.image(id));
                image.is_ok_and(|image| image.diff_ids().starts_with(layers))
            }
            _ => false,
        }
    }
}

/// Docker's word for how a container is.
pub fn state_of(engine: &Engine, container: &Container) -> &'static str {
    match &container.state {
        None | Some(State::Created { .. } | State::Failed { .. }) => "created",
        Some(State::Running { .. }) if pause::is_paused(engine, &container.record.id) => "paused",
        Some(State::Running { .. }) => "running",
        Some(State::Restarting { .. }) => "restarting",
        Some(State::Exited(_)) => "exited",
    }
}

fn health_of(engine: &Engine, container: &Container) -> &'static str {
    health::health(engine, &container.record).map_or("none", |health| Status::name(health.status))
}

fn has_exited(container: &Container, codes: &[i32]) -> bool {
    matches!(container.state, Some(State::Exited(_))) && codes.contains(&wait::last_exit_code(container))
}

/// By the volume's name, or by where something is mounted.
fn has_volume(container: &Container, text: &str) -> bool {
    container.record.options.mounts.iter().any(|mount| {
        let source = match &mount.kind {
            MountKind::Volume { name, .. } => name.clone(),
            MountKind::Bind { source, .. } => source.to_str().map(str::to_owned),
            MountKind::Tmpfs { .. } => None,
        };
        mount.target.trim_end_matches('/') == text.trim_end_matches('/') || source.as_deref() == Some(text)
    })
}

fn has_port(wanted: &[Ports], mut own: impl Iterator<Item = (u16, Protocol)>) -> bool {
    wanted.is_empty()
        || own.any(|(port, protocol)| {
            wanted.iter().any(|ports| ports.range.contains(&port) && ports.protocol == protocol)
        })
}

/// `80`, `80/tcp`, `8000-8010/udp`.
#[derive(Debug)]
struct Ports {
    range: RangeInclusive<u16>,
    protocol: Protocol,
}

impl Ports {
    fn parse(text: &str) -> Option<Self> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let range: RangeInclusive<u16> = first.parse().ok()?..=last.parse().ok()?;
        (!range.is_empty()).then_some(Self { range, protocol: Protocol::parse(protocol)? })
    }
}
