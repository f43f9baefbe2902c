//! The files of a container that does not run: its root and what is mounted on it, as one detached tree. Nobody else sees
//! it, and it lasts as long as it is held open.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::runtime_spec::Spec;
use stdx::{Context, Result};
use sys::mount::{self, Mount};
use sys::root::Root;

use crate::mounts::{self, Mounter, Planned};
use crate::{rootfs, userns};

/// Makes the tree: the root, mapped as the configuration says, and the configuration's mounts. Missing mount points are
/// made, as a start would. No other process may use the root's writable layer meanwhile.
///
/// The calling process must be single-threaded: it visits a mount namespace of its own.
pub fn open(root: &Mount, spec: &Spec) -> Result<OwnedFd> {
    let linux = spec.linux.clone().unwrap_or_default();
    let bundle = PathBuf::from("/");
    let plan: Vec<Planned> =
        spec.mounts.iter().map(|mount| mounts::plan(mount, &bundle, &linux)).collect::<Result<_>>()?;
    let mapped = !linux.uid_mappings.is_empty();
    let user_namespace = mapped.then(|| userns::with_maps(&linux.uid_mappings, &linux.gid_mappings)).transpose()?;
    let tree = rootfs::open(root, &linux, user_namespace.as_ref())?;
    let trees = mounts::open_host_trees(&plan, user_namespace.as_ref())?;
    let readonly = spec.root.as_ref().is_some_and(|root| root.readonly);
    let what = || "cannot join the container's files".to_owned();
    let joined = mount::in_private_namespace(|| {
        // What is detached can carry no other mount.
        mount::attach_over_root(&tree).context(what)?;
        let root = Root::new(tree);
        let mut mounter = Mounter { root: &root, trees: trees.into(), cgroups: &[], own_cgroups: false };
        plan.iter().try_for_each(|planned| mounter.mount(planned))?;
        let copy = mount::clone_tree(root.as_fd(), Path::new(""), true).context(what)?;
        if readonly {
            rootfs::make_readonly(&copy)?;
        }
        Ok(copy)
    });
    joined.context(what)?
}
