//! How the kernel schedules the calling process: CPU time, CPUs, block IO, execution domain.

use crate::{Errno, Result, check};

/// The attributes of `sched_setattr(2)`. What does not belong to the policy is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// `SCHED_*`: 0 other, 1 fifo, 2 round robin, 3 batch, 5 idle, 6 deadline.
    pub policy: u32,
    /// `SCHED_FLAG_*` bits.
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// In nanoseconds, as the next two.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduling policy of this process.
pub fn set_scheduling(scheduling: &Scheduling) -> Result<()> {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: scheduling.policy,
        flags: scheduling.flags,
        nice: scheduling.nice,
        priority: scheduling.priority,
        runtime: scheduling.runtime,
        deadline: scheduling.deadline,
        period: scheduling.period,
    };
    // SAFETY: `attr` is a valid `struct sched_attr` of the size it states, and lives for the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Sets the block IO class (1 real time, 2 best effort, 3 idle) and priority (0 to 7) of this process.
pub fn set_io_priority(class: u32, priority: u32) -> Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    let value = class << 13 | priority;
    // SAFETY: changes an attribute of this process only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}

/// Sets the execution domain: 0 is Linux, 8 is Linux with the answers of a 32-bit machine.
pub fn set_personality(domain: u64) -> Result<()> {
    // SAFETY: changes an attribute of this process only.
    check(libc::c_long::from(unsafe { libc::personality(domain as libc::c_ulong) })).map(drop)
}

/// Restricts this process to CPUs by number.
pub fn set_affinity(cpus: &[usize]) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus {
        if cpu >= rustix::thread::CpuSet::MAX_CPU {
            return Err(Errno::INVAL);
        }
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)
}

/// Lets this process run on every CPU there is; the kernel leaves out those its cpuset does not have.
pub fn reset_affinity() -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set)
}

/// The CPUs this process may run on, of the first 128.
pub fn affinity() -> Result<u128> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..128).filter(|&cpu| set.is_set(cpu)).fold(0, |mask, cpu| mask | 1 << cpu))
}

/// Sets the memory policy of this process, `set_mempolicy(2)`: a mode with its flags, and the nodes it speaks of.
pub fn set_memory_policy(mode: u32, nodes: &[usize]) -> Result<()> {
    const BITS: usize = libc::c_ulong::BITS as usize;
    let mut mask: Vec<libc::c_ulong> = vec![0; nodes.iter().max().map_or(0, |last| last / BITS + 1)];
    for node in nodes {
        mask[node / BITS] |= 1 << (node % BITS);
    }
    let pointer = if mask.is_empty() { std::ptr::null() } else { mask.as_ptr() };
    // The kernel reads one bit less than it is told.
    let bits = if mask.is_empty() { 0 } else { mask.len() * BITS + 1 };
    // SAFETY: the mask has as many bits as it is said to have, and lives for the call.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) }).map(drop)
}
