//! The form between a profile and a program: checked, its names looked up, its actions as the kernel's numbers.
//!
//! What a profile means is decided here, as libseccomp and runc decide it:
//! - A rule whose action is the default action says nothing and is dropped.
//! - Names that no architecture knows are skipped: profiles are written for newer kernels too.
//! - The conditions of a rule are joined by *and*; but if two of them look at the same argument, every condition of the
//!   rule stands for itself, joined by *or*.
//! - The native architecture is always filtered; architectures this machine cannot run are left out.
//! - With a default action that refuses, calls newer than all the profile names give `ENOSYS`, so that programs fall
//!   back instead of failing.

use oci::runtime_spec::{Seccomp, SeccompAction, SeccompArg, SeccompFlag, SeccompOperator, SeccompRule};
use stdx::{Error, Result};

use super::arch::Arch;
use super::program::Program;
use super::syscalls::{self, Syscall};

pub(super) const EPERM: u32 = 1;
pub(super) const ENOSYS: u32 = 38;

/// The largest number the kernel passes on; larger ones it cuts down without a word.
const MAX_ERRNO: u32 = 4095;

/// Arguments a system call can have.
const ARGUMENTS: u32 = 6;

/// What the filter returns for a call: an action in the upper half, its data in the lower (`linux/seccomp.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict(pub(super) u32);

impl Verdict {
    pub(super) const KILL_THREAD: Self = Self(0);
    pub(super) const ALLOW: Self = Self(0x7fff_0000);
    pub(super) const LOG: Self = Self(0x7ffc_0000);

    pub(super) const fn errno(errno: u32) -> Self {
        Self(0x0005_0000 | errno)
    }

    /// The kernel's order where several filters answer: the lowest, read as signed, is the strictest and wins.
    pub(super) fn severity(self) -> i32 {
        (self.0 & 0xffff_0000) as i32
    }

    fn new(action: SeccompAction, number: Option<u32>) -> Result<Self> {
        let limit = match action {
            SeccompAction::Errno => MAX_ERRNO,
            SeccompAction::Trace => 0xffff,
            _ => 0,
        };
        if limit == 0 && number.is_some() {
            return Err(Error::invalid(format!("seccomp action \"{}\" takes no errno", name(action))));
        }
        let data = number.unwrap_or(EPERM);
        Ok(match action {
            SeccompAction::KillProcess => Self(0x8000_0000),
            SeccompAction::Kill | SeccompAction::KillThread => Self::KILL_THREAD,
            SeccompAction::Trap => Self(0x0003_0000),
            SeccompAction::Notify => Self(0x7fc0_0000),
            SeccompAction::Log => Self::LOG,
            SeccompAction::Allow => Self::ALLOW,
            SeccompAction::Errno | SeccompAction::Trace if data > limit => {
                return Err(Error::invalid(format!("seccomp errno {data} is above {limit}")));
            }
            SeccompAction::Errno => Self::errno(data),
            SeccompAction::Trace => Self(0x7ff0_0000 | data),
        })
    }
}

/// The word in the profile.
fn name(action: SeccompAction) -> String {
    serde_json::to_string(&action).unwrap_or_default().trim_matches('"').to_owned()
}

/// One comparison with one argument, unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) index: u8,
    pub(super) op: SeccompOperator,
    /// The mask of [`SeccompOperator::MaskedEqual`], all ones otherwise.
    pub(super) mask: u64,
    pub(super) value: u64,
}

impl Check {
    pub(super) const fn new(index: u8, op: SeccompOperator, value: u64) -> Self {
        Self { index, op, mask: u64::MAX, value }
    }

    pub(super) const fn masked(index: u8, mask: u64, value: u64) -> Self {
        Self { index, op: SeccompOperator::MaskedEqual, mask, value: value & mask }
    }

    /// Of the lower half alone.
    pub(super) fn narrowed(self) -> Self {
        let low = u64::from(u32::MAX);
        Self { mask: self.mask & low, value: self.value & low, ..self }
    }

    /// A mask that leaves nothing to compare.
    pub(super) fn always_holds(&self, narrow: bool) -> bool {
        if narrow { self.narrowed().mask == 0 } else { self.mask == 0 }
    }

    pub(super) fn matches(&self, argument: u64) -> bool {
        match self.op {
            SeccompOperator::NotEqual => argument != self.value,
            SeccompOperator::Less => argument < self.value,
            SeccompOperator::LessOrEqual => argument <= self.value,
            SeccompOperator::Equal => argument == self.value,
            SeccompOperator::GreaterOrEqual => argument >= self.value,
            SeccompOperator::Greater => argument > self.value,
            SeccompOperator::MaskedEqual => argument & self.mask == self.value,
        }
    }
}

impl TryFrom<&SeccompArg> for Check {
    type Error = Error;

