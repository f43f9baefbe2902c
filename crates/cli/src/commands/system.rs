//! `tare system …`: one file a command.

pub(super) mod check;
pub(super) mod df;
pub(crate) mod prune;
pub(super) mod start;
