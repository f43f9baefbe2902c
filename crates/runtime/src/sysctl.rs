//! Kernel parameters of a container (config-linux.md, "Sysctl"): those that one of its own namespaces keeps apart from the
//! host's, and no others.

use std::collections::BTreeMap;

use oci::runtime_spec::NamespaceType;
use stdx::{Context, Error, Result};
use sys::mount::Filesystem;
use sys::proc::Procfs;

use crate::namespaces::Plan;

/// Below `/proc/sys/kernel`, what every ipc namespace has for itself (ipc_namespaces(7)).
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// Refuses parameters that are not the container's own to set: they would change the host.
pub(crate) fn check(parameters: &BTreeMap<String, String>, namespaces: &Plan) -> Result<()> {
    for name in parameters.keys() {
        let refused = |why: &str| Err(Error::invalid(format!("cannot set kernel parameter \"{name}\": {why}")));
        match owner(&path(name)) {
            Some(kind) if namespaces.owns(kind) => {}
            Some(kind) => {
                let kind = format!("{kind:?}").to_lowercase();
                refused(&format!("the container shares the {kind} namespace of the host"))?;
            }
            None if path(name) == "kernel/hostname" => refused("it is the configuration's hostname")?,
            None => refused("no namespace keeps it apart from the host's")?,
        }
    }
    Ok(())
}

/// The kind of namespace that has a parameter for itself.
fn owner(path: &str) -> Option<NamespaceType> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        // The path is written to: it may not lead elsewhere.
        parts if parts.iter().any(|part| matches!(*part, "" | "." | "..")) => None,
        ["net", _, ..] => Some(NamespaceType::Network),
        ["fs", "mqueue", _] => Some(NamespaceType::Ipc),
        ["kernel", name] if IPC.contains(name) => Some(NamespaceType::Ipc),
        ["kernel", "domainname"] => Some(NamespaceType::Uts),
        _ => None,
    }
}

/// A parameter's file below `/proc/sys`. A dot separates, and a slash stands for a dot inside a name, or the other way
/// round if a slash comes first (sysctl.d(5)).
fn path(name: &str) -> String {
    let exchanged = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match (name.find('/'), name.find('.')) {
        (Some(slash), Some(dot)) if dot < slash => name.chars().map(exchanged).collect(),
        (None, _) => name.replace('.', "/"),
        _ => name.to_owned(),
    }
}

/// Sets them, through a procfs nobody else has touched; before `/proc/sys` is made read-only.
pub(crate) fn set(parameters: &BTreeMap<String, String>) -> Result<()> {
    if parameters.is_empty() {
        return Ok(());
    }
    let procfs = Filesystem::open("proc").and_then(|filesystem| filesystem.mount(0)).and_then(Procfs::from_fd);
    let procfs = procfs.context(|| "cannot mount a private procfs".into())?;
    for (name, value) in parameters {
        procfs
            .write(&format!("sys/{}", path(name)), value)
            .context(|| format!("cannot set kernel parameter \"{name}\" to \"{value}\""))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_two_ways() {
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }

    #[test]
    fn a_parameter_belongs_to_a_namespace_or_to_the_host() {
        assert_eq!(owner("net/ipv4/ip_forward"), Some(NamespaceType::Network));
        assert_eq!(owner("kernel/shmmax"), Some(NamespaceType::Ipc));
        assert_eq!(owner("fs/mqueue/queues_max"), Some(NamespaceType::Ipc));
        for host in ["kernel/pid_max", "kernel/hostname", "vm/swappiness", "net/../kernel/panic", "net", "fs/mqueue"] {
            assert_eq!(owner(host), None, "{host}");
        }
    }
}
