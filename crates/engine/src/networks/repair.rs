//! What `system check` finds of networks: leases of containers that are gone, and a packet filter that does not know what it
//! should.

use std::fs;

use network::{Host, Live, lease};
use stdx::remove_tree::remove_tree;
use stdx::{Context, Result};
use store::Finding;

use super::{all, firewall, leases, live, lock, run_dir};
use crate::Engine;

/// Looks at everything on the host that belongs to networks; with `repair`, cleans up.
pub(crate) fn check(engine: &Engine, repair: bool, findings: &mut Vec<Finding>) -> Result<()> {
    if !run_dir(engine).exists() {
        return Ok(());
    }
    let _lock = lock(engine)?;
    check_leases(engine, repair, findings)?;
    check_directories(engine, repair, findings)?;
    check_devices(engine, repair, findings)?;
    if repair { rebuild(engine) } else { Ok(()) }
}

fn found(findings: &mut Vec<Finding>, what: String, repair: bool, fix: impl FnOnce() -> Result<()>) -> Result<()> {
    let finding = Finding::garbage(what);
    findings.push(if repair {
        fix()?;
        finding.repaired("removed")
    } else {
        finding
    });
    Ok(())
}

fn check_leases(engine: &Engine, repair: bool, findings: &mut Vec<Finding>) -> Result<()> {
    for record in all(engine)? {
        let dir = leases(engine, &record.network);
        for (address, holder) in lease::all(&dir)? {
            if engine.dirs().container(&holder).exists() {
                continue;
            }
            let what = format!(
                "address {address} of network {} is leased to a container that is not there",
                record.network.name
            );
            found(findings, what, repair, || {
                fs::remove_file(dir.join(address.to_string())).context(|| format!("cannot give up address {address}"))
            })?;
        }
    }
    Ok(())
}

/// Directories of leases whose network is gone.
fn check_directories(engine: &Engine, repair: bool, findings: &mut Vec<Finding>) -> Result<()> {
    let known: Vec<String> = all(engine)?.into_iter().map(|record| record.network.id).collect();
    let entries = fs::read_dir(run_dir(engine)).context(|| "cannot list the leases".into())?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 64 && !known.contains(&name) {
            let path = entry.path();
            found(findings, format!("leases of network {} are left, which is gone", &name[..12]), repair, || {
                remove_tree(&path)
            })?;
        }
    }
    Ok(())
}

/// Devices that are called like a container's and belong to none.
fn check_devices(engine: &Engine, repair: bool, findings: &mut Vec<Finding>) -> Result<()> {
    let lives = live(engine)?;
    let mut host = Host::open()?;
    let devices = host.devices()?;
    let bridges: Vec<u32> = all(engine)?
        .iter()
        .filter_map(|record| devices.iter().find(|device| device.name == record.network.device).map(|d| d.index))
        .collect();
    for device in &devices {
        // Only what is joined to a bridge of ours: another installation may have its own on this host.
        let ours = device.master.is_some_and(|master| bridges.contains(&master)) && is_port(&device.name);
        let known = |live: &Live| live.endpoints.iter().any(|e| e.host_device.as_deref() == Some(&device.name));
        if ours && !lives.iter().any(|(_, live)| known(live)) {
            let what = format!("network device \"{}\" belongs to no container", device.name);
            found(findings, what, repair, || host_remove(&device.name))?;
        }
    }
    Ok(())
}

fn host_remove(name: &str) -> Result<()> {
    Host::open()?.remove(name)
}

fn is_port(name: &str) -> bool {
    name.strip_prefix("tare").is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Makes the packet filter's table anew from what runs. The caller holds the lock of networks.
fn rebuild(engine: &Engine) -> Result<()> {
    let (mut filter, _) = firewall(engine)?;
    let networks: Vec<_> = all(engine)?.into_iter().map(|record| record.network).collect();
    let ports: Vec<_> = live(engine)?.into_iter().flat_map(|(_, live)| live.ports).collect();
    filter.build(&networks, &ports)
}
