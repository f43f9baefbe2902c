//! What a group has used.

/// A snapshot of the accounting files. Times in nanoseconds, sizes in bytes; 0 where the kernel does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Time on a CPU, all together, in user mode and in the kernel.
    pub cpu_total_ns: u64,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    /// Enforcement periods, those in which the group was held back, and for how long.
    pub cpu_periods: u64,
    pub cpu_throttled_periods: u64,
    pub cpu_throttled_ns: u64,
    /// Memory in use, of which page cache that could be dropped, the most ever in use, and the limit (`u64::MAX`: none).
    pub memory_bytes: u64,
    pub memory_inactive_file_bytes: u64,
    pub memory_peak_bytes: u64,
    pub memory_limit_bytes: u64,
    /// Processes and threads, and the limit (`u64::MAX`: none).
    pub pids: u64,
    pub pids_limit: u64,
    /// Bytes moved from and to block devices.
    pub block_read_bytes: u64,
    pub block_write_bytes: u64,
}
