//! `tare volume …`: one file a command.

pub(super) mod create;
pub(super) mod inspect;
pub(super) mod list;
pub(super) mod prune;
pub(super) mod remove;
