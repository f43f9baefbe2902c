//! Layers: tar archives on one side, directory trees in overlayfs form on the other.
//!
//! [`decompress`](compress::decompress) → [`unpack`](apply::unpack) (needs nothing of other layers, so layers of an
//! image may be unpacked at the same time) → [`settle`](apply::Unpacked::settle) upon the layers below.

pub mod apply;
pub mod compress;
pub mod limits;

mod lower;
mod metadata;
mod pax;
mod sparse;
mod tar;
mod tree;

#[cfg(test)]
mod testing;

pub use apply::{Applied, Unpacked, unpack};
pub use compress::{Compression, decompress};
pub use limits::Limits;
pub use tar::{Entry, EntryKind, TarReader};
