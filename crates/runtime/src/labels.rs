//! Labels of the security modules AppArmor and SELinux: refused where the kernel does not run the module, since a process
//! without its label is less confined than was asked for.

use std::fs;

use oci::runtime_spec::{Linux, Process};
use stdx::{Context, Error, Result};
use sys::proc::Procfs;

/// Filesystems that SELinux labels by itself.
const LABELLED: [&str; 6] = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2", "bpf"];

/// A label that asks for something; AppArmor's `unconfined` is what a kernel without it does.
fn asked(label: Option<&String>) -> Option<&str> {
    label.map(String::as_str).filter(|label| !label.is_empty())
}

/// Refuses labels that this kernel cannot give to a process.
pub(crate) fn check_process(process: &Process) -> Result<()> {
    let profile = asked(process.apparmor_profile.as_ref());
    if let Some(profile) = profile.filter(|profile| *profile != "unconfined" && !apparmor()) {
        return Err(missing("process.apparmorProfile", profile, "AppArmor"));
    }
    match asked(process.selinux_label.as_ref()) {
        Some(label) if !selinux() => Err(missing("process.selinuxLabel", label, "SELinux")),
        _ => Ok(()),
    }
}

/// Refuses a label that this kernel cannot give to mounts.
pub(crate) fn check_mounts(linux: &Linux) -> Result<()> {
    match asked(linux.mount_label.as_ref()) {
        Some(label) if !selinux() => Err(missing("linux.mountLabel", label, "SELinux")),
        _ => Ok(()),
    }
}

fn missing(property: &str, label: &str, module: &str) -> Error {
    Error::unsupported(format!(
        "cannot set the configuration's {property} \"{label}\": this kernel does not run {module}"
    ))
}

fn apparmor() -> bool {
    fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

/// Its filesystem is known only to a kernel that was started with it.
fn selinux() -> bool {
    fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.lines().any(|line| line.ends_with("\tselinuxfs")))
}

/// The option that labels a new filesystem.
pub(crate) fn mount_option(linux: &Linux, fs_type: &str) -> Option<(String, Option<String>)> {
    let label = asked(linux.mount_label.as_ref()).filter(|_| !LABELLED.contains(&fs_type))?;
    Some(("context".into(), Some(label.to_owned())))
}

/// Step 12: the labels that the process has once it executes its program.
pub(crate) fn apply(process: &Process) -> Result<()> {
    if let Some(profile) = asked(process.apparmor_profile.as_ref()).filter(|_| apparmor()) {
        let what = || format!("cannot use AppArmor profile \"{profile}\"");
        let procfs = Procfs::open().context(what)?;
        let command = format!("exec {profile}");
        procfs
            .write("self/attr/apparmor/exec", &command)
            .or_else(|_| procfs.write("self/attr/exec", &command))
            .context(what)?;
    }
    if let Some(label) = asked(process.selinux_label.as_ref()) {
        let what = || format!("cannot use SELinux label \"{label}\"");
        Procfs::open().and_then(|procfs| procfs.write("self/attr/exec", label)).context(what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_the_kernel_get_no_label() {
        let linux = Linux { mount_label: Some("u:r:t:s0".into()), ..Linux::default() };
        assert_eq!(mount_option(&linux, "tmpfs"), Some(("context".into(), Some("u:r:t:s0".into()))));
        assert_eq!(mount_option(&linux, "proc"), None);
        assert_eq!(mount_option(&Linux::default(), "tmpfs"), None);
    }
}
