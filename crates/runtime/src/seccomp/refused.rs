//! Which system calls a filter refuses, by name: for people.

use oci::runtime_spec::Seccomp;
use stdx::Result;

use super::arch::Arch;
use super::default::default_policy;
use super::kernel::KernelVersion;
use super::layout::{Layout, Outcome};
use super::policy::{Policy, Verdict};
use super::syscalls;

/// The calls of this machine that do not simply go through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// Whatever their arguments.
    pub always: Vec<&'static str>,
    /// Depending on their arguments.
    pub sometimes: Vec<&'static str>,
}

/// What a profile refuses. Errors as [`super::compile`] has them.
pub fn refused(profile: &Seccomp) -> Result<Refused> {
    let native = Arch::native()?;
    Ok(of(&Policy::from_profile(profile, native)?, native))
}

/// What the default filter refuses a container whose bounding set holds `caps`.
pub fn refused_by_default(caps: &[String], kernel: KernelVersion) -> Result<Refused> {
    let native = Arch::native()?;
    Ok(of(&default_policy(caps, kernel, native), native))
}

fn of(policy: &Policy, native: Arch) -> Refused {
    let layout = Layout::new(policy);
    let Some(space) = layout.spaces.iter().find(|space| space.audit == native.audit()) else {
        return Refused::default();
    };
    let mut refused = Refused::default();
    for call in syscalls::all() {
        let Some(number) = syscalls::number(call, native) else { continue };
        let after = space.ranges.partition_point(|(start, _)| *start <= number);
        match after.checked_sub(1).and_then(|at| space.ranges.get(at)) {
            // Logging lets it through.
            Some((_, Outcome::Return(verdict))) if verdict.severity() >= Verdict::LOG.severity() => {}
            Some((_, Outcome::Checks(_))) => refused.sometimes.push(call.0),
            _ => refused.always.push(call.0),
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_filter_in_words() {
        let kernel = KernelVersion::new(6, 12);
        let plain = refused_by_default(&[], kernel).unwrap();
        assert!(plain.always.contains(&"mount") && plain.always.contains(&"keyctl"), "{plain:?}");
        assert!(!plain.always.contains(&"read") && !plain.sometimes.contains(&"read"));
        let sometimes: Vec<_> =
            plain.sometimes.iter().filter(|name| ["clone", "personality", "socket"].contains(name)).collect();
        assert_eq!(sometimes.len(), 3, "{plain:?}");
        let admin = refused_by_default(&["CAP_SYS_ADMIN".into()], kernel).unwrap();
        assert!(!admin.always.contains(&"mount") && admin.always.contains(&"keyctl"));
        // What only logs goes through.
        let log: Seccomp = serde_json::from_str(r#"{"defaultAction":"SCMP_ACT_LOG"}"#).unwrap();
        assert_eq!(refused(&log).unwrap(), Refused::default());
    }
}
