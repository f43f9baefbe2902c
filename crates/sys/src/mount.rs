//! Mounts as descriptors: a tree is made detached, given its attributes, and attached once, by descriptor.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use serde::{Deserialize, Serialize};

use crate::{Errno, Result, check};

/// How to get a root filesystem: a plain value that the store makes and the runtime mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mount {
    /// A directory as it is.
    Bind(PathBuf),
    /// Layers joined by overlayfs.
    Overlay(Overlay),
}

/// The parts of an overlay mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Read-only layers, the topmost first.
    pub lower: Vec<PathBuf>,
    /// The writable layer and the kernel's scratch directory beside it, on one filesystem. `None`: read-only.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Never flush the writable layer: it will not be mounted a second time.
    pub volatile: bool,
}

/// The kernel's limit of lower layers (`OVL_MAX_STACK`).
pub const MAX_LOWER_LAYERS: usize = 500;

/// The mount attributes of `mount_setattr(2)`: what to set, what to clear, propagation, id mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` bits to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_PRIVATE`, `MS_SLAVE`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
}

pub mod attribute {
    //! Bits of [`super::Attributes`].
    pub const RDONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    /// Mask of the access-time modes; clear it before setting one.
    pub const ATIME: u64 = 0x70;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const IDMAP: u64 = 0x10_0000;
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
    pub const PRIVATE: u64 = libc::MS_PRIVATE;
    pub const SLAVE: u64 = libc::MS_SLAVE;
    pub const SHARED: u64 = libc::MS_SHARED;
    pub const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` is a valid `struct mount_attr` of the size given, and lives for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// Changes the attributes of a mount, or of all mounts below it too.
pub fn set_attributes(mount: impl AsFd, attributes: &Attributes, recursive: bool) -> Result<()> {
    let attr = MountAttr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: attributes.propagation,
        userns_fd: 0,
    };
    mount_setattr(mount.as_fd(), recursive, &attr)
}

/// Shifts the owners seen through a detached mount by the mapping of a user namespace.
pub fn set_idmap(mount: impl AsFd, user_namespace: impl AsFd, recursive: bool) -> Result<()> {
    let userns_fd = user_namespace.as_fd().as_raw_fd() as u64;
    let attr = MountAttr { attr_set: attribute::IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    mount_setattr(mount.as_fd(), recursive, &attr)
}

/// A filesystem being configured; [`Self::mount`] makes it a detached mount.
#[derive(Debug)]
pub struct Filesystem {
    fd: OwnedFd,
}

impl Filesystem {
    /// Starts configuring a filesystem of type `name`.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self { fd: fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)? })
    }

    /// Sets `key=value`.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        fsconfig_set_string(self.fd.as_fd(), key, value)
    }

    /// Sets a key that takes no value.
    pub fn set_flag(&self, key: &str) -> Result<()> {
        fsconfig_set_flag(self.fd.as_fd(), key)
    }

    fn set_fd(&self, key: &str, fd: BorrowedFd<'_>) -> Result<()> {
        fsconfig_set_fd(self.fd.as_fd(), key, fd)
    }

    /// Creates the filesystem and a detached mount of it with `MOUNT_ATTR_*` bits.
    pub fn mount(&self, attributes: u64) -> Result<OwnedFd> {
        fsconfig_create(self.fd.as_fd())?;
        fsmount(self.fd.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attributes as u32))
    }

    /// What the kernel logged about the last failure (`e ...` lines), if anything: more telling than the errno.
    pub fn log(&self) -> Option<String> {
        let mut buffer = [0u8; 1024];
        let mut text = Vec::new();
        while let Ok(len @ 1..) = rustix::io::read(&self.fd, &mut buffer) {
            if !text.is_empty() {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(buffer[..len].trim_ascii_end().strip_prefix(b"e ").unwrap_or(&buffer[..len]));
        }
        (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
    }
}

/// A detached copy of the mount at `path` (relative to `dir` if not absolute), with the mounts below it if `recursive`.
pub fn clone_tree(dir: impl AsFd, path: &Path, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(dir, path, flags)
}

/// A detached copy of the mount at `path` of the current root.
pub fn clone_path(path: &Path, recursive: bool) -> Result<OwnedFd> {
    clone_tree(CWD, path, recursive)
}

/// Attaches a detached mount onto what `target` is open on.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// Attaches a detached mount on top of the current root directory, where only its own descriptor reaches it.
pub fn attach_over_root(mount: impl AsFd) -> Result<()> {
    move_mount(mount, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Makes the attached mount `root` the root of this mount namespace and of this process, and lets go of the old one.
pub fn pivot_root(root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(root)?;
    // Both names are the same directory: the old root ends up mounted on top of the new one, and is detached from there.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

/// Makes the attached mount `root` the root of this process alone: for a `/` that cannot be pivoted away.
pub fn chroot_to(root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")
}

/// Mounts an overlay, detached. `open_layer` turns each lower directory into a descriptor (opened, or an idmapped
/// clone of its mount). Errors carry the kernel's own words where it gives any.
pub fn overlay(
    overlay: &Overlay,
    open_layer: &dyn Fn(&Path) -> Result<OwnedFd>,
) -> std::result::Result<OwnedFd, (Errno, Option<String>)> {
    match overlay_of(overlay, open_layer, Layers::AsTheyAre) {
        // Before 6.15 a detached mount cannot be a layer.
        Err((Errno::INVAL, log)) => {
            let first = (Errno::INVAL, log);
            let again = in_private_namespace(|| overlay_of(overlay, open_layer, Layers::Attached));
            again
                .map_err(|errno| (errno, None))?
                .map_err(|(errno, log)| if log.is_some() { (errno, log) } else { first })
        }
        result => result,
    }
}

/// How layers that are detached mounts are given to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layers {
    AsTheyAre,
    /// Attached first, where nobody sees them: in a mount namespace that is left afterwards.
    Attached,
}

fn overlay_of(
    overlay: &Overlay,
    open_layer: &dyn Fn(&Path) -> Result<OwnedFd>,
    layers: Layers,
) -> std::result::Result<OwnedFd, (Errno, Option<String>)> {
    let bare = |errno| (errno, None);
    let open = |path: &PathBuf| {
        let layer = open_layer(path)?;
        let holds_upper = overlay.upper.as_ref().is_some_and(|(upper, _)| upper.starts_with(path));
        let layer = if holds_upper { detour(layer, layers)? } else { layer };
        layers.attach(&layer);
        Ok(layer)
    };
    let lower: Vec<OwnedFd> = overlay.lower.iter().map(open).collect::<Result<_>>().map_err(bare)?;
    let Some((upper, work)) = &overlay.upper else { return join(&lower, &[], &[], layers) };
    let writable = [("upperdir", open_dir(upper).map_err(bare)?), ("workdir", open_dir(work).map_err(bare)?)];
    // A layer must mean the same wherever it is mounted next: no marks that only this overlay understands.
    let mut options = vec![("redirect_dir", "off"), ("metacopy", "off"), ("index", "off")];
    options.extend(overlay.volatile.then_some(("volatile", "")));
    join(&lower, &writable, &options, layers)
}

impl Layers {
    /// What is no detached mount cannot be attached, and need not be.
    fn attach(self, layer: &OwnedFd) {
        if self == Self::Attached {
            let _ = attach_over_root(layer);
        }
    }
}

/// A layer that has the writable layer somewhere below it (`/`, for one) is refused as overlapping. Seen through a
/// read-only overlay of its own it is another filesystem, whose directories nobody writes to. An overlay without a
/// writable layer needs a second read-only one: an empty tmpfs.
fn detour(layer: OwnedFd, layers: Layers) -> Result<OwnedFd> {
    let empty = Filesystem::open("tmpfs")?.mount(attribute::RDONLY)?;
    layers.attach(&empty);
    // Both are held until the mount is made: closing a detached one dissolves it.
    let overlay = join(&[layer, empty], &[], &[], layers).map_err(|(errno, _)| errno)?;
    let readonly = Attributes { set: attribute::RDONLY, ..Attributes::default() };
    set_attributes(&overlay, &readonly, false)?;
    Ok(overlay)
}

/// Newest way first: lower layers as descriptors (6.13), one option a layer (6.5), one page of text for everything.
fn join(
    lower: &[OwnedFd],
    writable: &[(&str, OwnedFd)],
    options: &[(&str, &str)],
    layers: Layers,
) -> std::result::Result<OwnedFd, (Errno, Option<String>)> {
    let bare = |errno| (errno, None);
    let filesystem = Filesystem::open("overlay").map_err(bare)?;
    let first = lower.first().ok_or(bare(Errno::INVAL))?;
    let by_descriptor = filesystem.set_fd("lowerdir+", first.as_fd()).is_ok();
    if !by_descriptor && !knows_its_options().map_err(bare)? {
        return match layers {
            Layers::AsTheyAre => Err(bare(Errno::INVAL)),
            Layers::Attached => join_by_text(lower, writable, options).map_err(bare),
        };
    }
    let give = |key: &str, fd: &OwnedFd| {
        let by_number = || filesystem.set(key, &format!("/proc/self/fd/{}", fd.as_raw_fd()));
        filesystem.set_fd(key, fd.as_fd()).or_else(|_| by_number())
    };
    let configure = || {
        filesystem.set("source", "tare")?;
        lower[usize::from(by_descriptor)..].iter().try_for_each(|layer| give("lowerdir+", layer))?;
        writable.iter().try_for_each(|(key, dir)| give(key, dir))?;
        for (key, value) in options {
            if value.is_empty() {
                filesystem.set_flag(key).or_else(|_| filesystem.set(key, ""))?;
            } else {
                filesystem.set(key, value)?;
            }
        }
        filesystem.mount(0)
    };
    configure().map_err(|errno| (errno, filesystem.log()))
}

/// Before 6.5 an overlay's options are only collected, and read when it is created: a wrong one is then an error that
/// nothing takes back. So it is tried on another one.
fn knows_its_options() -> Result<bool> {
    Ok(Filesystem::open("overlay")?.set("no-such-option", "").is_err())
}

/// With `mount(2)`, in a namespace of our own, since it makes attached mounts: `fsconfig` has room for 255 bytes an
/// option there, this for 4,095 bytes in all. The names of layers are descriptor numbers relative to `/proc/self/fd`.
fn join_by_text(lower: &[OwnedFd], writable: &[(&str, OwnedFd)], options: &[(&str, &str)]) -> Result<OwnedFd> {
    let place = Filesystem::open("tmpfs")?.mount(0)?;
    attach_over_root(&place)?;
    rustix::fs::mkdirat(&place, "root", Mode::from_raw_mode(0o700))?;
    let numbers: Vec<String> = lower.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    let mut text = format!("lowerdir={}", numbers.join(":"));
    writable.iter().for_each(|(key, dir)| text.push_str(&format!(",{key}={}", dir.as_raw_fd())));
    for (key, value) in options {
        let equals = if value.is_empty() { "" } else { "=" };
        text.push_str(&format!(",{key}{equals}{value}"));
    }
    let text = CString::new(text).map_err(|_| Errno::INVAL)?;
    rustix::process::chdir("/proc/self/fd")?;
    let target = format!("{}/root", place.as_raw_fd());
    rustix::mount::mount("tare", target.as_str(), "overlay", rustix::mount::MountFlags::empty(), text.as_c_str())?;
    clone_tree(&place, Path::new("root"), false)
}

/// Does something in a mount namespace that nobody else sees, and comes back to the caller's. For a single-threaded
/// process.
pub fn in_private_namespace<T>(act: impl FnOnce() -> T) -> Result<T> {
    let (root, cwd) = (open_dir(Path::new("/"))?, open_dir(Path::new("."))?);
    let namespace = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    crate::namespace::unshare(crate::namespace::flag::MOUNT)?;
    // What is mounted on the root directory must not be seen where the original is.
    let private = Attributes { propagation: attribute::PRIVATE, ..Attributes::default() };
    let result = open_dir(Path::new("/")).and_then(|root| set_attributes(root, &private, false)).map(|()| act());
    crate::namespace::enter(namespace.as_fd(), crate::namespace::flag::MOUNT)?;
    // Entering changes both.
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")?;
    rustix::process::fchdir(cwd)?;
    result
}

fn open_dir(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// `path` as a C string; a NUL inside is an invalid argument to any call.
pub fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}
