//! What a container leaves behind on the host when it ends, or when it is removed.

use network::firewall::Firewall;
use network::lease;
use stdx::Result;

use super::{all, leases, live_of};
use crate::Engine;

/// Takes back the ports of a container whose monitor cannot do it any more. Its devices have ended with its processes.
pub(crate) fn ended(engine: &Engine, id: &str) -> Result<()> {
    match live_of(engine, id)? {
        Some(live) if !live.ports.is_empty() => Firewall::open()?.unpublish(&live.ports),
        _ => Ok(()),
    }
}

/// The same for one that is removed: its addresses are free for others.
pub(crate) fn removed(engine: &Engine, id: &str) -> Result<()> {
    ended(engine, id)?;
    for record in all(engine)? {
        lease::release(&leases(engine, &record.network), id)?;
    }
    Ok(())
}
