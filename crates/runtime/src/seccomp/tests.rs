//! Compiled programs against a naive reading of the profile, through an interpreter of classic BPF.

mod docker;
mod interpreter;
mod naive;

use oci::runtime_spec::Seccomp;
use serde_json::{Value, json};

use interpreter::{Call, run, verify};

use super::*;

const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const NOTIFY: u32 = 0x7fc0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ARM: u32 = 0x4000_0028;
const X32_BIT: u32 = 0x4000_0000;

const KERNEL: KernelVersion = KernelVersion::new(6, 18);

fn profile(json: Value) -> Seccomp {
    serde_json::from_value(json).unwrap()
}

/// For x86_64, checked for what the kernel refuses.
fn program(json: Value) -> Program {
    let program = compile_for(&profile(json), Arch::X86_64).unwrap();
    verify(&program);
    program
}

fn error(json: Value) -> String {
    compile_for(&profile(json), Arch::X86_64).unwrap_err().to_string()
}

/// The verdict on a native call with the given first arguments.
fn native(program: &Program, name: &str, args: &[u64]) -> u32 {
    on(program, Arch::X86_64, name, args)
}

fn on(program: &Program, arch: Arch, name: &str, args: &[u64]) -> u32 {
    let number = syscalls::number(syscalls::lookup(name).unwrap(), arch).unwrap();
    raw(program, arch.audit(), number, args)
}

fn raw(program: &Program, audit: u32, number: u32, args: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    run(program, &Call { audit, number, args: all }).0
}

/// Allows `read` if the checks on it hold.
fn checked(checks: Value) -> Program {
    program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": checks}],
    }))
}

fn caps(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Docker's default set, the part that matters to the filter.
fn ordinary() -> Vec<String> {
    caps(&["CAP_CHOWN", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT", "CAP_MKNOD"])
}

fn default(caps: &[String]) -> Program {
    let program = default::compile_default(caps, KERNEL, Arch::X86_64).unwrap();
    verify(&program);
    program
}

#[test]
fn the_table_of_calls_is_sorted_and_agrees_with_the_kernel() {
    assert!(syscalls::TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let number = |name: &str, arch| syscalls::number(syscalls::lookup(name).unwrap(), arch);
    assert_eq!(number("read", Arch::X86_64), Some(0));
    assert_eq!(number("execve", Arch::X32), Some(X32_BIT + 520));
    assert_eq!(number("socket", Arch::X86), Some(359));
    assert_eq!(number("openat", Arch::Aarch64), Some(56));
    assert_eq!(number("open", Arch::Aarch64), None);
    assert_eq!(number("set_tls", Arch::Arm), Some(0x000f_0005));
    for arch in [Arch::X86_64, Arch::X32, Arch::X86, Arch::Aarch64, Arch::Arm] {
        assert_eq!(number("clone3", arch).unwrap() & !X32_BIT, 435);
        assert_eq!(number("file_setattr", arch).unwrap() & !X32_BIT, 469);
    }
    assert!(syscalls::lookup("no_such_call").is_none());
}

#[test]
fn each_operator_compares_all_64_bits() {
    let edges = [0, 1, 2, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x7fff_ffff_ffff_ffff, 1 << 63, u64::MAX];
    type Holds = fn(u64, u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("SCMP_CMP_NE", |a, b| a != b),
        ("SCMP_CMP_LT", |a, b| a < b),
        ("SCMP_CMP_LE", |a, b| a <= b),
        ("SCMP_CMP_EQ", |a, b| a == b),
        ("SCMP_CMP_GE", |a, b| a >= b),
        ("SCMP_CMP_GT", |a, b| a > b),
    ];
    for (op, holds) in operators {
        for value in edges {
            for index in [0, 5] {
                // Alone, and beside another argument: two ways of code.
                let alone = checked(json!([{"index": index, "op": op, "value": value}]));
                let beside = checked(json!([
                    {"index": index, "op": op, "value": value}, {"index": 2, "op": "SCMP_CMP_EQ", "value": 0},
                ]));
                for argument in edges {
                    let mut args = [0; 6];
                    args[index] = argument;
                    let expected = if holds(argument, value) { ALLOW } else { EPERM };
                    assert_eq!(native(&alone, "read", &args), expected, "{argument:#x} {op} {value:#x}");
                    assert_eq!(
                        native(&beside, "read", &args),
                        expected,
                        "{argument:#x} {op} {value:#x}, two arguments"
                    );
                    args[2] = 1 << 40;
                    assert_eq!(native(&beside, "read", &args), EPERM);
                }
            }
        }
    }
}

#[test]
fn masked_comparison_looks_at_the_masked_bits_of_both_halves() {
    let mask = 0x00ff_0000_0000_ff00_u64;
    let both = checked(
        json!([{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": 0x0011_0000_0000_2200_u64}]),
    );
    assert_eq!(native(&both, "read", &[0x7711_7777_7777_2277]), ALLOW);
    assert_eq!(native(&both, "read", &[0x7712_7777_7777_2277]), EPERM);
    assert_eq!(native(&both, "read", &[0x7711_7777_7777_2377]), EPERM);
    // Bits outside the mask do not count, as in libseccomp.
    let outside = checked(json!([{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 1, "valueTwo": 3}]));
    assert_eq!(native(&outside, "read", &[5]), ALLOW);
    assert_eq!(native(&outside, "read", &[4]), EPERM);
    let nothing = checked(json!([{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0, "valueTwo": 0}]));
    assert_eq!(native(&nothing, "read", &[u64::MAX]), ALLOW);
}

#[test]
fn conditions_on_different_arguments_are_joined_by_and_on_the_same_by_or() {
    let and = checked(json!([
        {"index": 0, "op": "SCMP_CMP_EQ", "value": 1}, {"index": 1, "op": "SCMP_CMP_GT", "value": 10},
    ]));
    assert_eq!(native(&and, "read", &[1, 11]), ALLOW);
    assert_eq!(native(&and, "read", &[1, 10]), EPERM);
    assert_eq!(native(&and, "read", &[2, 11]), EPERM);
    let or = checked(json!([
        {"index": 0, "op": "SCMP_CMP_EQ", "value": 1},
        {"index": 0, "op": "SCMP_CMP_EQ", "value": 2},
        {"index": 1, "op": "SCMP_CMP_EQ", "value": 3},
    ]));
    for (args, expected) in [([1, 0], ALLOW), ([2, 0], ALLOW), ([9, 3], ALLOW), ([9, 0], EPERM)] {
        assert_eq!(native(&or, "read", &args), expected, "{args:?}");
    }
}

#[test]
fn on_32_bit_only_the_lower_half_counts() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["openat"], "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 0, "op": "SCMP_CMP_EQ", "value": 0xffff_ffff_ffff_ff9c_u64},
        ]}],
    }));
    assert_eq!(on(&program, Arch::X86, "openat", &[0xffff_ff9c]), EPERM);
    assert_eq!(on(&program, Arch::X32, "openat", &[0xffff_ff9c]), EPERM);
    assert_eq!(native(&program, "openat", &[0xffff_ff9c]), ALLOW);
    assert_eq!(native(&program, "openat", &[0xffff_ffff_ffff_ff9c]), EPERM);
}

