//! A bundle becomes a process: namespaces, control groups, mounts, security, and the numbered steps that two processes
//! take together. It knows no image and no container record.
//!
//! Read [`create`] and [`init`] side by side: the same step numbers stand in both.

pub mod bundle;
pub mod cgroup;
pub mod container;
pub mod create;
pub mod exec;
pub mod keyring;
pub mod reaper;
pub mod seccomp;
pub mod userns;
pub mod view;

mod devices;
mod hooks;
mod init;
mod labels;
mod launch;
mod listener;
mod masks;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod resctrl;
mod rootfs;
mod scheduling;
mod sync;
mod sysctl;
pub mod users;

/// Who is told step by step what is being done, on both sides of a clone.
pub type Trace<'a> = &'a dyn Fn(&str);

pub use create::{Config, Created, Stdio, Terminal, create};
pub use mount_options::mount_options;