    fn try_from(arg: &SeccompArg) -> Result<Self> {
        let index = u8::try_from(arg.index).ok().filter(|index| u32::from(*index) < ARGUMENTS).ok_or_else(|| {
            Error::invalid(format!("seccomp rule compares argument {}, calls have 0 to {}", arg.index, ARGUMENTS - 1))
        })?;
        Ok(match arg.op {
            SeccompOperator::MaskedEqual => Self::masked(index, arg.value, arg.value_two),
            op => Self::new(index, op, arg.value),
        })
    }
}

/// Some calls and what happens to them.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) calls: Vec<&'static Syscall>,
    pub(super) verdict: Verdict,
    /// The rule applies if one of these applies, each if all its checks hold. Empty: always.
    pub(super) any_of: Vec<Vec<Check>>,
}

/// A whole profile.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) default: Verdict,
    /// The native architecture first.
    pub(super) arches: Vec<Arch>,
    pub(super) rules: Vec<Rule>,
    pub(super) flags: u32,
}

impl Policy {
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: as with runc, a profile silent about flags does not pay for the mitigation.
    pub(super) const SPEC_ALLOW: u32 = 1 << 2;

    pub(super) fn from_profile(profile: &Seccomp, native: Arch) -> Result<Self> {
        let default = Verdict::new(profile.default_action, profile.default_errno_ret)?;
        if profile.default_action == SeccompAction::Notify {
            return Err(Error::invalid("seccomp action \"SCMP_ACT_NOTIFY\" cannot be the default action"));
        }
        let notify = profile.syscalls.iter().any(|rule| rule.action == SeccompAction::Notify);
        check_listener(profile, notify)?;
        let mut rules = Vec::with_capacity(profile.syscalls.len());
        for rule in &profile.syscalls {
            rules.push(Rule::from_spec(rule)?);
        }
        Ok(Self { default, arches: arches(profile, native), rules, flags: flags(profile, notify) })
    }

    /// Whether calls newer than the profile get `ENOSYS`. What lets calls through, or hands them to a tracer that can
    /// tell for itself, is left alone.
    pub(super) fn hides_newer_calls(&self) -> bool {
        let passes = [Verdict::ALLOW.0, 0x7ffc_0000, 0x7ff0_0000];
        !passes.contains(&(self.default.0 & 0xffff_0000))
    }
}

impl Rule {
    fn from_spec(rule: &SeccompRule) -> Result<Self> {
        if rule.names.is_empty() {
            return Err(Error::invalid("seccomp rule names no system call"));
        }
        // The process that loads the filter has to tell its parent about the listener before the agent has it.
        if rule.action == SeccompAction::Notify && rule.names.iter().any(|name| name == "write") {
            return Err(Error::invalid("seccomp action SCMP_ACT_NOTIFY cannot be used for the write syscall"));
        }
        let calls = rule.names.iter().filter_map(|name| syscalls::lookup(name)).collect();
        let checks = rule.args.iter().map(Check::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Self { calls, verdict: Verdict::new(rule.action, rule.errno_ret)?, any_of: alternatives(checks) })
    }
}

fn alternatives(checks: Vec<Check>) -> Vec<Vec<Check>> {
    let repeats = |check: &Check| checks.iter().filter(|other| other.index == check.index).count() > 1;
    if checks.is_empty() {
        Vec::new()
    } else if checks.iter().any(repeats) {
        checks.into_iter().map(|check| vec![check]).collect()
    } else {
        vec![checks]
    }
}

fn check_listener(profile: &Seccomp, notify: bool) -> Result<()> {
    if notify && profile.listener_path.is_empty() {
        return Err(Error::invalid("seccomp action \"SCMP_ACT_NOTIFY\" needs a listenerPath"));
    }
    if !profile.listener_metadata.is_empty() && profile.listener_path.is_empty() {
        return Err(Error::invalid("seccomp listenerMetadata needs a listenerPath"));
    }
    Ok(())
}

fn arches(profile: &Seccomp, native: Arch) -> Vec<Arch> {
    let listed: Vec<Arch> = profile.architectures.iter().filter_map(|arch| Arch::from_spec(*arch)).collect();
    native.family().iter().copied().filter(|arch| *arch == native || listed.contains(arch)).collect()
}

/// The kernel refuses some combinations: waiting without a listener, and a listener for all threads. A filter is loaded
/// by a process with one thread, so nothing is lost by leaving `TSYNC` out.
fn flags(profile: &Seccomp, notify: bool) -> u32 {
    const LOG: u32 = 1 << 1;
    const WAIT_KILLABLE_RECV: u32 = 1 << 5;
    let listener = if notify { Program::NEW_LISTENER } else { 0 };
    let listed = profile.flags.as_deref().unwrap_or(&[SeccompFlag::SpecAllow]);
    let bit = |flag: &SeccompFlag| match flag {
        SeccompFlag::Log => LOG,
        SeccompFlag::SpecAllow => Policy::SPEC_ALLOW,
        SeccompFlag::WaitKillableRecv if notify => WAIT_KILLABLE_RECV,
        SeccompFlag::Tsync | SeccompFlag::WaitKillableRecv => 0,
    };
    listed.iter().fold(listener, |flags, flag| flags | bit(flag))
}