#[test]
fn a_rule_without_conditions_decides_and_the_first_of_them() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]},
            {"names": ["read", "write"], "action": "SCMP_ACT_LOG"},
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["write"], "action": "SCMP_ACT_ERRNO"},
        ],
    }));
    assert_eq!(native(&program, "read", &[1]), LOG);
    assert_eq!(native(&program, "write", &[]), LOG);
}

#[test]
fn overlapping_conditions_give_the_stricter_verdict_in_any_order() {
    let mut rules = vec![
        json!({"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [{"index": 1, "op": "SCMP_CMP_GE", "value": 5}]}),
        json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_LT", "value": 9}]}),
        json!({"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 3}]}),
    ];
    for _ in 0..rules.len() {
        rules.rotate_left(1);
        let program = program(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}));
        assert_eq!(native(&program, "read", &[3, 9]), KILL_PROCESS);
        assert_eq!(native(&program, "read", &[4, 9]), TRAP);
        assert_eq!(native(&program, "read", &[4, 4]), ALLOW);
        assert_eq!(native(&program, "read", &[9, 4]), EPERM);
    }
}

#[test]
fn a_rule_with_the_default_action_says_nothing() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
        ],
    }));
    assert_eq!(native(&program, "read", &[]), ALLOW);
    assert_eq!(native(&program, "write", &[]), 0x0005_000d);
}

