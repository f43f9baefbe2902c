//! From ranges to instructions: a balanced tree over the numbers of each space, leaves shared where a jump reaches them.
//!
//! Classic BPF jumps forward only, and a comparison only 255 instructions far. So the program is written from its end to
//! its beginning: whatever an instruction jumps to exists already and its distance is known. A target too far away gets
//! a stepping stone: a plain jump (which reaches any distance), or for a verdict simply another `ret`.
//!
//! Only instructions that the kernel's own emulation knows are used before a verdict that depends on the number alone,
//! so it can remember for each call that it is always allowed and skip the filter (`seccomp_cache_prepare`).

use oci::runtime_spec::SeccompOperator;
use stdx::{Error, Result};

use super::layout::{BAD_ARCH, Chain, Layout, Outcome, Ranges};
use super::policy::{Check, Verdict};
use super::program::{Insn, Program};

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Where a comparison leads.
#[derive(Debug, Clone, Copy)]
enum Target {
    Return(Verdict),
    /// An instruction, by its count from the end of the program.
    At(usize),
}

/// Writes the program of a layout. `default` is what a chain gives when nothing applies.
pub(super) fn emit(layout: &Layout, default: Verdict, flags: u32) -> Result<Program> {
    // Each check takes two instructions at least: refuse what cannot fit before writing it out.
    let checks = |chain: &Chain| chain.alternatives.iter().map(|one| one.checks.len()).sum::<usize>();
    if layout.chains.iter().map(checks).sum::<usize>() > Program::MAX_INSTRUCTIONS / 2 {
        return Err(too_long());
    }
    let mut emitter =
        Emitter { code: Vec::with_capacity(1024), returns: Vec::new(), chains: Vec::new(), layout, default };
    emitter.chains.resize(layout.chains.len(), None);
    emitter.program();
    if emitter.code.len() > Program::MAX_INSTRUCTIONS {
        return Err(too_long());
    }
    emitter.code.reverse();
    Ok(Program { instructions: emitter.code, flags })
}

fn too_long() -> Error {
    let most = Program::MAX_INSTRUCTIONS;
    Error::invalid(format!("seccomp profile needs more than the {most} instructions the kernel takes"))
        .hint("name fewer architectures or compare fewer arguments")
}

struct Emitter<'a> {
    /// In reverse: the last instruction first.
    code: Vec<Insn>,
    /// The latest `ret` of each verdict.
    returns: Vec<(Verdict, usize)>,
    /// Where each chain of the layout begins, once written.
    chains: Vec<Option<Target>>,
    layout: &'a Layout,
    default: Verdict,
}

