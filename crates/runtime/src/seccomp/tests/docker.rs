//! Docker's form of a profile.

use super::*;

const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}
    ],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": null},
        {"name": "close", "action": "SCMP_ACT_ALLOW", "args": []},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
         "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
    ]
}"#;

fn names(held: &[&str], kernel: KernelVersion, arch: Arch) -> Vec<String> {
    let profile = docker_profile(PROFILE.as_bytes(), &caps(held), kernel, arch).unwrap();
    profile.syscalls.into_iter().flat_map(|rule| rule.names).collect()
}

fn refused(json: &str) -> String {
    let error = docker_profile(json.as_bytes(), &[], KERNEL, Arch::X86_64).unwrap_err();
    assert_eq!(error.kind(), stdx::Kind::Invalid);
    error.to_string()
}

#[test]
fn rules_are_kept_by_capability_kernel_and_architecture() {
    let common = ["read", "write", "close"];
    let with = |more: &[&'static str]| [&common[..], more].concat();
    assert_eq!(names(&[], KERNEL, Arch::X86_64), with(&["ptrace", "clone", "arch_prctl", "clone3"]));
    assert_eq!(names(&["CAP_SYS_ADMIN"], KERNEL, Arch::X86_64), with(&["ptrace", "arch_prctl"]));
    let both = ["CAP_CHOWN", "CAP_SYS_ADMIN"];
    assert_eq!(names(&both, KERNEL, Arch::X86_64), with(&["ptrace", "mount", "arch_prctl"]));
    assert_eq!(names(&[], KernelVersion::new(4, 4), Arch::Aarch64), with(&["clone", "clone3"]));
}

#[test]
fn the_result_compiles() {
    let profile = docker_profile(PROFILE.as_bytes(), &[], KERNEL, Arch::X86_64).unwrap();
    assert_eq!(profile.architectures, [Arch::X86_64.to_spec(), Arch::X86.to_spec(), Arch::X32.to_spec()]);
    let program = compile_for(&profile, Arch::X86_64).unwrap();
    verify(&program);
    assert_eq!(native(&program, "close", &[]), ALLOW);
    assert_eq!(native(&program, "clone", &[0x11]), ALLOW);
    assert_eq!(native(&program, "clone", &[0x1000_0011]), EPERM);
    assert_eq!(native(&program, "clone3", &[]), ENOSYS);
    assert_eq!(native(&program, "mount", &[]), EPERM);
    assert_eq!(on(&program, Arch::X32, "read", &[]), ALLOW);
}

#[test]
fn a_plain_object_of_the_specification_is_one_too() {
    let plain = default_profile(&ordinary(), KERNEL, Arch::X86_64);
    let json = serde_json::to_vec(&plain).unwrap();
    assert_eq!(docker_profile(&json, &[], KERNEL, Arch::X86_64).unwrap(), plain);
}

#[test]
fn broken_files_are_refused_in_words() {
    let error = refused(r#"{"defaultAction": "SCMP_ACT_DENY"}"#);
    assert!(error.starts_with("cannot read the seccomp profile: unknown variant `SCMP_ACT_DENY`"), "{error}");
    let error = refused("{}");
    assert!(error.starts_with("cannot read the seccomp profile: missing field `defaultAction`"), "{error}");
    assert!(refused("[").starts_with("cannot read the seccomp profile: EOF while parsing"));
    assert!(refused(&"[".repeat(100_000)).starts_with("cannot read the seccomp profile: "));
    assert_eq!(
        refused(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
            "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#
        ),
        "seccomp profile has both \"architectures\" and \"archMap\"",
    );
    assert_eq!(
        refused(
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"name": "read", "names": ["write"], "action": "SCMP_ACT_ERRNO"}]}"#
        ),
        "seccomp rule has both \"names\" and \"name\" \"read\"",
    );
    assert_eq!(
        refused(
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "new"}}]}"#
        ),
        "\"new\" is not a kernel version, such as \"4.8\"",
    );
    assert_eq!(refused(&" ".repeat(MAX_PROFILE_BYTES + 1)), "seccomp profile is larger than 1048576 bytes");
}
