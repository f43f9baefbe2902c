//! The kernel's side: runs a filter over one call, and refuses what the kernel's verifier refuses.

use crate::seccomp::{Insn, Program};

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) audit: u32,
    pub(super) number: u32,
    pub(super) args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 if offset % 4 == 0 => {
                let argument = self.args[(offset as usize - 16) / 8];
                if offset % 8 == 0 { argument as u32 } else { (argument >> 32) as u32 }
            }
            _ => panic!("load from {offset}"),
        }
    }
}

/// The filter's verdict and how many instructions it took.
pub(super) fn run(program: &Program, call: &Call) -> (u32, usize) {
    let (mut accumulator, mut at) = (0, 0);
    for step in 1.. {
        let Insn { code, jt, jf, k } = program.instructions()[at];
        let branch = |holds: bool| usize::from(if holds { jt } else { jf });
        at += 1 + match code {
            0x20 => {
                accumulator = call.word(k);
                0
            }
            0x54 => {
                accumulator &= k;
                0
            }
            0x05 => k as usize,
            0x15 => branch(accumulator == k),
            0x25 => branch(accumulator > k),
            0x35 => branch(accumulator >= k),
            0x06 => return (k, step),
            other => panic!("instruction {other:#x}"),
        };
    }
    unreachable!("a program without loops ends")
}

/// Every path ends in a return, no jump leaves the program, and nothing is written in vain.
pub(super) fn verify(program: &Program) {
    let code = program.instructions();
    assert!(!code.is_empty() && code.len() <= Program::MAX_INSTRUCTIONS, "{} instructions", code.len());
    let mut reached = vec![false; code.len()];
    reached[0] = true;
    for (at, insn) in code.iter().enumerate() {
        assert!(reached[at], "instruction {at} of {} is never reached: {insn:?}", code.len());
        let targets = match insn.code {
            0x06 => vec![],
            0x05 => vec![insn.k as usize],
            0x15 | 0x25 | 0x35 => vec![usize::from(insn.jt), usize::from(insn.jf)],
            _ => vec![0],
        };
        for skip in targets {
            *reached.get_mut(at + 1 + skip).unwrap_or_else(|| panic!("{at} jumps out of the program")) = true;
        }
    }
}
