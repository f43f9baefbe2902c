//! The meaning of a profile, rule by rule and without cleverness.

use std::collections::{BTreeMap, BTreeSet};

use oci::runtime_spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompRule};

use super::*;

/// Compares program and profile for every number and for arguments around every value in the profile.
pub(super) fn compare(profile: &Seccomp, program: &Program, host: Arch) {
    let arches = host.family().iter().filter(|arch| **arch == host || profile.architectures.contains(&arch.to_spec()));
    for arch in arches {
        let base = if *arch == Arch::X32 { X32_BIT } else { 0 };
        let by_number = rules(profile, *arch);
        let newest = newest(profile, *arch, &by_number);
        for number in (0..1024).chain(0x000f_0000..0x000f_0010).map(|number| base + number) {
            let rules = by_number.get(&number).map_or(&[][..], Vec::as_slice);
            let hidden = newest.is_some_and(|newest| number > newest && !private(*arch, number));
            for args in arguments(rules) {
                let expected = if hidden { ENOSYS } else { verdict(profile, *arch, rules, &args) };
                let seen = run(program, &Call { audit: arch.audit(), number, args }).0;
                assert_eq!(seen, expected, "{arch:?} {number} {args:x?}");
            }
        }
    }
}

/// The rules of each number, those behind a multiplexed call as a comparison with its first argument.
fn rules(profile: &Seccomp, arch: Arch) -> BTreeMap<u32, Vec<SeccompRule>> {
    let default = value(profile.default_action, profile.default_errno_ret);
    let mut found = BTreeMap::<u32, Vec<SeccompRule>>::new();
    for rule in &profile.syscalls {
        let bare = SeccompRule { names: Vec::new(), ..rule.clone() };
        for name in &rule.names {
            let Some(row) = syscalls::lookup(name) else { continue };
            if let Some(number) = syscalls::number(row, arch) {
                found.entry(number).or_default().push(bare.clone());
            }
            let looser = severity(value(rule.action, rule.errno_ret)) > severity(default);
            let visible = arch == Arch::X86 && (rule.args.is_empty() || !looser);
            if let Some((mux, call)) = syscalls::multiplexed(name).filter(|_| visible) {
                let arg = SeccompArg { index: 0, value: u64::from(call), value_two: 0, op: SeccompOperator::Equal };
                found.entry(mux).or_default().push(SeccompRule { args: vec![arg], ..bare.clone() });
            }
        }
    }
    found
}

/// The newest call the profile names, if newer ones are hidden.
fn newest(profile: &Seccomp, arch: Arch, by_number: &BTreeMap<u32, Vec<SeccompRule>>) -> Option<u32> {
    if matches!(profile.default_action, SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace) {
        return None;
    }
    // A multiplexed number is old: it cannot be the newest unless nothing else is named.
    let mux = |number: u32| arch == Arch::X86 && (number == 102 || number == 117);
    let named = |number: u32| {
        !mux(number) || profile.syscalls.iter().flat_map(|rule| &rule.names).any(|n| n == "ipc" || n == "socketcall")
    };
    by_number.keys().copied().filter(|number| !private(arch, *number) && named(*number)).max()
}

fn private(arch: Arch, number: u32) -> bool {
    arch == Arch::Arm && number >= 0x000f_0000
}

/// Each argument in turn takes the values around those compared.
fn arguments(rules: &[SeccompRule]) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6]];
    let matching = |rule: &SeccompRule| {
        let mut args = [0; 6];
        for arg in &rule.args {
            args[arg.index as usize] = if arg.op == SeccompOperator::MaskedEqual { arg.value_two } else { arg.value };
        }
        args
    };
    for rule in rules {
        let base = matching(rule);
        all.push(base);
        all.push(base.map(|value| value.wrapping_add(1)));
        for arg in &rule.args {
            for value in [arg.value, arg.value_two] {
                for near in [value, value.wrapping_add(1), value.wrapping_sub(1), value ^ 1 << 32, value ^ 1 << 63] {
                    let mut args = base;
                    args[arg.index as usize] = near;
                    all.push(args);
                }
            }
        }
    }
    all
}

