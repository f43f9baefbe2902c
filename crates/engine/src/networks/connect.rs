//! `network connect` and `disconnect`: for the container as it runs, and for its next start.

use network::{Endpoint, Host, Live, Mapping, lease};
use stdx::{Error, Result};

use super::{find_locked, firewall, is_named, join, leases, live_of, lock, resolver};
use crate::Engine;
use crate::containers::options::{Attachment, Network};
use crate::containers::record::Record;
use crate::containers::{Container, etc, prepare};

/// Joins a container to one more network.
pub fn connect(engine: &Engine, container: &Container, place: &Attachment) -> Result<()> {
    let _container = container.record.lock(engine)?;
    let mut record = reload(engine, container)?;
    let _lock = lock(engine)?;
    let network = find_locked(engine, &place.network)?;
    let places = match &mut record.options.namespaces.network {
        Network::Joined(places) => places,
        other @ Network::None => {
            *other = Network::Joined(Vec::new());
            let Network::Joined(places) = other else { return Ok(()) };
            places
        }
        Network::Host | Network::Container(_) => {
            return Err(Error::conflict(format!(
                "cannot connect container {} to network {}: it shares a network with others",
                record.name, network.name
            )));
        }
    };
    if places.iter().any(|known| is_named(&network, &known.network)) {
        return Err(Error::conflict(format!(
            "container {} is joined to network {} already",
            record.name, network.name
        )));
    }
    places.push(Attachment { network: network.name.clone(), ..place.clone() });
    if let Some(pid) = running(engine, container)? {
        firewall(engine)?;
        let mut live = live_of(engine, &record.id)?.unwrap_or_else(|| Live { pid: Some(pid), ..Live::default() });
        let taken = |number: usize| live.endpoints.iter().any(|endpoint| endpoint.device == format!("eth{number}"));
        let number = (0..).find(|number| !taken(*number)).unwrap_or(0);
        let endpoint = join::endpoint(engine, &record, number, place, &network)?;
        let free = |ipv6| {
            !live.endpoints.iter().any(|known| known.gateway(ipv6).is_some()) && endpoint.gateway(ipv6).is_some()
        };
        let joined = endpoint.join(&mut Host::open()?, &network, pid, [free(false), free(true)], false);
        if joined.is_err() {
            // The first error is the one to report.
            let _ = lease::release(&leases(engine, &network), &record.id);
        }
        joined?;
        live.endpoints.push(endpoint);
        live.has_names |= join::has_names(std::slice::from_ref(&network));
        publish(engine, &record, &live)?;
    }
    record.save(&engine.dirs().container(&record.id))
}

/// Takes a container out of a network.
pub fn disconnect(engine: &Engine, container: &Container, text: &str, force: bool) -> Result<()> {
    let _container = container.record.lock(engine)?;
    let mut record = reload(engine, container)?;
    let _lock = lock(engine)?;
    let network = find_locked(engine, text)?;
    let not_in = || Error::conflict(format!("container {} is not joined to network {}", record.name, network.name));
    let Network::Joined(places) = &record.options.namespaces.network else { return Err(not_in()) };
    let rest: Vec<Attachment> = places.iter().filter(|place| !is_named(&network, &place.network)).cloned().collect();
    if rest.len() == places.len() {
        return Err(not_in());
    }
    if let (Some(pid), Some(mut live)) = (running(engine, container)?, live_of(engine, &record.id)?) {
        let (gone, kept) = live.endpoints.into_iter().partition(|endpoint| endpoint.network_id == network.id);
        live.endpoints = kept;
        let gone: Vec<Endpoint> = gone;
        for endpoint in &gone {
            match endpoint.leave(pid) {
                Err(_) if force => {}
                left => left?,
            }
            let (gone, kept) =
                live.ports.iter().partition(|port| endpoint.address(port.target.is_ipv6()) == Some(port.target));
            live.ports = kept;
            let gone: Vec<Mapping> = gone;
            firewall(engine)?.0.unpublish(&gone)?;
        }
        publish(engine, &record, &live)?;
    }
    lease::release(&leases(engine, &network), &record.id)?;
    // One that is in none has a loopback of its own, as with `--network=none`.
    record.options.namespaces.network = if rest.is_empty() { Network::None } else { Network::Joined(rest) };
    record.save(&engine.dirs().container(&record.id))
}

/// Lets the container and the resolver know how it is joined now.
fn publish(engine: &Engine, record: &Record, live: &Live) -> Result<()> {
    let run_dir = engine.dirs().container_run(&record.id);
    live.save(&run_dir)?;
    etc::write(engine, &run_dir, record, &prepare::hostname(record), Some(live))?;
    if live.has_names { resolver::tell(engine, &record.id) } else { Ok(()) }
}

fn reload(engine: &Engine, container: &Container) -> Result<Record> {
    let gone = || Error::not_found(format!("no such container: {}", container.record.name));
    Record::load(engine, &container.record.id)?.ok_or_else(gone)
}

/// The first process of the container, if it runs.
fn running(engine: &Engine, container: &Container) -> Result<Option<i32>> {
    let now = Container::load_locked(engine, &container.record.id)?;
    Ok(now.and_then(|now| match now.state {
        Some(monitor::State::Running { process, .. }) => Some(process.pid),
        _ => None,
    }))
}
