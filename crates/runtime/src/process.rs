//! The program of a container: finding it, and becoming the user and the set of rights it runs with.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci::runtime_spec::{Capabilities, Process, Rlimit, RlimitType};
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::process::{Resource, Rlimit as KernelRlimit, getrlimit, setrlimit};
use stdx::{Context, Error, Kind, Result};
use sys::Errno;
use sys::caps::{self, Set, Sets};

use crate::sync::{Failure, FailureKind};
use crate::users::Identity;

/// Where programs are looked for when the environment does not say.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds the program that `name` means, as a shell would: with a slash as it is, otherwise along `PATH`.
pub(crate) fn find_program(name: &str, env: &[String]) -> std::result::Result<PathBuf, Failure> {
    let failure = |kind, why: &str| Failure { kind, message: format!("cannot execute \"{name}\": {why}") };
    if name.is_empty() {
        return Err(failure(FailureKind::ProgramNotFound, "no command given"));
    }
    if name.contains('/') {
        let path = Path::new(name);
        return match executable(path) {
            Ok(()) => Ok(path.to_owned()),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(failure(FailureKind::ProgramNotFound, "no such file or directory"))
            }
            Err(Errno::ISDIR) => Err(failure(FailureKind::ProgramNotExecutable, "is a directory")),
            Err(Errno::LOOP) => Err(failure(FailureKind::ProgramNotExecutable, "too many levels of symbolic links")),
            Err(_) => Err(failure(FailureKind::ProgramNotExecutable, "permission denied")),
        };
    }
    let search = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let mut denied = false;
    for dir in search.split(':') {
        let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    match denied {
        true => Err(failure(FailureKind::ProgramNotExecutable, "permission denied")),
        false => Err(failure(FailureKind::ProgramNotFound, "executable file not found in $PATH")),
    }
}

/// The program's environment: of a name given twice the last value counts, and an empty or missing `HOME` is the user's.
pub(crate) fn environment(entries: &[String], home: &str) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut seen = BTreeSet::new();
    let mut env: Vec<String> = entries.iter().rev().filter(|entry| seen.insert(name(entry))).cloned().collect();
    env.reverse();
    env.retain(|entry| entry != "HOME=");
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    env
}

