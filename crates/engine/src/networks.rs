//! Networks: what containers are joined to, with names, addresses and ports.
//!
//! ```text
//! ROOT/networks/NAME.json           what a network is to be
//! RUN/networks/lock                 held by whoever takes addresses, makes bridges, makes or removes networks
//! RUN/networks/ID/ADDRESS           a lease: symbolic link to the container that has the address
//! RUN/containers/ID/network.json    how a running container is joined: devices, addresses, ports
//! ```
//!
//! A bridge, and the packet filter's table, are made when the first container needs them, so that nothing has to be done after
//! a boot. The devices of a container end with its network namespace, and that with its last process: whoever is killed
//! when, what is left is a lease, which goes with the container, and elements of the packet filter, which its monitor, or
//! whoever finds it dead, takes back.

mod connect;
mod create;
pub(crate) mod join;
pub(crate) mod leave;
mod remove;
pub(crate) mod repair;
pub mod resolver;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use jiff::Timestamp;
use network::firewall::Firewall;
use network::{Endpoint, Live, Mapping, Network, Pool};
use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::flock::Flock;
use stdx::{Context, Error, Result, id};

use crate::Engine;
use crate::config::make_dir;
use crate::containers::options;
use crate::containers::{Container, list};

pub use connect::{connect, disconnect};
pub use create::{Wanted, create};
pub use remove::{prune, remove};

/// The network of containers that are asked for no other, and its device.
pub const DEFAULT: &str = "bridge";
const DEFAULT_DEVICE: &str = "tare0";

/// One network on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub network: Network,
    pub created: Timestamp,
}

/// Waits until nobody else changes networks.
pub(crate) fn lock(engine: &Engine) -> Result<Flock> {
    let dir = run_dir(engine);
    match Flock::exclusive(&dir.join("lock")) {
        Err(error) if error.kind() == stdx::Kind::NotFound => {
            make_dir(&dir, 0o711)?;
            Flock::exclusive(&dir.join("lock"))
        }
        lock => lock,
    }
}

fn run_dir(engine: &Engine) -> PathBuf {
    engine.dirs().run.join("networks")
}

fn dir(engine: &Engine) -> PathBuf {
    engine.dirs().root.join("networks")
}

/// Where the leases of a network are.
pub(crate) fn leases(engine: &Engine, network: &Network) -> PathBuf {
    run_dir(engine).join(&network.id)
}

/// The network that `text` names: its name, its id, or the beginning of one id only.
pub fn find(engine: &Engine, text: &str) -> Result<Record> {
    let name = if text == "default" { DEFAULT } else { text };
    if check_name(name).is_ok() {
        if let Some(record) = load(engine, name)? {
            return Ok(record);
        }
    }
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut matching = all(engine)?.into_iter().filter(|record| is_hex && record.network.id.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(Error::invalid(format!("several networks have an id that begins with \"{text}\""))),
        (None, _) => Err(Error::not_found(format!("no such network: {text}"))),
    }
}

/// The same for a container to be joined: the default network is made if it is not there. The caller holds the [`lock`].
pub(crate) fn find_locked(engine: &Engine, text: &str) -> Result<Network> {
    match find(engine, text) {
        Err(error) if error.kind() == stdx::Kind::NotFound && matches!(text, DEFAULT | "default") => {
            let wanted = Wanted { name: DEFAULT.into(), ..Wanted::default() };
            create::create_locked(engine, &wanted).map(|record| record.network)
        }
        found => found.map(|record| record.network),
    }
}

/// All networks, by name.
pub fn all(engine: &Engine) -> Result<Vec<Record>> {
    let entries = match fs::read_dir(dir(engine)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(|| "cannot list the networks".into())?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
    names.retain(|name| check_name(name).is_ok());
    names.sort();
    // None: removed since it was listed.
    names.iter().filter_map(|name| load(engine, name).transpose()).collect()
}

fn load(engine: &Engine, name: &str) -> Result<Option<Record>> {
    let path = dir(engine).join(format!("{name}.json"));
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => {
            let bytes = bytes.context(|| format!("cannot read {path:?}"))?;
            serde_json::from_slice(&bytes).map(Some).context(|| format!("cannot parse {path:?}"))
        }
    }
}

