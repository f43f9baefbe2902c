//! The binary as its users meet it, on the real kernel. One program for all tests, a module for each part of the surface.
//!
//! What is expected is what Docker documents; where tare differs on purpose, the test says so.

mod accidents;
mod artifacts;
mod bridge;
mod build;
mod commit;
mod cp;
mod credentials;
mod deep_images;
mod distributions;
mod events;
mod exec;
mod exit_codes;
mod explain;
mod faults;
mod formats;
mod health;
mod hostile_layers;
mod image_commands;
mod images;
mod interrupt;
mod lifecycle;
mod limits;
mod logs;
mod named_volumes;
mod names;
mod namespaces;
mod network;
mod networks;
mod ports;
mod process;
mod pull;
mod registry;
mod restart;
mod root;
mod runtime;
mod security;
mod streams;
mod system;
mod systemd;
mod terminal;
mod unified;
mod verbs;
mod volumes;
