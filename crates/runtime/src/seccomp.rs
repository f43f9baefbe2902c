//! Seccomp
