//! Ranges of host ids for user namespaces: 65,536 each, none shared by two containers.

use std::collections::BTreeSet;

use oci::runtime_spec::IdMapping;
use stdx::{Error, Kind, Result};

use crate::Engine;
use crate::containers::find::ids;
use crate::containers::record::Record;

/// Ids in a range: what a Unix system's 16-bit users need.
pub const RANGE: u32 = 65_536;
/// Below are the host's own users and those that other tools hand out by default.
const FIRST: u32 = 1 << 20;
const RANGES: u32 = (u32::MAX - FIRST) / RANGE;

/// The first host id of a range that no container has. The caller holds the lock of [`super::names`] until its own
/// record is there.
pub(crate) fn allocate(engine: &Engine) -> Result<u32> {
    let mut taken = BTreeSet::new();
    for id in ids(engine)? {
        taken.extend(Record::load(engine, &id)?.and_then(|record| record.user_range));
    }
    let mut bases = (0..RANGES).map(|number| FIRST + number * RANGE);
    bases
        .find(|base| !taken.contains(base))
        .ok_or_else(|| Error::new(Kind::NoSpace, "no range of user ids is left for another user namespace"))
}

/// The mapping of a range.
pub(crate) fn mapping(base: u32) -> Vec<IdMapping> {
    vec![IdMapping { container_id: 0, host_id: base, size: RANGE }]
}
