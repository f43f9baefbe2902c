//! Network devices of the host that a container takes over (config-linux.md, "Network Devices"). When the container's network
//! namespace ends, the kernel gives physical ones back; the others end with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use oci::runtime_spec::NetDevice;
use stdx::{Context, Error, Result};
use sys::namespace::{self, flag};
use sys::netlink::{Address, Netlink};

/// A device as it is before it moves.
struct Moving<'a> {
    /// Its name here, and its name there.
    from: &'a str,
    to: &'a str,
    index: i32,
    addresses: Vec<Address>,
}

/// Refuses what cannot be done, before anything is.
pub(crate) fn check(devices: &BTreeMap<String, NetDevice>, own_network: bool) -> Result<()> {
    if !devices.is_empty() && !own_network {
        return Err(Error::invalid(
            "network devices can be moved only into a network namespace of the container's own",
        ));
    }
    for (from, device) in devices {
        for name in [from.as_str(), device.name.as_deref().unwrap_or(from)] {
            let plain = name.chars().all(|c| !c.is_whitespace() && c != '/' && c != ':');
            if name.is_empty() || name.len() > 15 || !plain || [".", ".."].contains(&name) {
                return Err(Error::invalid(format!("invalid name of a network device \"{name}\"")));
            }
        }
    }
    Ok(())
}

/// Moves devices from here into `target`, with the addresses they have, and switches them on.
///
/// The caller is single-threaded; it enters the namespace and comes back.
pub(crate) fn move_all(devices: &BTreeMap<String, NetDevice>, target: &OwnedFd) -> Result<()> {
    let mut host = Netlink::open().context(|| "cannot ask for network devices".into())?;
    let found = devices.iter().map(|(from, device)| find(&mut host, from, device)).collect::<Result<Vec<_>>>()?;
    let own: OwnedFd = File::open("/proc/self/ns/net").context(|| "cannot open the network namespace".into())?.into();
    let go = |to: &OwnedFd| {
        namespace::enter(to.as_fd(), flag::NETWORK).context(|| "cannot join the network namespace".into())
    };
    go(target)?;
    let inside = Netlink::open().context(|| "cannot ask for network devices".into());
    go(&own)?;
    let mut inside = inside?;
    found.iter().try_for_each(|moving| {
        let what = || format!("cannot move network device \"{}\" into the container as \"{}\"", moving.from, moving.to);
        move_one(moving, &mut host, &mut inside, target).context(what)
    })
}

fn find<'a>(host: &mut Netlink, from: &'a str, device: &'a NetDevice) -> Result<Moving<'a>> {
    let what = || format!("cannot find network device \"{from}\"");
    let link = host.links().context(what)?.into_iter().find(|link| link.name == from);
    let index = link.ok_or_else(|| Error::not_found(format!("{}: there is none of this name", what())))?.index;
    let addresses = host.addresses(index).context(what)?;
    Ok(Moving { from, to: device.name.as_deref().unwrap_or(from), index, addresses })
}

fn move_one(moving: &Moving<'_>, host: &mut Netlink, inside: &mut Netlink, target: &OwnedFd) -> Result<()> {
    let before = inside.links().context(|| "cannot list the devices there".into())?;
    // The kernel would move it first and then fail to name it.
    if before.iter().any(|link| link.name == moving.to) {
        return Err(Error::conflict("the name is taken there"));
    }
    host.move_link(moving.index, target.as_fd(), moving.to).context(|| "the kernel refuses it".into())?;
    let after = inside.links().context(|| "cannot list the devices there".into())?;
    // Neither its name, which may be the kernel's choice, nor its number are known for certain.
    let new = after.iter().find(|link| !before.iter().any(|known| known.index == link.index));
    let index = new.ok_or_else(|| Error::not_found("it did not arrive"))?.index;
    for address in &moving.addresses {
        inside.add_address(index, address).context(|| "cannot set its addresses".into())?;
    }
    inside.set_up(index).context(|| "cannot switch it on".into())
}
