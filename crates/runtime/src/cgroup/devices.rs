//! Device rules: as lines for version 1, as an eBPF program for version 2.

use oci::runtime_spec::{DeviceRule, DeviceType};
use stdx::{Error, Result};
use sys::bpf::Instruction;

/// `c 1:3 rwm`, or `a` for everything.
pub(super) fn v1_line(rule: &DeviceRule) -> String {
    let kind = kind(rule);
    if kind == 'a' {
        return "a".into();
    }
    let number = |number: Option<i64>| number.filter(|&n| n >= 0).map_or("*".into(), |n| n.to_string());
    format!("{kind} {}:{} {}", number(rule.major), number(rule.minor), access(rule))
}

fn kind(rule: &DeviceRule) -> char {
    match rule.typ {
        None | Some(DeviceType::All) => 'a',
        Some(DeviceType::Block) => 'b',
        Some(DeviceType::Char | DeviceType::Unbuffered) => 'c',
        Some(DeviceType::Fifo) => 'p',
    }
}

/// Some write an `a`, which means nothing, beside the letters that do.
fn access(rule: &DeviceRule) -> String {
    if rule.access.is_empty() { "rwm".into() } else { rule.access.replace('a', "") }
}

const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;

/// The rules after one another, folded as version 1 folds them: a default and the exceptions to it.
#[derive(Debug, PartialEq, Eq)]
struct Policy {
    allow_by_default: bool,
    exceptions: Vec<Exception>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exception {
    block: bool,
    major: Option<i64>,
    minor: Option<i64>,
    access: u8,
}

fn fold(rules: &[DeviceRule]) -> Result<Policy> {
    let mut policy = Policy { allow_by_default: true, exceptions: Vec::new() };
    for rule in rules {
        let block = match kind(rule) {
            'a' => {
                policy = Policy { allow_by_default: rule.allow, exceptions: Vec::new() };
                continue;
            }
            'b' => true,
            'c' => false,
            other => return Err(Error::invalid(format!("invalid device type \"{other}\" in a device rule"))),
        };
        let access = access_bits(&access(rule))?;
        let wild = |number: Option<i64>| number.filter(|&n| n >= 0);
        let new = Exception { block, major: wild(rule.major), minor: wild(rule.minor), access };
        let same = |e: &&mut Exception| (e.block, e.major, e.minor) == (new.block, new.major, new.minor);
        let known = policy.exceptions.iter_mut().find(same);
        match (known, rule.allow == policy.allow_by_default) {
            (Some(exception), true) => exception.access &= !access,
            (Some(exception), false) => exception.access |= access,
            (None, true) => {}
            (None, false) => policy.exceptions.push(new),
        }
    }
    policy.exceptions.retain(|exception| exception.access != 0);
    Ok(policy)
}

fn access_bits(text: &str) -> Result<u8> {
    text.chars().try_fold(0, |bits, c| match c {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MKNOD),
        _ => Err(Error::invalid(format!("invalid device access \"{text}\""))),
    })
}