#[test]
fn every_action_is_the_kernels_number() {
    let actions = [
        ("SCMP_ACT_KILL", None, KILL_THREAD),
        ("SCMP_ACT_KILL_THREAD", None, KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", None, KILL_PROCESS),
        ("SCMP_ACT_TRAP", None, TRAP),
        ("SCMP_ACT_ERRNO", None, EPERM),
        ("SCMP_ACT_ERRNO", Some(4095), 0x0005_0fff),
        ("SCMP_ACT_TRACE", None, 0x7ff0_0001),
        ("SCMP_ACT_TRACE", Some(0xffff), 0x7ff0_ffff),
        ("SCMP_ACT_LOG", None, LOG),
        ("SCMP_ACT_NOTIFY", None, NOTIFY),
        ("SCMP_ACT_ALLOW", None, ALLOW),
    ];
    for (action, errno, expected) in actions {
        let rules = json!([{"names": ["read"], "action": action, "errnoRet": errno}]);
        let default = if expected == ALLOW { "SCMP_ACT_KILL" } else { "SCMP_ACT_ALLOW" };
        let program = program(json!({"defaultAction": default, "listenerPath": "/run/agent", "syscalls": rules}));
        assert_eq!(native(&program, "read", &[]), expected, "{action}");
        assert_eq!(program.has_listener(), expected == NOTIFY);
        if expected != NOTIFY {
            let program = self::program(json!({"defaultAction": action, "defaultErrnoRet": errno}));
            assert_eq!(native(&program, "read", &[]), expected, "{action} by default");
        }
    }
}

#[test]
fn foreign_conventions_are_killed_and_a_skipped_call_is_not() {
    let only_native = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
    }));
    assert_eq!(raw(&only_native, X86_64, 0, &[]), ALLOW);
    assert_eq!(raw(&only_native, X86, 3, &[]), KILL_THREAD);
    assert_eq!(raw(&only_native, ARM, 3, &[]), KILL_THREAD);
    assert_eq!(raw(&only_native, X86_64, X32_BIT, &[]), KILL_THREAD);
    assert_eq!(raw(&only_native, X86_64, u32::MAX - 1, &[]), KILL_THREAD);
    assert_eq!(raw(&only_native, X86_64, u32::MAX, &[]), EPERM);
    let all = program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        // The native one is filtered though it is not listed; what cannot run here is left out.
        "architectures": ["SCMP_ARCH_X32", "SCMP_ARCH_MIPS64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["read", "execve"], "action": "SCMP_ACT_ALLOW"}],
    }));
    assert_eq!(raw(&all, X86_64, 0, &[]), ALLOW);
    assert_eq!(raw(&all, X86, 3, &[]), ALLOW);
    assert_eq!(raw(&all, X86_64, X32_BIT, &[]), ALLOW);
    assert_eq!(raw(&all, X86_64, X32_BIT + 520, &[]), ALLOW);
    assert_eq!(raw(&all, X86_64, X32_BIT + 59, &[]), EPERM);
    assert_eq!(raw(&all, X86_64, 520, &[]), ENOSYS);
    assert_eq!(raw(&all, AARCH64, 63, &[]), KILL_THREAD);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist_unless_the_default_lets_them_pass() {
    let rules = json!([{"names": ["read", "clone3", "not_yet_invented"], "action": "SCMP_ACT_LOG"}]);
    for (default, expected) in [
        ("SCMP_ACT_ERRNO", ENOSYS),
        ("SCMP_ACT_KILL_PROCESS", ENOSYS),
        ("SCMP_ACT_TRAP", ENOSYS),
        ("SCMP_ACT_ALLOW", ALLOW),
        ("SCMP_ACT_TRACE", 0x7ff0_0001),
    ] {
        let program = program(json!({"defaultAction": default, "syscalls": rules}));
        assert_eq!(raw(&program, X86_64, 435, &[]), LOG);
        assert_eq!(raw(&program, X86_64, 436, &[]), expected, "{default}");
        assert_eq!(raw(&program, X86_64, 100_000, &[]), expected, "{default}");
        assert_eq!(raw(&program, X86_64, 434, &[]), raw(&program, X86_64, 1, &[]));
    }
    // A rule that says nothing still tells how new the profile is.
    let program = program(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["clone3"], "action": "SCMP_ACT_ERRNO"},
    ]}));
    assert_eq!((raw(&program, X86_64, 435, &[]), raw(&program, X86_64, 436, &[])), (EPERM, ENOSYS));
}

