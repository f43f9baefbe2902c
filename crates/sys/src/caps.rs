//! Capabilities by name, and giving them up.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::{Result, check};

/// The kernel's names, in the kernel's order: a capability's number is its index.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(pub u64);

impl Set {
    /// The number of `name` as a bit. `None` if the kernel has no such capability.
    pub fn of(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(|number| Self(1 << number))
    }

    /// Every capability known by name.
    pub fn all() -> Self {
        Self((1 << NAMES.len()) - 1)
    }

    /// The names in the set, in the kernel's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(number, _)| self.0 & (1 << number) != 0).map(|(_, name)| *name)
    }

    /// Those in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those here and not in `other`.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The five sets of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    pub bounding: Set,
    pub effective: Set,
    pub permitted: Set,
    pub inheritable: Set,
    pub ambient: Set,
}

/// The calling thread's bounding set: the most that it or a program it executes can ever have.
pub fn bounding() -> Set {
    let has = |number: usize| {
        // SAFETY: reads one bit of the thread's credentials.
        check(libc::c_long::from(unsafe { libc::prctl(libc::PR_CAPBSET_READ, number as libc::c_ulong, 0, 0, 0) }))
            == Ok(1)
    };
    Set((0..NAMES.len()).filter(|&number| has(number)).fold(0, |bits, number| bits | 1 << number))
}

/// Takes everything outside `keep` from the bounding set. Must come before the user changes.
pub fn limit_bounding(keep: Set) -> Result<()> {
    // Also those that are newer than our names: the kernel answers EINVAL past its last one.
    for number in 0..64u32 {
        if keep.0 & (1 << number) != 0 {
            continue;
        }
        // SAFETY: changes this thread's credentials only.
        match check(libc::c_long::from(unsafe {
            libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0)
        })) {
            Err(Errno::INVAL) => break,
            result => result?,
        };
    }
    Ok(())
}

/// Keeps the permitted set when the user changes from root to another.
pub fn keep_over_user_change(keep: bool) -> Result<()> {
    rustix::thread::set_keep_capabilities(keep)
}

/// Sets the effective, permitted and inheritable sets, then the ambient one.
pub fn apply(sets: &Sets) -> Result<()> {
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::from_bits_retain(sets.effective.0),
            permitted: CapabilitySet::from_bits_retain(sets.permitted.0),
            inheritable: CapabilitySet::from_bits_retain(sets.inheritable.0),
        },
    )?;
    rustix::thread::clear_ambient_capability_set()?;
    for number in 0..NAMES.len() as libc::c_ulong {
        if sets.ambient.0 & (1 << number) != 0 {
            // SAFETY: changes this thread's credentials only.
            let raised = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number, 0, 0) };
            check(libc::c_long::from(raised))?;
        }
    }
    Ok(())
}
