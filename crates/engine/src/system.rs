//! The installation as a whole: what it takes, whether it is well, and cleaning up.

pub mod check;
pub mod df;
pub mod info;
pub mod prune;
pub mod start;