fn executable(path: &Path) -> sys::Result<()> {
    if FileType::from_raw_mode(stat(path)?.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

/// The failure of `execve` in words: the kernel's errnos mislead here.
pub(crate) fn exec_failure(program: &Path, errno: Errno) -> Failure {
    let (kind, why) = match errno {
        // The file was there a moment ago: what is missing is what it needs.
        Errno::NOENT => {
            let program = program.display();
            let why = "its interpreter or loader does not exist in the image";
            (FailureKind::ProgramNotFound, format!("{why} (exec {program}: no such file or directory)"))
        }
        Errno::NOEXEC => {
            (FailureKind::ProgramNotExecutable, "exec format error (is it built for this architecture?)".into())
        }
        Errno::ACCESS | Errno::PERM => (FailureKind::ProgramNotExecutable, "permission denied".into()),
        Errno::TOOBIG => (FailureKind::ProgramNotExecutable, "the arguments and the environment are too long".into()),
        other => (FailureKind::ProgramNotExecutable, other.to_string()),
    };
    Failure { kind, message: format!("cannot execute {program:?}: {why}") }
}

/// Sets the resource limits. One above what this process may set is cut to that, with a warning.
pub(crate) fn set_rlimits(limits: &[Rlimit], warn: &mut dyn FnMut(String)) -> Result<()> {
    for limit in limits {
        let resource = resource_of(limit.typ);
        let name = format!("{:?}", limit.typ).to_lowercase();
        let what = || format!("cannot set the limit {name} to {}:{}", limit.soft, limit.hard);
        if limit.soft > limit.hard {
            return Err(Error::invalid(format!("{}: the soft limit is above the hard one", what())));
        }
        let bounded = |value: u64| (value != u64::MAX).then_some(value);
        let wanted = KernelRlimit { current: bounded(limit.soft), maximum: bounded(limit.hard) };
        match setrlimit(resource, wanted) {
            Err(Errno::PERM) => {
                let hard = getrlimit(resource).maximum.unwrap_or(u64::MAX);
                let cut =
                    KernelRlimit { current: bounded(limit.soft.min(hard)), maximum: bounded(limit.hard.min(hard)) };
                setrlimit(resource, cut).context(what)?;
                warn(format!("cannot raise the limit {name} above {hard}: it stays there"));
            }
            result => result.context(what)?,
        }
    }
    Ok(())
}

fn resource_of(kind: RlimitType) -> Resource {
    match kind {
        RlimitType::As => Resource::As,
        RlimitType::Core => Resource::Core,
        RlimitType::Cpu => Resource::Cpu,
        RlimitType::Data => Resource::Data,
        RlimitType::Fsize => Resource::Fsize,
        RlimitType::Locks => Resource::Locks,
        RlimitType::Memlock => Resource::Memlock,
        RlimitType::Msgqueue => Resource::Msgqueue,
        RlimitType::Nice => Resource::Nice,
        RlimitType::Nofile => Resource::Nofile,
        RlimitType::Nproc => Resource::Nproc,
        RlimitType::Rss => Resource::Rss,
        RlimitType::Rtprio => Resource::Rtprio,
        RlimitType::Rttime => Resource::Rttime,
        RlimitType::Sigpending => Resource::Sigpending,
        RlimitType::Stack => Resource::Stack,
    }
}

/// Becomes the user with the capabilities of the configuration: none where it has none.
///
/// The order matters: the bounding set and the user change need capabilities that are given up afterwards, and the
/// permitted set survives the user change only while the keep flag is set.
pub(crate) fn set_credentials(process: &Process, identity: &Identity) -> Result<()> {
    let sets = process.capabilities.as_ref().map_or_else(Sets::default, capability_sets);
    caps::limit_bounding(sets.bounding).context(|| "cannot limit the capabilities".into())?;
    caps::keep_over_user_change(true).context(|| "cannot keep the capabilities".into())?;
    sys::process::set_groups(&identity.groups).context(|| format!("cannot set groups {:?}", identity.groups))?;
    sys::process::set_gid(identity.gid).context(|| format!("cannot become group {}", identity.gid))?;
    sys::process::set_uid(identity.uid).context(|| format!("cannot become user {}", identity.uid))?;
    caps::keep_over_user_change(false).context(|| "cannot drop the capabilities".into())?;
    caps::apply(&sets).context(|| "cannot set the capabilities".into())
}

/// The sets of the configuration, cut to what this process may pass on: a capability that the engine itself does not
/// have cannot be given, and asking the kernel for it would fail the whole container. So would one that it does not know.
fn capability_sets(capabilities: &Capabilities) -> Sets {
    let limit = caps::bounding();
    let set = |names: &[String]| set_of(names).and(limit);
    let (permitted, inheritable) = (set(&capabilities.permitted), set(&capabilities.inheritable));
    Sets {
        bounding: set(&capabilities.bounding),
        effective: set(&capabilities.effective).and(permitted),
        permitted,
        inheritable,
        ambient: set(&capabilities.ambient).and(permitted).and(inheritable),
    }
}

fn set_of(names: &[String]) -> Set {
    names.iter().filter_map(|name| Set::of(name)).fold(Set::default(), Set::or)
}

/// What [`set_credentials`] will not give, in words (config.md, "Linux Process", `capabilities`).
pub(crate) fn capability_warnings(process: &Process) -> Vec<String> {
    let Some(all) = &process.capabilities else { return Vec::new() };
    let limit = caps::bounding();
    let sets = [&all.bounding, &all.permitted, &all.inheritable, &all.effective, &all.ambient];
    let names: BTreeSet<&String> = sets.into_iter().flatten().collect();
    let refused = |name: &String| match Set::of(name) {
        None => Some(format!("unknown capability \"{name}\" is not given")),
        Some(set) if set.and(limit) == set => None,
        Some(_) => Some(format!("capability {name} cannot be given: this process may not have it itself")),
    };
    let possible = set_of(&all.permitted).and(set_of(&all.inheritable));
    let lost = |name: &&String| Set::of(name).is_some_and(|one| one.and(possible) == Set::default());
    let lost = all.ambient.iter().filter(lost);
    let lost = lost.map(|name| format!("can't raise ambient capability {name}: it is not permitted and inheritable"));
    names.into_iter().filter_map(refused).chain(lost).collect()
}

/// Executes the program. Returns only the failure.
pub(crate) fn execute(program: &Path, process: &Process, env: &[String]) -> std::result::Result<Infallible, Failure> {
    if process.args.is_empty() {
        return Err(Failure { kind: FailureKind::ProgramNotFound, message: "no command given".into() });
    }
    let invalid = |what: &str| Failure {
        kind: FailureKind::Setup(Kind::Invalid),
        message: format!("cannot execute {program:?}: {what} contains a NUL byte"),
    };
    let strings = |list: &[String], what: &str| -> std::result::Result<Vec<CString>, Failure> {
        list.iter().map(|s| CString::new(s.as_str()).map_err(|_| invalid(what))).collect()
    };
    let path = sys::mount::c_path(program).map_err(|_| invalid("its path"))?;
    let args = strings(&process.args, "an argument")?;
    let env = strings(env, "the environment")?;
    sys::exec::execve(&path, &args, &env).map_err(|errno| exec_failure(program, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts_and_home_is_never_empty() {
        let of = |entries: &[&str]| {
            environment(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>(), "/root").join(" ")
        };
        assert_eq!(of(&["A=1", "B=2", "A=3"]), "B=2 A=3 HOME=/root");
        assert_eq!(of(&["HOME=/x"]), "HOME=/x");
        assert_eq!(of(&["HOME=/x", "HOME=", "A=1"]), "A=1 HOME=/root");
    }

    #[test]
    fn capabilities_that_cannot_be_had_are_named() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<String>>();
        let process = |ambient: &[&str]| Process {
            capabilities: Some(Capabilities {
                bounding: names(&["CAP_KILL", "CAP_NONE"]),
                permitted: names(&["CAP_KILL", "CAP_CHOWN"]),
                inheritable: names(&["CAP_KILL"]),
                ambient: names(ambient),
                ..Capabilities::default()
            }),
            ..Process::default()
        };
        assert_eq!(capability_warnings(&process(&["CAP_KILL"])), ["unknown capability \"CAP_NONE\" is not given"]);
        assert!(
            capability_warnings(&process(&["CAP_CHOWN"]))[1].contains("can't raise ambient capability CAP_CHOWN: ")
        );
    }
}
