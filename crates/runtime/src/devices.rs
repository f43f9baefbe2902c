//! `/dev`: the nodes every container has (config-linux.md, "Default Devices"), those asked for, and the usual links.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use oci::runtime_spec::{Device, DeviceRule, DeviceType, Linux};
use rustix::fs::{FileType, Gid, Mode, Uid, chmodat, makedev, mknodat};
use stdx::{Context, Result};
use sys::Errno;
use sys::mount::Attributes;
use sys::root::Root;

use crate::mounts::{Planned, Source};

const DEFAULTS: [(&str, i64, i64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
];

/// What every container may do, whatever else its rules deny: make nodes of any device, use the default ones and
/// terminals. As in other runtimes these rules follow those of the configuration.
pub(crate) fn default_rules() -> Vec<DeviceRule> {
    let rule = |typ, major, minor, access: &str| DeviceRule {
        allow: true,
        typ: Some(typ),
        major,
        minor,
        access: access.into(),
    };
    let mut rules = vec![rule(DeviceType::Char, None, None, "m"), rule(DeviceType::Block, None, None, "m")];
    let defaults = DEFAULTS.iter().map(|&(_, major, minor)| (Some(major), Some(minor)));
    let terminals = [(Some(5), Some(2)), (Some(136), None)];
    rules.extend(defaults.chain(terminals).map(|(major, minor)| rule(DeviceType::Char, major, minor, "rwm")));
    rules
}

/// The devices of a container, the default ones first; one asked for replaces a default of the same path.
pub(crate) fn plan(linux: &Linux) -> Vec<Device> {
    let defaults = DEFAULTS.iter().map(|&(path, major, minor)| Device {
        typ: DeviceType::Char,
        path: path.into(),
        major,
        minor,
        file_mode: Some(0o666),
        uid: None,
        gid: None,
    });
    let asked_for = |device: &Device| linux.devices.iter().any(|other| other.path == device.path);
    defaults.filter(|device| !asked_for(device)).chain(linux.devices.iter().cloned()).collect()
}

/// In a user namespace nodes cannot be made: the host's are mounted instead.
pub(crate) fn as_mounts(devices: &[Device]) -> impl Iterator<Item = Planned> + '_ {
    devices.iter().map(|device| Planned {
        target: PathBuf::from(&device.path),
        source: Source::Host { path: PathBuf::from(&device.path), recursive: false, idmap: None },
        attributes: Attributes::default(),
        recursive: Attributes::default(),
        copy_up: false,
    })
}

/// Makes the device nodes.
pub(crate) fn make_nodes(root: &Root, devices: &[Device]) -> Result<()> {
    devices
        .iter()
        .try_for_each(|device| make_node(root, device).context(|| format!("cannot make device \"{}\"", device.path)))
}

fn make_node(root: &Root, device: &Device) -> sys::Result<()> {
    let path = Path::new(&device.path);
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let dir = root.make_dirs(path.parent().unwrap_or(Path::new("/")), Mode::from_raw_mode(0o755))?;
    let kind = match device.typ {
        DeviceType::Block => FileType::BlockDevice,
        DeviceType::Fifo => FileType::Fifo,
        DeviceType::All | DeviceType::Char | DeviceType::Unbuffered => FileType::CharacterDevice,
    };
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    match mknodat(&dir, name, kind, mode, makedev(device.major as u32, device.minor as u32)) {
        Err(Errno::EXIST) => return Ok(()),
        result => result?,
    }
    // The mode given to mknod is cut by the umask.
    chmodat(&dir, name, mode, rustix::fs::AtFlags::empty())?;
    if device.uid.is_some() || device.gid.is_some() {
        let (uid, gid) = (device.uid.map(Uid::from_raw), device.gid.map(Gid::from_raw));
        rustix::fs::chownat(dir.as_fd(), name, uid, gid, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Makes the usual links; what the image has there stays.
pub(crate) fn make_links(root: &Root) -> Result<()> {
    for (path, target) in LINKS {
        if path == "/dev/core" && !Path::new("/proc/kcore").exists() {
            continue;
        }
        let path = Path::new(path);
        let link = || {
            let dir = root.make_dirs(path.parent().unwrap_or(path), Mode::from_raw_mode(0o755))?;
            match rustix::fs::symlinkat(target, &dir, path.file_name().unwrap_or_default()) {
                Err(Errno::EXIST) => Ok(()),
                result => result,
            }
        };
        link().context(|| format!("cannot make link {path:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_asked_for_replaces_the_default() {
        let own = Device {
            typ: DeviceType::Char,
            path: "/dev/null".into(),
            major: 1,
            minor: 5,
            file_mode: None,
            uid: None,
            gid: None,
        };
        let devices = plan(&Linux { devices: vec![own.clone()], ..Linux::default() });
        assert_eq!(devices.iter().filter(|device| device.path == "/dev/null").collect::<Vec<_>>(), [&own]);
        assert_eq!(devices.len(), DEFAULTS.len());
    }
}
