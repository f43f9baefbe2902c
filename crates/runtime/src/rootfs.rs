//! The root filesystem of a container, from the value that describes it to `/`.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::Path;

use oci::runtime_spec::{Linux, Propagation};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::UnmountFlags;
use stdx::{Context, Error, Result};
use sys::Errno;
use sys::mount::{self, Attributes, MAX_LOWER_LAYERS, Mount, attribute};

use crate::mounts::errno_and_log;

/// Step 6: mounts the root, detached. With a user namespace the owners seen in it are shifted.
pub(crate) fn open(root: &Mount, linux: &Linux, user_namespace: Option<&OwnedFd>) -> Result<OwnedFd> {
    let overlay = match root {
        Mount::Bind(dir) => {
            let what = || format!("cannot open root filesystem {dir:?}");
            let tree = mount::clone_path(dir, true).context(what)?;
            // A copy of a shared mount is its peer, and what has peers cannot become the root.
            mount::set_attributes(&tree, &separate(linux), true).context(what)?;
            return Ok(tree);
        }
        Mount::Overlay(overlay) => overlay,
    };
    if overlay.lower.len() > MAX_LOWER_LAYERS {
        return Err(Error::unsupported(format!(
            "cannot join {} layers: the kernel takes {MAX_LOWER_LAYERS} at the most",
            overlay.lower.len()
        )));
    }
    let not_mapped = Cell::new(false);
    let open_layer = |path: &Path| match user_namespace {
        None => rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()),
        Some(user_namespace) => {
            let tree = mount::clone_tree(CWD, path, false)?;
            mount::set_idmap(&tree, user_namespace, false).inspect_err(|_| not_mapped.set(true))?;
            Ok(tree)
        }
    };
    mount::overlay(overlay, &open_layer).map_err(|(errno, log)| match not_mapped.get() {
        true => Error::unsupported("cannot map the owners of the image's files: their filesystem cannot do that")
            .hint("ext4, XFS and Btrfs can from Linux 5.19 on, tmpfs from 6.3 on"),
        false => errno_and_log(errno, log, || "cannot join the layers of the root filesystem".into()),
    })
}

/// Step 8: attaches the root over `/`, where only its descriptor reaches it. With hooks, and a root that has a place on the
/// host, there: a hook that enters the container's mount namespace finds the host's paths as they were, and the root
/// below its own.
pub(crate) fn attach(root: &OwnedFd, source: &Mount, hooks: bool) -> Result<()> {
    let place = match source {
        Mount::Bind(dir) if hooks => {
            rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
        }
        _ => None,
    };
    // In a user namespace the way there may be closed.
    let attached = place.map_or_else(|| mount::attach_over_root(root), |place| mount::attach(root, place));
    attached.context(|| "cannot attach the root filesystem".into())
}

/// Step 8, after everything is mounted: the attached root becomes `/`.
pub(crate) fn change_root(root: &OwnedFd, no_pivot: bool) -> Result<()> {
    let what = || "cannot change the root".to_owned();
    if no_pivot {
        unmount_kernel_views()?;
        return mount::chroot_to(root).context(what);
    }
    mount::pivot_root(root).context(what).map_err(|error| match error.errno() {
        Some(Errno::INVAL) => error.hint("--no-pivot does without pivot_root, as an initramfs needs"),
        _ => error,
    })
}

/// What stays mounted below the new root can be neither reached nor named, but the kernel counts it: a container in a user
/// namespace may mount a procfs or sysfs without masks as long as one stands anywhere in its mount namespace.
fn unmount_kernel_views() -> Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context(|| "cannot read the mount table".into())?;
    let views = table.lines().filter(|line| [" - proc ", " - sysfs "].iter().any(|kind| line.contains(kind)));
    for target in views.filter_map(|line| line.split(' ').nth(4)) {
        match rustix::mount::unmount(target, UnmountFlags::DETACH) {
            // Below one that has just gone, or on the new root.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(errno).context(|| format!("cannot unmount \"{target}\"")),
        }
    }
    Ok(())
}

/// Nothing done inside is seen outside; where the configuration asks for it, what is done outside is seen inside.
fn separate(linux: &Linux) -> Attributes {
    let propagation = match linux.rootfs_propagation {
        Some(Propagation::Shared | Propagation::Rshared | Propagation::Slave | Propagation::Rslave) => attribute::SLAVE,
        _ => attribute::PRIVATE,
    };
    Attributes { propagation, ..Attributes::default() }
}

/// Step 8: cuts the copied mount table off from the host's, so that nothing done here is seen there.
pub(crate) fn leave_host_mounts(linux: &Linux) -> Result<()> {
    rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|host| mount::set_attributes(host, &separate(linux), true))
        .context(|| "cannot separate the mounts from the host's".into())
}

/// Step 8, last: the root is read-only, once everything below it is made.
pub(crate) fn make_readonly(root: &OwnedFd) -> Result<()> {
    let attributes = Attributes { set: attribute::RDONLY, ..Attributes::default() };
    mount::set_attributes(root, &attributes, false).context(|| "cannot make the root filesystem read-only".into())
}

/// Step 8, once the root is `/`, which a shared mount cannot become: who sees what is mounted on it from now on.
pub(crate) fn set_propagation(root: &OwnedFd, linux: &Linux) -> Result<()> {
    let (propagation, recursive) = match linux.rootfs_propagation {
        None | Some(Propagation::Private | Propagation::Rprivate) => return Ok(()),
        Some(Propagation::Shared) => (attribute::SHARED, false),
        Some(Propagation::Rshared) => (attribute::SHARED, true),
        Some(Propagation::Slave) => (attribute::SLAVE, false),
        Some(Propagation::Rslave) => (attribute::SLAVE, true),
        Some(Propagation::Unbindable) => (attribute::UNBINDABLE, false),
        Some(Propagation::Runbindable) => (attribute::UNBINDABLE, true),
    };
    mount::set_attributes(root, &Attributes { propagation, ..Attributes::default() }, recursive)
        .context(|| "cannot set the propagation of the root filesystem".into())
}
