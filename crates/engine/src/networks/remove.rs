//! `network rm` and `network prune`.

use std::fs;
use std::io::ErrorKind;

use network::firewall::Firewall;
use network::{Host, Network};
use stdx::remove_tree::remove_tree;
use stdx::{Context, Error, Kind, Result};

use super::{DEFAULT, all, dir, find, leases, live, lock, users};
use crate::Engine;
use crate::filter::Filter;

/// Removes a network that no running container is joined to.
pub fn remove(engine: &Engine, text: &str) -> Result<String> {
    if matches!(text, "host" | "none" | DEFAULT | "default") {
        return Err(Error::invalid(format!("network {text} is always there and cannot be removed")));
    }
    let _lock = lock(engine)?;
    let network = find(engine, text)?.network;
    remove_locked(engine, &network)?;
    Ok(network.name)
}

fn remove_locked(engine: &Engine, network: &Network) -> Result<()> {
    let joined = |live: &network::Live| live.endpoints.iter().any(|endpoint| endpoint.network_id == network.id);
    if let Some((id, _)) = live(engine)?.iter().find(|(_, live)| joined(live)) {
        let name = users(engine, network)?.into_iter().find(|user| user.record.id == *id).map(|user| user.record.name);
        let name = name.unwrap_or_else(|| id[..12].to_owned());
        return Err(Error::conflict(format!(
            "cannot remove network {}: container {name} is joined to it",
            network.name
        ))
        .hint("stop it, or disconnect it first"));
    }
    if network.is_bridge() {
        Host::open()?.remove(&network.device)?;
        let mut firewall = Firewall::open()?;
        if firewall.is_there()? {
            firewall.remove_network(network)?;
        }
    }
    let path = dir(engine).join(format!("{}.json", network.name));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context(|| format!("cannot remove network {}", network.name));
        }
        _ => {}
    }
    remove_tree(&leases(engine, network))
}

/// Removes the networks that no container is to be joined to. Gives their names.
pub fn prune(engine: &Engine, filter: &Filter) -> Result<Vec<String>> {
    let _lock = lock(engine)?;
    let mut removed = Vec::new();
    for record in all(engine)? {
        let network = &record.network;
        if network.name == DEFAULT || !filter.suits(Some(record.created), &network.labels) {
            continue;
        }
        if !users(engine, network)?.is_empty() {
            continue;
        }
        match remove_locked(engine, network) {
            Ok(()) => removed.push(network.name.clone()),
            Err(error) if error.kind() == Kind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}