/// A program that answers 1 (allowed) or 0 from `struct bpf_cgroup_dev_ctx { u32 access_type, major, minor }`.
pub(super) fn program(rules: &[DeviceRule]) -> Result<Vec<Instruction>> {
    const LOAD_WORD: u8 = 0x61;
    const MOVE: u8 = 0xb7;
    const MOVE_REGISTER: u8 = 0xbf;
    const AND: u8 = 0x57;
    const SHIFT_RIGHT: u8 = 0x77;
    const JUMP_IF_NOT_EQUAL: u8 = 0x55;
    const JUMP_IF_EQUAL: u8 = 0x15;
    const EXIT: u8 = 0x95;
    // Registers: 1 context, 2 type, 3 access, 4 major, 5 minor, 0 result, 6 scratch.
    let op = |code, registers, offset, immediate| Instruction { code, registers, offset, immediate };
    let mut program = vec![
        op(LOAD_WORD, 0x12, 0, 0),
        op(AND, 0x02, 0, 0xffff),
        op(LOAD_WORD, 0x13, 0, 0),
        op(SHIFT_RIGHT, 0x03, 0, 16),
        op(LOAD_WORD, 0x14, 4, 0),
        op(LOAD_WORD, 0x15, 8, 0),
    ];
    let policy = fold(rules)?;
    for exception in &policy.exceptions {
        let mut tests = vec![(JUMP_IF_NOT_EQUAL, 0x02, if exception.block { 1 } else { 2 })];
        tests.extend(exception.major.map(|major| (JUMP_IF_NOT_EQUAL, 0x04, major as i32)));
        tests.extend(exception.minor.map(|minor| (JUMP_IF_NOT_EQUAL, 0x05, minor as i32)));
        // A device is allowed if all that is asked for is among what is listed, and denied if any of it is.
        let (mask, jump) = match policy.allow_by_default {
            false => (!i32::from(exception.access) & 7, JUMP_IF_NOT_EQUAL),
            true => (i32::from(exception.access), JUMP_IF_EQUAL),
        };
        // After the tests come: copy, mask, jump, result, exit. A failing test skips to the next exception.
        let mut left = tests.len() as i16 + 4;
        for (code, register, value) in tests {
            program.push(op(code, register, left, value));
            left -= 1;
        }
        program.push(op(MOVE_REGISTER, 0x36, 0, 0));
        program.push(op(AND, 0x06, 0, mask));
        program.push(op(jump, 0x06, 2, 0));
        program.push(op(MOVE, 0x00, 0, i32::from(!policy.allow_by_default)));
        program.push(op(EXIT, 0, 0, 0));
    }
    program.push(op(MOVE, 0x00, 0, i32::from(policy.allow_by_default)));
    program.push(op(EXIT, 0, 0, 0));
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, typ: &str, numbers: (i64, i64), access: &str) -> DeviceRule {
        let wild = |n: i64| (n >= 0).then_some(n);
        DeviceRule {
            allow,
            typ: Some(match typ {
                "a" => DeviceType::All,
                "b" => DeviceType::Block,
                _ => DeviceType::Char,
            }),
            major: wild(numbers.0),
            minor: wild(numbers.1),
            access: access.into(),
        }
    }

    /// Runs a program of the few operations above.
    fn run(program: &[Instruction], block: bool, major: i64, minor: i64, access: u8) -> bool {
        let mut registers = [0i64; 10];
        let context = [i64::from(access) << 16 | if block { 1 } else { 2 }, major, minor];
        let mut at = 0;
        loop {
            let i = program[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            at += 1;
            match i.code {
                0x61 => registers[to] = context[i.offset as usize / 4],
                0xb7 => registers[to] = i64::from(i.immediate),
                0xbf => registers[to] = registers[from],
                0x57 => registers[to] &= i64::from(i.immediate),
                0x77 => registers[to] >>= i.immediate,
                0x55 if registers[to] != i64::from(i.immediate) => at += i.offset as usize,
                0x15 if registers[to] == i64::from(i.immediate) => at += i.offset as usize,
                0x55 | 0x15 => {}
                0x95 => return registers[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    #[test]
    fn a_white_list_allows_what_it_lists() {
        let rules = [
            rule(false, "a", (-1, -1), "rwm"),
            rule(true, "c", (1, 3), "r"),
            rule(true, "c", (1, 3), "w"),
            rule(true, "c", (-1, -1), "m"),
            rule(true, "b", (8, -1), "rwm"),
            rule(false, "b", (8, -1), "w"),
        ];
        let program = program(&rules).unwrap();
        assert!(run(&program, false, 1, 3, READ | WRITE));
        assert!(!run(&program, false, 1, 3, READ | MKNOD), "two entries are not one");
        assert!(run(&program, false, 9, 9, MKNOD));
        assert!(!run(&program, false, 9, 9, READ));
        assert!(run(&program, true, 8, 1, READ));
        assert!(!run(&program, true, 8, 1, WRITE));
        assert!(!run(&program, true, 9, 1, READ));
    }

    #[test]
    fn a_black_list_denies_what_it_lists() {
        let program = program(&[rule(true, "a", (-1, -1), "rwm"), rule(false, "c", (1, 3), "w")]).unwrap();
        assert!(!run(&program, false, 1, 3, READ | WRITE));
        assert!(run(&program, false, 1, 3, READ));
        assert!(run(&program, true, 1, 3, WRITE));
    }

    #[test]
    fn lines_of_version_1() {
        assert_eq!(v1_line(&rule(false, "a", (-1, -1), "rwm")), "a");
        assert_eq!(v1_line(&rule(true, "c", (136, -1), "rwm")), "c 136:* rwm");
    }
}
