//! A bundle becomes a process: namespaces, control groups, mounts, security, and the steps between two processes.
//! It knows no image.

pub mod seccomp;
