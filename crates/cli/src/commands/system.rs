//! `tare system …`: one file a command.

pub(super) mod check;
pub(super) mod df;
pub(super) mod events;
pub(super) mod info;
pub(crate) mod prune;
pub(super) mod start;
