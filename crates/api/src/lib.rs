//! Docker's JSON: the [`types`] and how the engine's values become them. The server that speaks them over HTTP will
//! stand beside; the command line prints the same documents.

pub mod convert;
pub mod networks;
pub mod types;
