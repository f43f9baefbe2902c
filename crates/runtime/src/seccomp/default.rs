//! tare's own filter, as one table: what a container may call if nobody says otherwise.
//!
//! Everything that is not listed gives `EPERM`, and `ENOSYS` if it is newer than the list. The list was compared with
//! `seccomp/default.json` of github.com/moby/profiles at commit 02e898b (2026) and allows nothing that it refuses; that
//! includes its list of socket families, which older releases of Docker did not have. What is missing on purpose, beside
//! what a capability opens: `io_uring_*` (a second, unfiltered way to most calls), `keyctl`, `add_key` and
//! `request_key` (keyrings are not namespaced), `userfaultfd` (stops the kernel where an attacker likes it), `kexec_*`,
//! `swapon`, `swapoff`, `pivot_root`, `nfsservctl`, `vm86`, `uselib` and other relics.
//!
//! A group opened by a capability is for containers that were given it (`--cap-add`), so that granting one is enough.

use oci::runtime_spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompRule};
use stdx::Result;

use super::arch::Arch;
use super::emit::emit;
use super::kernel::KernelVersion;
use super::layout::Layout;
use super::policy::{Check, ENOSYS, EPERM, Policy, Rule, Verdict};
use super::program::Program;
use super::syscalls;

/// Calls that share a reason, a condition and a verdict.
struct Group {
    when: When,
    calls: &'static [&'static str],
    /// If not empty, one of these has to hold.
    any_of: &'static [Check],
    verdict: Verdict,
}