fn verdict(profile: &Seccomp, arch: Arch, rules: &[SeccompRule], args: &[u64; 6]) -> u32 {
    let default = value(profile.default_action, profile.default_errno_ret);
    let rules = || rules.iter().filter(|rule| value(rule.action, rule.errno_ret) != default);
    if let Some(always) = rules().find(|rule| rule.args.is_empty()) {
        return value(always.action, always.errno_ret);
    }
    let strictest = rules().filter(|rule| applies(rule, arch, args)).map(|rule| value(rule.action, rule.errno_ret));
    strictest.min_by_key(|verdict| severity(*verdict)).unwrap_or(default)
}

fn applies(rule: &SeccompRule, arch: Arch, args: &[u64; 6]) -> bool {
    let holds = |arg: &SeccompArg| {
        let low = |value: u64| if arch.narrow() { value & 0xffff_ffff } else { value };
        let (seen, value) = (low(args[arg.index as usize]), low(arg.value));
        match arg.op {
            SeccompOperator::NotEqual => seen != value,
            SeccompOperator::Less => seen < value,
            SeccompOperator::LessOrEqual => seen <= value,
            SeccompOperator::Equal => seen == value,
            SeccompOperator::GreaterOrEqual => seen >= value,
            SeccompOperator::Greater => seen > value,
            SeccompOperator::MaskedEqual => seen & value == low(arg.value_two) & value,
        }
    };
    let indexes: BTreeSet<u32> = rule.args.iter().map(|arg| arg.index).collect();
    if indexes.len() < rule.args.len() { rule.args.iter().any(holds) } else { rule.args.iter().all(holds) }
}

fn value(action: SeccompAction, errno: Option<u32>) -> u32 {
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => KILL_THREAD,
        SeccompAction::KillProcess => KILL_PROCESS,
        SeccompAction::Trap => TRAP,
        SeccompAction::Errno => 0x0005_0000 | errno.unwrap_or(1),
        SeccompAction::Trace => 0x7ff0_0000 | errno.unwrap_or(1),
        SeccompAction::Allow => ALLOW,
        SeccompAction::Log => LOG,
        SeccompAction::Notify => NOTIFY,
    }
}

fn severity(verdict: u32) -> i32 {
    (verdict & 0xffff_0000) as i32
}

/// Small numbers in no order: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Rules that overlap, contradict each other and repeat arguments.
pub(super) fn random_profile(seed: u64) -> Seccomp {
    const OPERATORS: [SeccompOperator; 7] = [
        SeccompOperator::NotEqual,
        SeccompOperator::Less,
        SeccompOperator::LessOrEqual,
        SeccompOperator::Equal,
        SeccompOperator::GreaterOrEqual,
        SeccompOperator::Greater,
        SeccompOperator::MaskedEqual,
    ];
    const ACTIONS: [SeccompAction; 6] = [
        SeccompAction::Allow,
        SeccompAction::Errno,
        SeccompAction::Log,
        SeccompAction::Trap,
        SeccompAction::KillThread,
        SeccompAction::KillProcess,
    ];
    const VALUES: [u64; 8] = [0, 1, 2, 40, 0xffff_ffff, 1 << 32, 1 << 32 | 2, u64::MAX];
    let mut random = Random(seed * 0x9e37_79b9 + 1);
    let mut syscalls = Vec::new();
    for _ in 0..random.below(40) + 1 {
        let names = (0..random.below(6) + 1).map(|_| random.pick(syscalls::TABLE).0.to_owned()).collect();
        // Few names as well, so that rules meet.
        let names =
            if random.below(2) == 0 { vec![random.pick(&["socket", "clone", "read"]).to_owned()] } else { names };
        let args = (0..random.below(4)).map(|_| SeccompArg {
            index: random.below(3) as u32,
            value: random.pick(&VALUES),
            value_two: random.pick(&VALUES),
            op: random.pick(&OPERATORS),
        });
        let args = args.collect();
        syscalls.push(SeccompRule { names, action: random.pick(&ACTIONS), errno_ret: None, args });
    }
    Seccomp {
        default_action: random.pick(&ACTIONS),
        default_errno_ret: None,
        architectures: vec![Arch::X86.to_spec(), Arch::X32.to_spec()],
        flags: None,
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls,
    }
}