#[test]
fn arms_private_calls_are_not_the_newest() {
    let profile = default_profile(&ordinary(), KERNEL, Arch::Aarch64);
    let program = compile_for(&profile, Arch::Aarch64).unwrap();
    verify(&program);
    assert_eq!(on(&program, Arch::Aarch64, "openat", &[]), ALLOW);
    assert_eq!(on(&program, Arch::Arm, "open", &[]), ALLOW);
    assert_eq!(on(&program, Arch::Arm, "set_tls", &[]), ALLOW);
    assert_eq!(on(&program, Arch::Arm, "usr26", &[]), EPERM);
    assert_eq!(raw(&program, ARM, 500, &[]), ENOSYS);
    assert_eq!(raw(&program, AARCH64, 500, &[]), ENOSYS);
    assert_eq!(raw(&program, X86_64, 0, &[]), KILL_THREAD);
}

#[test]
fn multiplexed_calls_of_32_bit_x86_follow_the_rule_of_their_name() {
    let program = program(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["socket", "shmat"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["bind"], "action": "SCMP_ACT_TRAP", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 7}]},
        ],
    }));
    assert_eq!(on(&program, Arch::X86, "socket", &[2]), EPERM);
    assert_eq!(on(&program, Arch::X86, "socketcall", &[1]), EPERM);
    assert_eq!(on(&program, Arch::X86, "socketcall", &[2]), TRAP);
    assert_eq!(on(&program, Arch::X86, "socketcall", &[3]), ALLOW);
    assert_eq!(on(&program, Arch::X86, "ipc", &[21]), EPERM);
    assert_eq!(on(&program, Arch::X86, "ipc", &[22]), ALLOW);
    // What is allowed under a condition that cannot be seen is not allowed.
    let program = self::program(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["connect"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]},
        ],
    }));
    assert_eq!(on(&program, Arch::X86, "socket", &[1]), ALLOW);
    assert_eq!(on(&program, Arch::X86, "socketcall", &[1]), EPERM);
    assert_eq!(on(&program, Arch::X86, "socketcall", &[3]), ALLOW);
}

#[test]
fn flags_and_listener() {
    let rules = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
    let flags = |json| program(json).flags();
    assert_eq!(flags(json!({"defaultAction": "SCMP_ACT_ALLOW"})), 4);
    assert_eq!(flags(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": []})), 0);
    let all = json!([
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ]);
    assert_eq!(flags(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": all})), 2 | 4);
    let listening = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": all, "listenerPath": "/a", "syscalls": rules});
    assert_eq!(flags(listening), 2 | 4 | 8 | 32);
}

#[test]
fn a_program_survives_being_kept() {
    let program = default(&ordinary());
    let blob = program.to_blob();
    assert_eq!(Program::from_blob(&blob).unwrap(), program);
    assert_eq!(program.code().len(), size_of_val(program.instructions()));
    for broken in [&blob[..0], &blob[..3], &blob[..4], &blob[..blob.len() - 1]] {
        assert!(Program::from_blob(broken).is_err());
    }
    assert!(Program::from_blob(&vec![0; 4 + 8 * 4097]).is_err());
}

#[test]
fn profiles_that_contradict_themselves_are_refused_in_words() {
    let rule = |rule: Value| error(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
    assert_eq!(
        rule(
            json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]})
        ),
        "seccomp rule compares argument 6, calls have 0 to 5",
    );
    assert_eq!(rule(json!({"names": [], "action": "SCMP_ACT_ERRNO"})), "seccomp rule names no system call");
    assert_eq!(
        rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
        "seccomp errno 4096 is above 4095",
    );
    assert_eq!(
        rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1})),
        "seccomp action \"SCMP_ACT_KILL\" takes no errno",
    );
    assert_eq!(
        rule(json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})),
        "seccomp action \"SCMP_ACT_NOTIFY\" needs a listenerPath",
    );
    assert_eq!(
        error(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/a", "syscalls": [
            {"names": ["write"], "action": "SCMP_ACT_NOTIFY"},
        ]})),
        "seccomp action SCMP_ACT_NOTIFY cannot be used for the write syscall",
    );
    assert_eq!(
        error(json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/a"})),
        "seccomp action \"SCMP_ACT_NOTIFY\" cannot be the default action",
    );
    assert_eq!(
        error(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"})),
        "seccomp listenerMetadata needs a listenerPath",
    );
}

/// Every third call, each with its own conditions: long chains between the leaves of the tree.
fn giant(conditions: u64) -> Value {
    let names = syscalls::TABLE.iter().map(|row| row.0).step_by(3);
    let rules = names.enumerate().map(|(call, name)| {
        let args: Vec<Value> = (0..conditions)
            .map(|arg| json!({"index": arg, "value": (call as u64) << 20 | arg << 50 | 1 << 40, "op": "SCMP_CMP_GT"}))
            .collect();
        json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": call % 60 + 1, "args": args})
    });
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules.collect::<Vec<_>>()})
}