/// When a group is part of the filter.
enum When {
    Always,
    /// On these native architectures.
    On(&'static [Arch]),
    /// From this kernel on.
    Since(KernelVersion),
    With(&'static str),
    Without(&'static str),
}

const fn allow(when: When, calls: &'static [&'static str]) -> Group {
    allow_if(when, calls, &[])
}

const fn allow_if(when: When, calls: &'static [&'static str], any_of: &'static [Check]) -> Group {
    Group { when, calls, any_of, verdict: Verdict::ALLOW }
}

const fn first_is(value: u64) -> Check {
    Check::new(0, SeccompOperator::Equal, value)
}

const fn first_below(value: u64) -> Check {
    Check::new(0, SeccompOperator::Less, value)
}

/// Every flag of `clone` that makes a namespace: mount, cgroup, UTS, IPC, user, PID, network.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

#[rustfmt::skip]
const GROUPS: &[Group] = &[
    // Files by name: opening, making, moving, removing, permissions, times, attributes.
    allow(When::Always, &[
        "access", "chdir", "chmod", "chown", "chown32", "creat", "faccessat", "faccessat2", "fchdir", "fchmodat",
        "fchmodat2", "fchownat", "fstatat64", "futimesat", "getcwd", "getxattr", "getxattrat", "lchown", "lchown32",
        "lgetxattr", "link", "linkat", "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lsetxattr", "lstat",
        "lstat64", "mkdir", "mkdirat", "mknod", "mknodat", "name_to_handle_at", "newfstatat", "open", "openat",
        "openat2", "readlink", "readlinkat", "removexattr", "removexattrat", "rename", "renameat", "renameat2", "rmdir",
        "setxattr", "setxattrat", "stat", "stat64", "statfs", "statfs64", "statx", "symlink", "symlinkat", "truncate",
        "truncate64", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64", "utimes",
    ]),
    // Open files: reading, writing, copying, locking, syncing, descriptors themselves.
    allow(When::Always, &[
        "_llseek", "cachestat", "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "fadvise64",
        "fadvise64_64", "fallocate", "fchmod", "fchown", "fchown32", "fcntl", "fcntl64", "fdatasync", "fgetxattr",
        "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatfs", "fstatfs64", "fsync",
        "ftruncate", "ftruncate64", "getdents", "getdents64", "ioctl", "lseek", "pipe", "pipe2", "pread64", "preadv",
        "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readv", "sendfile", "sendfile64", "splice",
        "sync", "sync_file_range", "syncfs", "tee", "vmsplice", "write", "writev",
    ]),
    // Waiting for descriptors and events, asynchronous I/O of the older kind, file notification.
    allow(When::Always, &[
        "_newselect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
        "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "fanotify_mark", "inotify_add_watch", "inotify_init",
        "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents",
        "io_pgetevents_time64", "io_setup", "io_submit", "poll", "ppoll", "ppoll_time64", "pselect6",
        "pselect6_time64", "select", "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime",
        "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    ]),
    // Memory.
    allow(When::Always, &[
        "brk", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock", "mlock2",
        "mlockall", "mmap", "mmap2", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap",
        "pkey_alloc", "pkey_free", "pkey_mprotect", "process_mrelease", "remap_file_pages",
    ]),
    // Processes and threads: making, ending, waiting, groups, scheduling, limits.
    allow(When::Always, &[
        "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_time64", "futex_wait",
        "futex_waitv", "futex_wake", "get_robust_list", "get_thread_area", "getcpu", "getpgid", "getpgrp", "getpid",
        "getppid", "getpriority", "getrlimit", "getrusage", "getsid", "gettid", "ioprio_get", "ioprio_set",
        "pidfd_open", "prctl", "prlimit64", "rseq", "sched_get_priority_max", "sched_get_priority_min",
        "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
        "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
        "sched_yield", "set_robust_list", "set_thread_area", "set_tid_address", "setpgid", "setpriority", "setrlimit",
        "setsid", "times", "ugetrlimit", "uretprobe", "vfork", "wait4", "waitid", "waitpid",
    ]),
    // Users, groups, capabilities; sandboxes of one's own.
    allow(When::Always, &[
        "capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
        "getgroups32", "getresgid", "getresgid32", "getresuid", "getresuid32", "getuid", "getuid32",
        "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp", "setfsgid", "setfsgid32",
        "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setregid", "setregid32",
        "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setuid", "setuid32",
    ]),
    // Signals.
    allow(When::Always, &[
        "kill", "pause", "pidfd_send_signal", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
        "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
        "rt_tgsigqueueinfo", "sigaltstack", "sigprocmask", "sigreturn", "tgkill", "tkill",
    ]),
    // Clocks and timers; setting a clock still needs CAP_SYS_TIME in the kernel.
    allow(When::Always, &[
        "adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
        "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep",
        "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
        "timer_settime", "timer_settime64",
    ]),
    // Sockets, except making one; System V and POSIX message passing, inside the container's IPC namespace.
    allow(When::Always, &[
        "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "ipc", "listen",
        "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend",
        "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "recv", "recvfrom", "recvmmsg",
        "recvmmsg_time64", "recvmsg", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "send",
        "sendmmsg", "sendmsg", "sendto", "setsockopt", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "socketcall",
        "socketpair",
    ]),
    // The system, read only.
    allow(When::Always, &["getrandom", "listmount", "statmount", "sysinfo", "uname"]),

    // Socket families one by one. Not: those the kernel dropped (12 DECnet, 19 Econet, 20 ATM SVC, 23 IrDA, 25 WANPIPE,
    // 34 ISDN, 37 CAIF), 38 ALG (much kernel code, little use), 40 VSOCK (reaches the hypervisor past the network
    // namespace) and whatever comes after 45. 32-bit x86 has `socketcall` besides, whose arguments no filter can see.
    allow_if(When::Always, &["socket"], &[
        first_below(12), first_is(13), first_is(14), first_is(15), first_is(16), first_is(17), first_is(18),
        first_is(21), first_is(22), first_is(24), first_is(26), first_is(27), first_is(28), first_is(29), first_is(30),
        first_is(31), first_is(32), first_is(33), first_is(35), first_is(36), first_is(39), first_is(41), first_is(42),
        first_is(43), first_is(44), first_is(45),
    ]),
    // Linux, 32-bit Linux, both with the older `uname`, and the question which it is. No turning off of randomised
    // addresses, no execution domains of other systems.
    allow_if(When::Always, &["personality"], &[
        first_is(0), first_is(0x8), first_is(0x2_0000), first_is(0x2_0008), first_is(0xffff_ffff),
    ]),
    // New processes, but no new namespaces: those open most of the kernel to an unprivileged user.
    allow_if(When::Without("CAP_SYS_ADMIN"), &["clone"], &[Check::masked(0, CLONE_NAMESPACES, 0)]),
    // Its flags lie behind a pointer. With `ENOSYS` the C library falls back to `clone`.
    Group { when: When::Without("CAP_SYS_ADMIN"), calls: &["clone3"], any_of: &[], verdict: Verdict::errno(ENOSYS) },
    // Debugging one's own processes. Before 4.8 a tracer could change a call after the filter had seen it.
    allow(When::Since(KernelVersion::new(4, 8)), &["process_vm_readv", "process_vm_writev", "ptrace"]),

    // What one architecture needs for its own threads and segments.
    allow(When::On(&[Arch::X86_64, Arch::X32]), &["arch_prctl"]),
    allow(When::On(&[Arch::X86_64, Arch::X32, Arch::X86]), &["modify_ldt"]),
    allow(When::On(&[Arch::Arm, Arch::Aarch64]), &[
        "arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls", "sync_file_range2",
    ]),

    // What a capability opens.
    allow(When::With("CAP_DAC_READ_SEARCH"), &["open_by_handle_at"]),
    allow(When::With("CAP_SYS_ADMIN"), &[
        "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie",
        "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mount", "mount_setattr", "move_mount",
        "open_tree", "perf_event_open", "quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog",
        "umount", "umount2", "unshare",
    ]),
    allow(When::With("CAP_SYS_BOOT"), &["reboot"]),
    allow(When::With("CAP_SYS_CHROOT"), &["chroot"]),
    allow(When::With("CAP_SYS_MODULE"), &["delete_module", "finit_module", "init_module"]),
    allow(When::With("CAP_SYS_PACCT"), &["acct"]),
    allow(When::With("CAP_SYS_PTRACE"), &[
        "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    ]),
    allow(When::With("CAP_SYS_RAWIO"), &["ioperm", "iopl"]),
    allow(When::With("CAP_SYS_TIME"), &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    allow(When::With("CAP_SYS_TTY_CONFIG"), &["vhangup"]),
    allow(When::With("CAP_SYS_NICE"), &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    allow(When::With("CAP_SYSLOG"), &["syslog"]),
    allow(When::With("CAP_BPF"), &["bpf"]),
    allow(When::With("CAP_PERFMON"), &["perf_event_open"]),
];

/// The default filter as a profile, for a container whose bounding set holds `caps` (names such as `CAP_SYS_ADMIN`).
pub fn default_profile(caps: &[String], kernel: KernelVersion, arch: Arch) -> Seccomp {
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(EPERM),
        architectures: arch.family().iter().map(|arch| arch.to_spec()).collect(),
        flags: None,
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls: groups(caps, kernel, arch).flat_map(Group::to_spec).collect(),
    }
}

/// [`default_profile`] compiled for this machine, without the way through names.
pub fn default_program(caps: &[String], kernel: KernelVersion) -> Result<Program> {
    compile_default(caps, kernel, Arch::native()?)
}

pub(super) fn compile_default(caps: &[String], kernel: KernelVersion, arch: Arch) -> Result<Program> {
    let policy = default_policy(caps, kernel, arch);
    emit(&Layout::new(&policy), policy.default, policy.flags)
}

pub(super) fn default_policy(caps: &[String], kernel: KernelVersion, arch: Arch) -> Policy {
    Policy {
        default: Verdict::errno(EPERM),
        arches: arch.family().to_vec(),
        rules: groups(caps, kernel, arch).map(Group::to_rule).collect(),
        flags: Policy::SPEC_ALLOW,
    }
}

fn groups(caps: &[String], kernel: KernelVersion, arch: Arch) -> impl Iterator<Item = &'static Group> {
    let has = move |cap: &str| caps.iter().any(|held| held == cap);
    GROUPS.iter().filter(move |group| match group.when {
        When::Always => true,
        When::On(arches) => arches.contains(&arch),
        When::Since(version) => kernel >= version,
        When::With(cap) => has(cap),
        When::Without(cap) => !has(cap),
    })
}

impl Group {
    fn to_rule(&self) -> Rule {
        Rule {
            calls: self.calls.iter().filter_map(|name| syscalls::lookup(name)).collect(),
            verdict: self.verdict,
            any_of: self.any_of.iter().map(|check| vec![*check]).collect(),
        }
    }

    /// One rule for each condition, because runtimes disagree about several conditions on one argument.
    fn to_spec(&self) -> Vec<SeccompRule> {
        let (action, errno_ret) = match self.verdict {
            Verdict::ALLOW => (SeccompAction::Allow, None),
            Verdict(value) => (SeccompAction::Errno, Some(value & 0xffff)),
        };
        let names: Vec<String> = self.calls.iter().map(ToString::to_string).collect();
        let rule = |args| SeccompRule { names: names.clone(), action, errno_ret, args };
        if self.any_of.is_empty() {
            return vec![rule(Vec::new())];
        }
        self.any_of.iter().map(|check| rule(vec![check.to_spec()])).collect()
    }
}

impl Check {
    fn to_spec(self) -> SeccompArg {
        let (value, value_two) = match self.op {
            SeccompOperator::MaskedEqual => (self.mask, self.value),
            _ => (self.value, 0),
        };
        SeccompArg { index: u32::from(self.index), value, value_two, op: self.op }
    }
}

#[cfg(test)]
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|group| group.calls.iter().copied())
}
