//! `tare system …`: one file a command.

pub(super) mod check;
pub(super) mod df;
pub(super) mod prune;
pub(super) mod start;