impl Emitter<'_> {
    fn program(&mut self) {
        let mut spaces = Vec::new();
        for space in self.layout.spaces.iter().rev() {
            let tree = self.tree(&space.ranges);
            spaces.push((space.audit, self.load(NUMBER, tree)));
        }
        let mut next = Target::Return(BAD_ARCH);
        for (audit, tree) in spaces {
            next = self.branch(IF_EQUAL, audit, tree, next);
        }
        self.load(ARCH, next);
    }

    /// A balanced search for the number in the accumulator.
    fn tree(&mut self, ranges: &[(u32, Outcome)]) -> Target {
        match ranges {
            [] => Target::Return(self.default),
            [(_, outcome)] => self.outcome(*outcome),
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let right = self.tree(high);
                let left = self.tree(low);
                self.branch(IF_GREATER_OR_EQUAL, high[0].0, right, left)
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome) -> Target {
        let index = match outcome {
            Outcome::Return(verdict) => return Target::Return(verdict),
            Outcome::Checks(index) => index,
        };
        if let Some(target) = self.chains[index] {
            return target;
        }
        let chain = &self.layout.chains[index];
        let target = match Values::of(chain, self.default) {
            Some(values) => self.search(&values, chain.narrow),
            None => self.chain(chain),
        };
        self.chains[index] = Some(target);
        target
    }

    /// The alternatives one after the other.
    fn chain(&mut self, chain: &Chain) -> Target {
        let mut next = Target::Return(self.default);
        for alternative in chain.alternatives.iter().rev() {
            let mut pass = Target::Return(alternative.verdict);
            for check in alternative.checks.iter().rev() {
                pass = self.check(check, chain.narrow, pass, next);
            }
            next = pass;
        }
        next
    }

    /// All alternatives at once, by a search for the value of the one argument they look at.
    fn search(&mut self, values: &Values, narrow: bool) -> Target {
        let tree = self.tree(&values.ranges);
        let lower = self.load(low(values.argument), tree);
        if narrow {
            return lower;
        }
        let beyond = self.outcome(values.beyond);
        let split = self.branch(IF_EQUAL, 0, lower, beyond);
        self.load(high(values.argument), split)
    }

    fn check(&mut self, check: &Check, narrow: bool, pass: Target, fail: Target) -> Target {
        match check.op {
            SeccompOperator::Equal | SeccompOperator::MaskedEqual => self.equal(check, narrow, pass, fail),
            SeccompOperator::NotEqual => self.equal(check, narrow, fail, pass),
            SeccompOperator::Greater => self.greater(IF_GREATER, check, narrow, pass, fail),
            SeccompOperator::GreaterOrEqual => self.greater(IF_GREATER_OR_EQUAL, check, narrow, pass, fail),
            SeccompOperator::Less => self.greater(IF_GREATER_OR_EQUAL, check, narrow, fail, pass),
            SeccompOperator::LessOrEqual => self.greater(IF_GREATER, check, narrow, fail, pass),
        }
    }

    fn equal(&mut self, check: &Check, narrow: bool, pass: Target, fail: Target) -> Target {
        let (mask, value) = (halves(check.mask), halves(check.value));
        let lower = self.equal_half(low(check.index), mask.1, value.1, pass, fail);
        if narrow { lower } else { self.equal_half(high(check.index), mask.0, value.0, lower, fail) }
    }

    fn equal_half(&mut self, offset: u32, mask: u32, value: u32, pass: Target, fail: Target) -> Target {
        // Nothing to compare: the value is within the mask, so both are zero.
        if mask == 0 {
            return pass;
        }
        let mut target = self.branch(IF_EQUAL, value, pass, fail);
        if mask != u32::MAX {
            target = self.push(AND, mask);
        }
        self.load(offset, target)
    }

    fn greater(&mut self, op: u16, check: &Check, narrow: bool, pass: Target, fail: Target) -> Target {
        let (upper, lower) = halves(check.value);
        let target = self.branch(op, lower, pass, fail);
        let target = self.load(low(check.index), target);
        if narrow {
            return target;
        }
        let target = self.branch(IF_EQUAL, upper, target, fail);
        let target = self.branch(IF_GREATER, upper, pass, target);
        self.load(high(check.index), target)
    }

    /// A comparison of the accumulator with a constant.
    fn branch(&mut self, op: u16, value: u32, yes: Target, no: Target) -> Target {
        let (yes, no) = (self.near(yes), self.near(no));
        let skip = |target: usize| u8::try_from(self.code.len() - target - 1).unwrap_or(u8::MAX);
        let insn = Insn { code: op, jt: skip(yes), jf: skip(no), k: value };
        self.code.push(insn);
        Target::At(self.code.len() - 1)
    }

    /// A load, which falls through to the instruction written last: `next` has to be that one, or is jumped to.
    fn load(&mut self, offset: u32, next: Target) -> Target {
        if !matches!(next, Target::At(at) if at + 1 == self.code.len()) {
            self.stone(next);
        }
        self.push(LOAD, offset)
    }

    /// An instruction within a comparison's reach that is the target or leads there.
    /// One more instruction may follow before the comparison itself.
    fn near(&mut self, target: Target) -> usize {
        const REACH: usize = u8::MAX as usize - 1;
        let known = match target {
            Target::At(at) => Some(at),
            Target::Return(verdict) => self.returns.iter().find(|known| known.0 == verdict).map(|known| known.1),
        };
        match known {
            Some(at) if self.code.len() - at - 1 <= REACH => at,
            _ => self.stone(target),
        }
    }

    /// Writes an instruction that goes to the target from here.
    fn stone(&mut self, target: Target) -> usize {
        match target {
            Target::At(at) => {
                // No program that is kept is long enough for the distance not to fit.
                self.push(JUMP, u32::try_from(self.code.len() - at - 1).unwrap_or(u32::MAX));
            }
            Target::Return(verdict) => {
                self.push(RETURN, verdict.0);
                self.returns.retain(|known| known.0 != verdict);
                self.returns.push((verdict, self.code.len() - 1));
            }
        }
        self.code.len() - 1
    }

    fn push(&mut self, code: u16, k: u32) -> Target {
        self.code.push(Insn { code, jt: 0, jf: 0, k });
        Target::At(self.code.len() - 1)
    }
}

/// A chain that compares one argument with small values.
struct Values {
    argument: u8,
    ranges: Ranges,
    /// For all values of more than 32 bits.
    beyond: Outcome,
}

impl Values {
    /// `None` if the chain is of another kind.
    fn of(chain: &Chain, default: Verdict) -> Option<Self> {
        let mut checks = Vec::with_capacity(chain.alternatives.len());
        let mut starts = vec![0];
        for alternative in &chain.alternatives {
            let [check] = alternative.checks.as_slice() else { return None };
            let check = if chain.narrow { check.narrowed() } else { *check };
            let value = u32::try_from(check.value).ok().filter(|_| check.op != SeccompOperator::MaskedEqual)?;
            starts.push(value);
            starts.extend(value.checked_add(1));
            checks.push((check, alternative.verdict));
        }
        let argument = checks.first()?.0.index;
        if checks.iter().any(|(check, _)| check.index != argument) {
            return None;
        }
        let outcome = |value: u64| {
            let matching = checks.iter().find(|(check, _)| check.matches(value));
            Outcome::Return(matching.map_or(default, |found| found.1))
        };
        starts.sort_unstable();
        starts.dedup();
        let mut ranges: Ranges = starts.into_iter().map(|start| (start, outcome(u64::from(start)))).collect();
        ranges.dedup_by_key(|range| range.1);
        Some(Self { argument, ranges, beyond: outcome(u64::MAX) })
    }
}

/// Upper and lower half.
fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// The lower half of an argument: all architectures here are little endian.
fn low(argument: u8) -> u32 {
    ARGUMENTS + 8 * u32::from(argument)
}

fn high(argument: u8) -> u32 {
    low(argument) + 4
}
