//! System call filters: a profile becomes a program for the kernel.
//!
//! ```text
//! docker_profile(json) ─┐                  names, actions      numbers → ranges      ranges → tree
//! default_profile(caps) ┼→ oci Seccomp ──→ policy ───────────→ layout ─────────────→ emit ──→ Program
//! config.json ──────────┘                  ↑
//!                       default_program ───┘
//! ```
//!
//! Meaning and corner cases are those of libseccomp as runc uses it (`policy.rs` and `layout.rs` name them), the code is
//! not: a balanced tree over ranges of numbers instead of a list, so that a call costs a handful of comparisons and
//! loading the filter fractions of a millisecond.
//!
//! Nothing here makes a system call. Hand the result over with
//! `sys::seccomp::load(&program.code(), program.flags())`, by the process that becomes the container, as late as possible:
//! before it gives up its capabilities if it has no `no_new_privs`, otherwise last. With
//! [`Program::has_listener`] the call gives a descriptor for the agent behind `listenerPath`.

mod arch;
mod default;
mod docker;
mod emit;
mod kernel;
mod layout;
mod policy;
mod program;
mod refused;
mod syscalls;

pub use arch::Arch;
pub use default::{default_profile, default_program};
pub use docker::{MAX_PROFILE_BYTES, docker_profile};
pub use kernel::KernelVersion;
pub use program::{Insn, Program};
pub use refused::{Refused, refused, refused_by_default};

use oci::runtime_spec::Seccomp;
use stdx::Result;

use layout::Layout;
use policy::Policy;

/// Compiles a profile for this machine.
///
/// A profile that contradicts itself or the specification is `Invalid`, so is one that does not fit into
/// [`Program::MAX_INSTRUCTIONS`]; a machine whose calls are not known is `Unsupported`. System calls unknown by name and
/// architectures this machine cannot run are ignored.
pub fn compile(profile: &Seccomp) -> Result<Program> {
    compile_for(profile, Arch::native()?)
}

/// Compiles a profile for a machine of the given native architecture.
pub fn compile_for(profile: &Seccomp, native: Arch) -> Result<Program> {
    let policy = Policy::from_profile(profile, native)?;
    emit::emit(&Layout::new(&policy), policy.default, policy.flags)
}

#[cfg(test)]
mod tests;
