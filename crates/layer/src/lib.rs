//! Layers: tar archives on one side, directory trees in overlayfs form on the other.
//!
//! [`decompress`](compress::decompress) → [`unpack`](apply::unpack) (needs nothing of other layers, so layers of an
//! image may be unpacked at the same time) → [`settle`](apply::Unpacked::settle) upon the layers below.
//!
//! And back: [`diff`](diff::diff) makes the tar of a writable layer or a snapshot, [`export`](diff::export) that of a
//! merged tree. [`Flattened`] puts many layers into one, [`place`](place::place) an archive into a tree that is in use.
//! [`changes`](change::changes) only says what a writable layer changes.

pub mod apply;
pub mod change;
pub mod compress;
pub mod diff;
pub mod flatten;
pub mod ids;
pub mod limits;
pub mod place;

mod ahead;
mod attributes;
mod hasher;
mod lower;
mod metadata;
mod pax;
mod sparse;
mod tar;
mod tree;
mod walk;
mod write;

#[cfg(test)]
mod testing;

pub use apply::{Applied, Unpacked, unpack};
pub use change::{Change, ChangeKind, changes};
pub use compress::{Compression, Compressor, compress, decompress};
pub use diff::{Diffed, diff, export, export_one, is_kernel_view};
pub use flatten::Flattened;
pub use ids::IdMaps;
pub use limits::Limits;
pub use place::place;
pub use tar::{Entry, EntryKind, TarReader};
