//! What the standard library lacks and every crate above wants: one error type, atomic writes, file locks,
//! random ids, sizes. No word of containers appears here.

pub mod atomic_write;
pub mod error;
pub mod flock;
pub mod id;
pub mod journal;
pub mod remove_tree;
pub mod size;
pub mod watch;

pub use error::{Context, Error, Kind, Result};
