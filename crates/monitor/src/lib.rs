//! The parent of one container process.
//!
//! A monitor is this same binary, executed afresh for one container: single-threaded, one event loop, no runtime. It
//! creates the container, moves its streams between log and clients, reaps it and writes down how it ended. It holds
//! `monitor.lock` for life; if it dies its init dies with it, and whoever sees the lock free beside a state that says
//! *running* knows what happened.
//!
//! ```text
//! /run/tare/containers/ID/
//!   config.json     the runtime configuration (runtime-spec)
//!   monitor.json    [`Config`]: what the monitor has to know besides
//!   monitor.lock    held while the monitor lives
//!   control.sock    clients speak [`protocol`] here
//!   actor.json      the container as [`events`] show it
//!   health.json     what a health check executes, if there is one
//!   exec/ID/        the same for a further process: `exec.json` ([`exec::Config`]), control.sock
//! ```
//!
//! The other end is [`client`], used by the engine.

pub mod client;
pub mod config;
pub mod events;
pub mod exec;
pub mod health;
pub mod protocol;
pub mod spawn;
pub mod state;

mod hub;
pub mod log;
mod output;
pub mod restart;
mod serve;
mod stdin;
mod streams;

pub use config::Config;
pub use serve::{Outcome, main};
pub use state::State;
