//! From rules to ranges: what happens to every possible number, per architecture.
//!
//! The kernel shows a filter one number space for each `seccomp_data.arch`; x86_64 and x32 share theirs. A space is cut
//! into ranges, each with one outcome, neighbours with the same outcome merged. The emitter makes a tree of that.
//!
//! Where several rules name one call:
//! - One without conditions decides alone, the first if there are more (libseccomp does the same).
//! - Otherwise conditions are tried strictest verdict first, then in the order of the profile. Conditions that overlap
//!   and disagree are an error or an accident of sorting in libseccomp; here the call gets the stricter verdict, as
//!   the kernel decides between two filters.

use oci::runtime_spec::SeccompOperator;

use super::arch::Arch;
use super::policy::{Check, ENOSYS, Policy, Rule, Verdict};
use super::syscalls;

/// What a range of numbers leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Return(Verdict),
    /// An index into [`Layout::chains`].
    Checks(usize),
}

/// Conditions tried in order; if none applies, the default verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    /// Only the lower half of each argument is looked at.
    pub(super) narrow: bool,
    pub(super) alternatives: Vec<Alternative>,
}

/// If all checks hold, the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alternative {
    pub(super) checks: Vec<Check>,
    pub(super) verdict: Verdict,
}

/// Ranges in order, each from its start to the next one's; the first starts at 0 and the last never ends.
pub(super) type Ranges = Vec<(u32, Outcome)>;

/// One number space.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) audit: u32,
    pub(super) ranges: Ranges,
}

/// All of a policy.
#[derive(Debug)]
pub(super) struct Layout {
    /// The native one first.
    pub(super) spaces: Vec<Space>,
    pub(super) chains: Vec<Chain>,
}

/// What numbers outside every listed convention get, as in libseccomp.
pub(super) const BAD_ARCH: Verdict = Verdict::KILL_THREAD;

impl Layout {
    pub(super) fn new(policy: &Policy) -> Self {
        let mut layout = Self { spaces: Vec::new(), chains: Vec::new() };
        for arch in policy.arches.iter().filter(|arch| **arch != Arch::X32) {
            let mut ranges = Ranges::new();
            layout.add(policy, *arch, 0, &mut ranges);
            if *arch == Arch::X86_64 {
                layout.add_x32(policy, &mut ranges);
            }
            ranges.dedup_by_key(|range| range.1);
            layout.spaces.push(Space { audit: arch.audit(), ranges });
        }
        layout
    }

    fn add_x32(&mut self, policy: &Policy, ranges: &mut Ranges) {
        if policy.arches.contains(&Arch::X32) {
            self.add(policy, Arch::X32, Arch::X32_BIT, ranges);
        } else {
            start(ranges, Arch::X32_BIT, Outcome::Return(BAD_ARCH));
            // A tracer that skips a call sets its number to -1 and the filter sees that.
            start(ranges, u32::MAX, Outcome::Return(policy.default));
        }
    }

    /// Appends the ranges of one architecture from `base` on.
    fn add(&mut self, policy: &Policy, arch: Arch, base: u32, ranges: &mut Ranges) {
        let entries = entries(policy, arch);
        let default = Outcome::Return(policy.default);
        start(ranges, base, default);
        let private = |number: u32| arch == Arch::Arm && number >= Arch::ARM_PRIVATE;
        let newest =
            entries.iter().filter(|entry| entry.mux.is_none() && !private(entry.number)).map(|e| e.number).max();
        let mut newest = newest.filter(|_| policy.hides_newer_calls());
        let mut hide = |ranges: &mut Ranges| {
            let Some(newest) = newest.take() else { return };
            start(ranges, newest + 1, Outcome::Return(Verdict::errno(ENOSYS)));
            if arch == Arch::Arm {
                start(ranges, Arch::ARM_PRIVATE, default);
            }
        };
        for same in entries.chunk_by(|a, b| a.number == b.number) {
            let number = same[0].number;
            if private(number) {
                hide(ranges);
            }
            if let Some(outcome) = self.outcome(policy, arch, same) {
                start(ranges, number, outcome);
                start(ranges, number + 1, default);
            }
        }
        hide(ranges);
    }

    fn outcome(&mut self, policy: &Policy, arch: Arch, same: &[Entry<'_>]) -> Option<Outcome> {
        let effective = || same.iter().filter(|entry| entry.rule.verdict != policy.default);
        if let Some(always) = effective().find(|entry| entry.mux.is_none() && entry.rule.any_of.is_empty()) {
            return Some(Outcome::Return(always.rule.verdict));
        }
        let mut alternatives: Vec<Alternative> =
            effective().flat_map(|entry| entry.alternatives(policy.default)).collect();
        alternatives.sort_by_key(|alternative| alternative.verdict.severity());
        let narrow = arch.narrow();
        for alternative in &mut alternatives {
            alternative.checks.retain(|check| !check.always_holds(narrow));
        }
        // What follows an alternative that always applies is never asked.
        if let Some(always) = alternatives.iter().position(|alternative| alternative.checks.is_empty()) {
            alternatives.truncate(always + 1);
        }
        match alternatives.as_slice() {
            [] => None,
            [only] if only.checks.is_empty() => Some(Outcome::Return(only.verdict)),
            _ => Some(Outcome::Checks(self.chain(Chain { narrow, alternatives }))),
        }
    }

    /// Calls with equal conditions share their code.
    fn chain(&mut self, chain: Chain) -> usize {
        self.chains.iter().position(|known| *known == chain).unwrap_or_else(|| {
            self.chains.push(chain);
            self.chains.len() - 1
        })
    }
}

/// Begins a range; one that begins at the same number is replaced.
fn start(ranges: &mut Ranges, number: u32, outcome: Outcome) {
    if ranges.last().is_some_and(|last| last.0 == number) {
        ranges.pop();
    }
    ranges.push((number, outcome));
}

/// A rule's word about one number.
struct Entry<'a> {
    number: u32,
    rule: &'a Rule,
    /// The first argument that stands for the call behind a multiplexed number.
    mux: Option<u32>,
}

impl Entry<'_> {
    /// Behind a multiplexed number the arguments are out of the filter's sight. A rule with conditions then refuses the
    /// whole call, or allows nothing: what cannot be checked is never let through. (libseccomp compares the pointer.)
    fn alternatives(&self, default: Verdict) -> Vec<Alternative> {
        let verdict = self.rule.verdict;
        let equal = |value| Check::new(0, SeccompOperator::Equal, u64::from(value));
        match self.mux {
            Some(_) if !self.rule.any_of.is_empty() && verdict.severity() > default.severity() => Vec::new(),
            Some(call) => vec![Alternative { checks: vec![equal(call)], verdict }],
            None => self.rule.any_of.iter().map(|checks| Alternative { checks: checks.clone(), verdict }).collect(),
        }
    }
}

/// Every rule's numbers on one architecture, sorted; rules of one number stay in the order of the profile.
fn entries(policy: &Policy, arch: Arch) -> Vec<Entry<'_>> {
    let mut entries = Vec::with_capacity(512);
    for rule in &policy.rules {
        for call in &rule.calls {
            if let Some(number) = syscalls::number(call, arch) {
                entries.push(Entry { number, rule, mux: None });
            }
            if arch == Arch::X86 {
                if let Some((number, call)) = syscalls::multiplexed(call.0) {
                    entries.push(Entry { number, rule, mux: Some(call) });
                }
            }
        }
    }
    entries.sort_by_key(|entry| entry.number);
    entries
}