#[test]
fn jumps_of_any_length_arrive() {
    let json = giant(3);
    let program = program(json.clone());
    assert!(program.instructions().len() > 2000, "{}", program.instructions().len());
    naive::compare(&profile(json), &program, Arch::X86_64);
}

#[test]
fn a_profile_too_long_for_the_kernel_is_refused() {
    let mut many = giant(6);
    many["architectures"] = json!(["SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    assert!(error(many).starts_with("seccomp profile needs more than the 4096 instructions the kernel takes"));
    let rules: Vec<Value> = (0..20_000_u64)
        .map(|n| json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": n << 33}]}))
        .collect();
    assert!(error(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})).contains("4096 instructions"));
}

#[test]
fn programs_agree_with_a_naive_reading_for_every_number() {
    for arch in [Arch::X86_64, Arch::Aarch64, Arch::X86, Arch::Arm] {
        for caps in [ordinary(), caps(&[]), caps(&["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"])] {
            let profile = default_profile(&caps, KERNEL, arch);
            let program = compile_for(&profile, arch).unwrap();
            verify(&program);
            naive::compare(&profile, &program, arch);
            // The short way gives the same program up to the order of equal things: the same verdicts.
            let direct = default::compile_default(&caps, KERNEL, arch).unwrap();
            verify(&direct);
            naive::compare(&profile, &direct, arch);
        }
    }
    for seed in 0..60 {
        let profile = naive::random_profile(seed);
        let program = compile_for(&profile, Arch::X86_64).unwrap();
        verify(&program);
        naive::compare(&profile, &program, Arch::X86_64);
    }
}

#[test]
fn the_default_allows_what_programs_need() {
    let program = default(&ordinary());
    for name in ["read", "openat", "execve", "mmap", "futex", "fork", "chroot", "ptrace", "mknod", "setuid", "prctl"] {
        assert_eq!(native(&program, name, &[]), ALLOW, "{name}");
        assert_eq!(on(&program, Arch::X86, name, &[]), ALLOW, "{name} on x86");
    }
    // What pthread_create and fork pass.
    assert_eq!(native(&program, "clone", &[0x003d_0f00]), ALLOW);
    assert_eq!(native(&program, "clone", &[0x0120_0011]), ALLOW);
    assert_eq!(native(&program, "clone3", &[]), ENOSYS);
    for family in [1, 2, 10, 16, 17] {
        assert_eq!(native(&program, "socket", &[family]), ALLOW, "family {family}");
    }
    for persona in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        assert_eq!(native(&program, "personality", &[persona]), ALLOW, "{persona:#x}");
        assert_eq!(on(&program, Arch::X86, "personality", &[persona]), ALLOW, "{persona:#x}");
    }
}

#[test]
fn the_default_refuses_the_rest() {
    let program = default(&ordinary());
    for name in [
        "mount",
        "umount2",
        "pivot_root",
        "unshare",
        "setns",
        "open_tree",
        "move_mount",
        "fsopen",
        "mount_setattr",
        "bpf",
        "perf_event_open",
        "keyctl",
        "add_key",
        "request_key",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "userfaultfd",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "reboot",
        "swapon",
        "swapoff",
        "iopl",
        "ioperm",
        "settimeofday",
        "clock_settime",
        "acct",
        "syslog",
        "quotactl",
        "open_by_handle_at",
        "kcmp",
        "pidfd_getfd",
        "process_madvise",
        "mbind",
        "set_mempolicy",
        "move_pages",
        "migrate_pages",
        "vhangup",
        "nfsservctl",
        "_sysctl",
        "uselib",
        "ustat",
        "sysfs",
        "lookup_dcookie",
        "fanotify_init",
        "sethostname",
        "setdomainname",
    ] {
        assert_eq!(native(&program, name, &[]), EPERM, "{name}");
    }
    for flag in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
            assert_eq!(on(&program, arch, "clone", &[flag | 0x11]), EPERM, "clone {flag:#x}");
        }
    }
    for family in [12, 19, 20, 23, 25, 34, 37, 38, 40, 46, 1 << 32 | 1, u64::MAX] {
        assert_eq!(native(&program, "socket", &[family]), EPERM, "family {family}");
    }
    for persona in [1, 0x4_0000, 0x40_0000, 0xffff_fffe, 1 << 32 | 0xffff_ffff] {
        assert_eq!(native(&program, "personality", &[persona]), EPERM, "{persona:#x}");
    }
    assert_eq!(raw(&program, X86_64, 467, &[]), ENOSYS, "open_tree_attr is newer than the list");
    assert_eq!(raw(&program, X86_64, 600, &[]), ENOSYS);
    assert_eq!(raw(&program, AARCH64, 63, &[]), KILL_THREAD);
}