fn save(engine: &Engine, record: &Record) -> Result<()> {
    let what = || format!("cannot make network {}", record.network.name);
    make_dir(&dir(engine), 0o711)?;
    let bytes = serde_json::to_vec(record).context(what)?;
    atomic_write(&dir(engine).join(format!("{}.json", record.network.name)), &bytes, Durability::Synced)
}

/// A device's name for a new network: that of the default one is easy to remember.
fn device_name(name: &str, id: &str) -> String {
    if name == DEFAULT { DEFAULT_DEVICE.into() } else { format!("tare-{}", &id[..10]) }
}

/// How running containers are joined, by their ids.
pub fn live(engine: &Engine) -> Result<Vec<(String, Live)>> {
    Live::all(&engine.dirs().run.join("containers"))
}

/// How this container is joined, if it runs and is.
pub fn live_of(engine: &Engine, id: &str) -> Result<Option<Live>> {
    Live::load(&engine.dirs().container_run(id))
}

/// The containers that are to be joined to a network, running or not.
pub fn users(engine: &Engine, network: &Network) -> Result<Vec<Container>> {
    let containers = list::list(engine, true)?.containers;
    Ok(containers.into_iter().filter(|container| uses(&container.record.options, network)).collect())
}

/// Whether a container with these options is to be joined to the network.
pub fn uses(options: &options::Options, network: &Network) -> bool {
    let options::Network::Joined(places) = &options.namespaces.network else { return false };
    places.iter().any(|place| is_named(network, &place.network))
}

/// Whether `text` names the network.
pub(crate) fn is_named(network: &Network, text: &str) -> bool {
    let text = if text == "default" { DEFAULT } else { text };
    network.name == text || text.len() >= 12 && network.id.starts_with(text)
}

/// The packet filter, with the table in it; warnings tell who else might drop what containers send.
pub(crate) fn firewall(engine: &Engine) -> Result<(Firewall, Vec<String>)> {
    let mut firewall = Firewall::open()?;
    if firewall.is_there()? {
        return Ok((firewall, Vec::new()));
    }
    let networks: Vec<Network> = all(engine)?.into_iter().map(|record| record.network).collect();
    let ports: Vec<Mapping> = live(engine)?.into_iter().flat_map(|(_, live)| live.ports).collect();
    firewall.build(&networks, &ports)?;
    // Whoever cannot be asked does not drop anything either.
    let strangers = firewall.strangers().unwrap_or_default();
    let warning = |chain: &String| {
        format!(
            "the packet filter's chain \"{chain}\" drops what it does not know, packets of containers among it \
             (hint: accept there what comes from or goes to the devices tare*)"
        )
    };
    Ok((firewall, strangers.iter().map(warning).collect()))
}

/// Whether `name` may be a network's: Docker's rule for names.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if first && rest && name.len() <= 128 {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid network name \"{name}\": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
}

/// A new id.
fn new_id() -> String {
    id::random_hex(32)
}

/// The pools' ranges of all networks.
fn subnets(records: &[Record]) -> impl Iterator<Item = (&str, &Pool)> {
    records.iter().flat_map(|record| record.network.pools.iter().map(|pool| (record.network.name.as_str(), pool)))
}

/// The running containers in a network: id, name and place.
pub fn members(engine: &Engine, network: &Network) -> Result<Vec<(String, String, Endpoint)>> {
    let mut members = Vec::new();
    for (id, live) in live(engine)? {
        let place = live.endpoints.into_iter().find(|endpoint| endpoint.network_id == network.id);
        let Some(endpoint) = place else { continue };
        let name = crate::containers::Record::load(engine, &id)?.map(|record| record.name).unwrap_or_default();
        members.push((id, name, endpoint));
    }
    Ok(members)
}
