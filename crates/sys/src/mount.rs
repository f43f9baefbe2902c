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
    let filesystem = Filesystem::open("overlay").map_err(bare)?;
    make_overlay(&filesystem, overlay, &lower).map_err(|errno| (errno, filesystem.log()))
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
    let filesystem = Filesystem::open("overlay")?;
    filesystem.set("source", "tare")?;
    // Both are held until the mount is made: closing a detached one dissolves it.
    let lower = [layer, empty];
    match add_lower_layers(&filesystem, &lower)? {
        Named::Descriptors => filesystem.mount(attribute::RDONLY),
        Named::Numbers => in_own_descriptors(|| filesystem.mount(attribute::RDONLY)),
    }
}

fn make_overlay(filesystem: &Filesystem, overlay: &Overlay, lower: &[OwnedFd]) -> Result<OwnedFd> {
    filesystem.set("source", "tare")?;
    let named = add_lower_layers(filesystem, lower)?;
    let mut held = Vec::new();
    if let Some((upper, work)) = &overlay.upper {
        held.push(set_dir(filesystem, "upperdir", upper)?);
        held.push(set_dir(filesystem, "workdir", work)?);
        // A layer must mean the same wherever it is mounted next: no marks that only this overlay understands.
        for key in ["redirect_dir", "metacopy", "index"] {
            filesystem.set(key, "off")?;
        }
        if overlay.volatile {
            filesystem.set_flag("volatile").or_else(|_| filesystem.set("volatile", ""))?;
        }
    }
    match named {
        Named::Descriptors => filesystem.mount(0),
        Named::Numbers => in_own_descriptors(|| filesystem.mount(0)),
    }
}

/// How the lower layers were given.
enum Named {
    Descriptors,
    /// As names relative to `/proc/self/fd`, which the kernel looks up when the filesystem is created.
    Numbers,
}

/// Newest way first: descriptors (6.13), then one option a layer (6.5), then one option for all of them.
fn add_lower_layers(filesystem: &Filesystem, layers: &[OwnedFd]) -> Result<Named> {
    let Some(first) = layers.first() else { return Err(Errno::INVAL) };
    if filesystem.set_fd("lowerdir+", first.as_fd()).is_ok() {
        layers[1..].iter().try_for_each(|layer| filesystem.set_fd("lowerdir+", layer.as_fd()))?;
        return Ok(Named::Descriptors);
    }
    if knows_its_options()? {
        let by_number = |layer: &OwnedFd| format!("/proc/self/fd/{}", layer.as_raw_fd());
        layers.iter().try_for_each(|layer| filesystem.set("lowerdir+", &by_number(layer)))?;
        return Ok(Named::Descriptors);
    }
    // An option's value is limited to 255 bytes there: about 70 layers.
    let numbers: Vec<String> = layers.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    filesystem.set("lowerdir", &numbers.join(":")).map_err(|_| Errno::TOOBIG)?;
    Ok(Named::Numbers)
}

/// Before 6.5 an overlay's options are only collected, and read when it is created: a wrong one is then an error that
/// nothing takes back. So it is tried on another one.
fn knows_its_options() -> Result<bool> {
    Ok(Filesystem::open("overlay")?.set("no-such-option", "").is_err())
}

/// `fsconfig` limits a value to 255 bytes, so long paths go through a descriptor. Older kernels look the name up only
/// when the filesystem is created: the descriptor has to live until then.
fn set_dir(filesystem: &Filesystem, key: &str, path: &Path) -> Result<OwnedFd> {
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if filesystem.set_fd(key, fd.as_fd()).is_err() {
        filesystem.set(key, &format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    }
    Ok(fd)
}

/// Does something with `/proc/self/fd` for working directory.
fn in_own_descriptors<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = open_path(".")?;
    rustix::process::chdir("/proc/self/fd")?;
    let result = act();
    rustix::process::fchdir(before)?;
    result
}

/// Does something in a mount namespace that nobody else sees, and comes back to the caller's.
fn in_private_namespace<T>(act: impl FnOnce() -> T) -> Result<T> {
    let (root, cwd) = (open_path("/")?, open_path(".")?);
    let namespace = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    crate::namespace::unshare(crate::namespace::flag::MOUNT)?;
    // What is mounted on the root directory must not be seen where the original is.
    let private = Attributes { propagation: attribute::PRIVATE, ..Attributes::default() };
    let result = open_path("/").and_then(|root| set_attributes(root, &private, false)).map(|()| act());
    crate::namespace::enter(namespace.as_fd(), crate::namespace::flag::MOUNT)?;
    // Entering changes both.
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")?;
    rustix::process::fchdir(cwd)?;
    result
}

fn open_path(path: &str) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// `path` as a C string; a NUL inside is an invalid argument to any call.
pub fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
}