#[test]
fn capabilities_open_their_calls() {
    let admin = default(&caps(&["CAP_SYS_ADMIN"]));
    for name in ["mount", "unshare", "setns", "clone", "clone3", "bpf", "fsopen", "sethostname"] {
        assert_eq!(native(&admin, name, &[u64::MAX]), ALLOW, "{name}");
    }
    assert_eq!(native(&admin, "chroot", &[]), EPERM);
    assert_eq!(native(&admin, "keyctl", &[]), EPERM);
    for (cap, name) in [
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_MODULE", "init_module"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_SYS_PTRACE", "kcmp"),
        ("CAP_SYS_RAWIO", "iopl"),
        ("CAP_SYS_TIME", "clock_settime"),
        ("CAP_SYS_TTY_CONFIG", "vhangup"),
        ("CAP_SYS_NICE", "mbind"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_BPF", "bpf"),
        ("CAP_PERFMON", "perf_event_open"),
    ] {
        assert_eq!(native(&default(&caps(&[cap])), name, &[]), ALLOW, "{name} with {cap}");
        assert_eq!(native(&default(&caps(&[])), name, &[]), EPERM, "{name} without {cap}");
        assert_eq!(native(&default(&caps(&[cap])), "clone", &[0x11]), ALLOW, "fork with {cap}");
    }
    let old = default::compile_default(&[], KernelVersion::new(4, 7), Arch::X86_64).unwrap();
    assert_eq!(native(&old, "ptrace", &[]), EPERM);
}

#[test]
fn the_default_names_only_calls_that_exist_and_each_once_a_condition() {
    for name in default::all_names() {
        assert!(syscalls::lookup(name).is_some(), "{name}");
    }
    for caps in [ordinary(), caps(&[])] {
        let mut names: Vec<_> = default_profile(&caps, KERNEL, Arch::X86_64)
            .syscalls
            .into_iter()
            .filter(|rule| rule.args.is_empty())
            .flat_map(|rule| rule.names)
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

#[test]
fn kernel_versions() {
    let parse = |text| KernelVersion::parse(text).ok();
    assert_eq!(parse("6.18.44-fc-v595"), Some(KernelVersion::new(6, 18)));
    assert_eq!(parse("4.8"), Some(KernelVersion::new(4, 8)));
    assert_eq!(parse("6.1-rc3"), Some(KernelVersion::new(6, 1)));
    assert_eq!(parse("6.12+"), Some(KernelVersion::new(6, 12)));
    assert!(KernelVersion::new(4, 10) > KernelVersion::new(4, 8));
    for text in ["", "6", "six.one", "6.", ".1", "99999999999.1"] {
        let error = KernelVersion::parse(text).unwrap_err().to_string();
        assert_eq!(error, format!("\"{text}\" is not a kernel version, such as \"4.8\""));
    }
}

/// `cargo test --release -p runtime seccomp_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn seccomp_speed() {
    let caps = ordinary();
    let profile = default_profile(&caps, KERNEL, Arch::X86_64);
    let time = |what: &str, compile: &dyn Fn() -> Program| {
        let mut best = std::time::Duration::MAX;
        for _ in 0..1000 {
            let start = std::time::Instant::now();
            std::hint::black_box(compile());
            best = best.min(start.elapsed());
        }
        let program = compile();
        let steps = syscalls::TABLE.iter().filter_map(|row| syscalls::number(row, Arch::X86_64));
        let deepest = steps.map(|number| run(&program, &Call { audit: X86_64, number, args: [0; 6] }).1).max();
        let length = program.instructions().len();
        // The test harness shows it with --nocapture.
        std::io::Write::write_fmt(
            &mut std::io::stdout(),
            format_args!("{what}: {best:?}, {length} instructions, at most {deepest:?} for a call\n"),
        )
        .unwrap();
    };
    time("direct", &|| default::compile_default(&caps, KERNEL, Arch::X86_64).unwrap());
    time("from a profile", &|| compile_for(&profile, Arch::X86_64).unwrap());
}
