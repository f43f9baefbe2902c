//! The mounts of a container: decided as a list of [`Planned`] by a pure function, then done one by one by init.
//!
//! Sources on the host are opened by the creator, which may read them (init, in a user namespace, may not), and cross as
//! detached trees. Targets are opened inside the root by descriptor and mounted onto that descriptor: between the two no
//! name is looked up twice.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::runtime_spec::{IdMapping, Linux, Mount as SpecMount, NamespaceType};
use rustix::fs::{Mode, OFlags};
use stdx::{Context, Error, Kind, Result};
use sys::mount::{self, Attributes, Filesystem, attribute};
use sys::root::Root;
use sys::{Errno, namespace};

use crate::cgroup::View;
use crate::mount_options::Options;
use crate::{labels, userns};

/// One mount to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Where, inside the container.
    pub(crate) target: PathBuf,
    pub(crate) source: Source,
    pub(crate) attributes: Attributes,
    /// Applied to the mounts below as well.
    pub(crate) recursive: Attributes,
    /// The target directory's content is copied into the new filesystem.
    pub(crate) copy_up: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A new filesystem, made by init.
    New { fs_type: String, options: Vec<(String, Option<String>)> },
    /// A tree of the host, opened by the creator.
    Host { path: PathBuf, recursive: bool, idmap: Option<Idmap> },
    /// A tree of the container, with what has been mounted in it before.
    Inside { path: PathBuf, recursive: bool },
    /// The mount that is there already, which only changes.
    Present,
    /// The control groups as the container sees them.
    Cgroups,
}

/// Reads one entry of the configuration's `mounts` (config.md and config-linux.md, "Mounts"). `bundle` is where relative
/// sources start.
pub(crate) fn plan(mount: &SpecMount, bundle: &Path, linux: &Linux) -> Result<Planned> {
    let mut options = Options::parse(&mount.options);
    let fs_type = mount.typ.as_deref().filter(|fs_type| !fs_type.is_empty());
    if options.bind.is_none() && fs_type == Some("bind") {
        options.bind = Some(false);
    }
    let on = || format!("the mount on {:?}", mount.destination);
    let idmap = idmap(mount, &options, linux)?;
    let source = mount.source.clone().unwrap_or_default();
    let source = if options.remount {
        Source::Present
    } else if let Some(recursive) = options.bind {
        // A filesystem's `size=1k` means nothing to a bind, and as in mount(8) nobody reads it; a word without a value
        // would be a flag that we do not know.
        if let Some((key, _)) = options.data.iter().find(|(_, value)| value.is_none()) {
            return Err(Error::invalid(format!(
                "invalid option \"{key}\" of the bind mount on {:?}",
                mount.destination
            )));
        }
        Source::Host { path: bundle.join(source), recursive, idmap }
    } else if idmap.is_some() {
        return Err(Error::unsupported(format!("{} cannot map owners: it is no bind mount", on())));
    } else {
        match fs_type {
            Some("cgroup" | "cgroup2") => Source::Cgroups,
            Some(fs_type) => {
                Source::New { fs_type: fs_type.to_owned(), options: data(options.data, source, fs_type, linux) }
            }
            None => return Err(Error::invalid(format!("{} has no type", on()))),
        }
    };
    Ok(Planned {
        target: PathBuf::from(&mount.destination),
        source,
        attributes: options.attributes,
        recursive: options.recursive,
        copy_up: options.copy_up,
    })
}

fn data(
    mut data: Vec<(String, Option<String>)>,
    source: String,
    fs_type: &str,
    linux: &Linux,
) -> Vec<(String, Option<String>)> {
    if !source.is_empty() && !data.iter().any(|(key, _)| key == "source") {
        data.push(("source".into(), Some(source)));
    }
    data.extend(labels::mount_option(linux, fs_type));
    data
}

/// Which owners a mount shows: by its own mappings, or the container's where the options ask for those.
fn idmap(mount: &SpecMount, options: &Options, linux: &Linux) -> Result<Option<Idmap>> {
    let on = || format!("the mount on {:?}", mount.destination);
    let recursive = options.idmap.unwrap_or(false);
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    if uids.is_empty() != gids.is_empty() {
        return Err(Error::invalid(format!("{} needs both uidMappings and gidMappings, or neither", on())));
    }
    let of_container = linux.namespaces.iter().any(|namespace| namespace.typ == NamespaceType::User);
    match (uids.is_empty(), options.idmap) {
        (false, _) => Ok(Some(Idmap { recursive, own: Some((uids.clone(), gids.clone())) })),
        (true, None) => Ok(None),
        (true, Some(_)) if of_container => Ok(Some(Idmap { recursive, own: None })),
        (true, Some(_)) => {
            Err(Error::invalid(format!("{} has no mappings of owners, and the container no user namespace", on())))
        }
    }
}

/// What lies below the root's own directory is the container's: its mounts so far are to be seen in it, and no link of the
/// image may lead out.
pub(crate) fn find_inside(plan: &mut [Planned], root: &mount::Mount) {
    let mount::Mount::Bind(root) = root else { return };
    for planned in plan {
        // Some name a place in the container by its path on the host.
        if let Ok(target) = planned.target.strip_prefix(root) {
            planned.target = Path::new("/").join(target);
        }
        let Source::Host { path, recursive, idmap: None } = &planned.source else { continue };
        let Ok(inside) = path.strip_prefix(root) else { continue };
        planned.source = Source::Inside { path: inside.to_owned(), recursive: *recursive };
    }
}

/// Takes the read-only attribute from a new filesystem on `target`, if it has it: something is to be made in there first.
pub(crate) fn defer_readonly(plan: &mut [Planned], target: &Path) -> bool {
    let on = |planned: &&mut Planned| planned.target == target && matches!(planned.source, Source::New { .. });
    let Some(planned) = plan.iter_mut().rfind(on) else { return false };
    let readonly = planned.attributes.set & attribute::RDONLY != 0;
    planned.attributes.set &= !attribute::RDONLY;
    readonly
}

/// Step 6: opens the host trees of a plan, in its order. `user_namespace` is the container's, for idmapped mounts.
pub(crate) fn open_host_trees(plan: &[Planned], user_namespace: Option<&OwnedFd>) -> Result<Vec<OwnedFd>> {
    let mut trees = Vec::new();
    for planned in plan {
        let Source::Host { path, recursive, idmap } = &planned.source else { continue };
        let what = || format!("cannot mount {path:?} on {:?}", planned.target);
        let tree = clone_host_path(path, *recursive).context(what).map_err(|error| match error.errno() {
            Some(Errno::NOENT) => Error::not_found(format!("{}: source does not exist", what()))
                .hint("use -v instead of --mount to have it created"),
            _ => error,
        })?;
        if let Some(idmap) = idmap {
            set_idmap(&tree, idmap, user_namespace).context(what)?;
        }
        trees.push(tree);
    }
    Ok(trees)
}

fn set_idmap(tree: &OwnedFd, idmap: &Idmap, of_container: Option<&OwnedFd>) -> Result<()> {
    let own = idmap.own.as_ref().map(|(uids, gids)| userns::with_maps(uids, gids)).transpose()?;
    let missing = || Error::new(Kind::Internal, "the container has no user namespace");
    let namespace = own.as_ref().or(of_container).ok_or_else(missing)?;
    mount::set_idmap(tree, namespace, idmap.recursive).context(|| "its filesystem cannot map owners".into())
}

/// A detached copy of a mount. A path through `/proc/PID/root` leads into another mount namespace, where only its own
/// members may copy: the caller (single-threaded) goes there and comes back.
fn clone_host_path(path: &Path, recursive: bool) -> sys::Result<OwnedFd> {
    let (pid, inside) = match (mount::clone_path(path, recursive), foreign(path)) {
        (Err(Errno::INVAL), Some(foreign)) => foreign,
        (result, _) => return result,
    };
    let open = |path: &str| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = open("/proc/self/ns/mnt")?;
    let cwd = open(".")?;
    namespace::enter(open(&format!("/proc/{pid}/ns/mnt"))?.as_fd(), namespace::flag::MOUNT)?;
    let result = mount::clone_path(&inside, recursive);
    namespace::enter(own.as_fd(), namespace::flag::MOUNT)?;
    rustix::process::fchdir(cwd)?;
    result
}

fn foreign(path: &Path) -> Option<(i32, PathBuf)> {
    let rest = path.strip_prefix("/proc").ok()?;
    let mut parts = rest.components();
    let pid = parts.next()?.as_os_str().to_str()?.parse().ok()?;
    (parts.next()?.as_os_str() == "root").then(|| (pid, Path::new("/").join(parts.as_path())))
}

/// How the owners of a mount's files are shifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idmap {
    /// The mounts below too.
    pub(crate) recursive: bool,
    /// Ids of users and groups, instead of those of the container's user namespace.
    pub(crate) own: Option<(Vec<IdMapping>, Vec<IdMapping>)>,
}

/// Does the mounts inside an attached root.
pub(crate) struct Mounter<'a> {
    pub(crate) root: &'a Root,
    /// Host trees that arrived, in the plan's order.
    pub(crate) trees: VecDeque<OwnedFd>,
    /// The control groups, for [`Source::Cgroups`].
    pub(crate) cgroups: &'a [View],
    /// The cgroup namespace is the container's own.
    pub(crate) own_cgroups: bool,
}

impl Mounter<'_> {
    /// Step 8: makes one mount.
    pub(crate) fn mount(&mut self, planned: &Planned) -> Result<()> {
        let what = || format!("cannot mount on {:?}", planned.target);
        match &planned.source {
            Source::New { fs_type, options } => {
                let mut options = options.clone();
                if fs_type == "tmpfs" && !options.iter().any(|(key, _)| key == "mode") {
                    options.extend(self.mode_of(&planned.target));
                }
                let tree = new_filesystem(fs_type, &options, planned.attributes.set).map_err(|(errno, log)| {
                    errno_and_log(errno, log, || format!("cannot mount {fs_type} on {:?}", planned.target))
                })?;
                if matches!(fs_type.as_str(), "proc" | "sysfs") {
                    self.refuse_link(planned)?;
                }
                let target = self.root.make_dirs(&planned.target, Mode::from_raw_mode(0o755)).context(what)?;
                if planned.copy_up {
                    copy_up(self.root, &planned.target, &tree)?;
                }
                self.finish(&tree, &target, planned)
            }
            Source::Host { .. } | Source::Inside { .. } => {
                let tree = self.tree(planned)?;
                let target = self.target_like(&tree, &planned.target).context(what)?;
                if planned.attributes.propagation | planned.recursive.propagation == 0 {
                    // A copy of a shared mount is its peer: what is mounted on it inside would be seen outside.
                    let private = Attributes { propagation: attribute::PRIVATE, ..Attributes::default() };
                    mount::set_attributes(&tree, &private, true).context(what)?;
                }
                if planned.attributes != Attributes::default() {
                    let attributes = Attributes { propagation: 0, ..planned.attributes.clone() };
                    mount::set_attributes(&tree, &attributes, false).context(what)?;
                }
                self.finish(&tree, &target, planned)
            }
            Source::Present => {
                let target = self.root.open(&planned.target, OFlags::PATH).context(what)?;
                for (attributes, recursive) in [(&planned.attributes, false), (&planned.recursive, true)] {
                    if *attributes != Attributes::default() {
                        mount::set_attributes(&target, attributes, recursive).context(what)?;
                    }
                }
                Ok(())
            }
            Source::Cgroups => self.mount_cgroups(planned),
        }
    }

    /// The mode of what is there, which a tmpfs over it keeps.
    fn mode_of(&self, target: &Path) -> Option<(String, Option<String>)> {
        let there = self.root.open(target, OFlags::PATH | OFlags::DIRECTORY).and_then(rustix::fs::fstat).ok()?;
        Some(("mode".into(), Some(format!("{:o}", there.st_mode & 0o7777))))
    }

    /// The source of a bind mount.
    fn tree(&mut self, planned: &Planned) -> Result<OwnedFd> {
        let what = || format!("cannot mount on {:?}", planned.target);
        let Source::Inside { path, recursive } = &planned.source else {
            let arrived = self.trees.pop_front();
            return arrived.ok_or_else(|| Error::new(Kind::Internal, format!("{}: its source did not arrive", what())));
        };
        let source = self.root.open(path, OFlags::PATH);
        let tree = source.and_then(|source| mount::clone_tree(&source, Path::new(""), *recursive));
        tree.context(|| format!("cannot mount the container's {path:?} on {:?}", planned.target))
    }

    fn finish(&self, tree: &OwnedFd, target: &OwnedFd, planned: &Planned) -> Result<()> {
        let what = || format!("cannot mount on {:?}", planned.target);
        if planned.recursive.set | planned.recursive.clear != 0 {
            let attributes = Attributes { propagation: 0, ..planned.recursive.clone() };
            mount::set_attributes(tree, &attributes, true).context(what)?;
        }
        mount::attach(tree, target).context(what)?;
        // A detached mount has no peers to share with: propagation is set once it is in its place.
        for (attributes, recursive) in [(&planned.attributes, false), (&planned.recursive, true)] {
            if attributes.propagation != 0 {
                let only = Attributes { propagation: attributes.propagation, ..Attributes::default() };
                mount::set_attributes(tree, &only, recursive).context(what)?;
            }
        }
        Ok(())
    }

    /// What is masked, and written in setting up, is named below `/proc` and `/sys`: no image may say where these are.
    fn refuse_link(&self, planned: &Planned) -> Result<()> {
        let target = self.root.open(&planned.target, OFlags::PATH | OFlags::NOFOLLOW);
        match target.map(|target| sys::root::file_type(&target).is_ok_and(|kind| kind.is_symlink())) {
            Ok(true) => Err(Error::new(
                Kind::Denied,
                format!(
                    "cannot mount on {:?}: it is a symbolic link, and must be mounted on ordinary directory",
                    planned.target
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A file is mounted on a file and a directory on a directory; what is missing is made.
    fn target_like(&self, tree: &OwnedFd, target: &Path) -> sys::Result<OwnedFd> {
        if sys::root::file_type(tree)?.is_dir() {
            self.root.make_dirs(target, Mode::from_raw_mode(0o755))
        } else {
            self.root.make_file(target, Mode::from_raw_mode(0o644))
        }
    }

    fn mount_cgroups(&self, planned: &Planned) -> Result<()> {
        let what = || format!("cannot mount the control groups on {:?}", planned.target);
        if let [view] = self.cgroups {
            if view.name.is_empty() {
                let target = self.root.make_dirs(&planned.target, Mode::from_raw_mode(0o755)).context(what)?;
                let tree = self.cgroup_tree(view, planned.attributes.set)?;
                return self.finish(&tree, &target, planned);
            }
        }
        let base = new_filesystem(
            "tmpfs",
            &[("mode".into(), Some("755".into()))],
            planned.attributes.set & !attribute::RDONLY,
        );
        let base = base.map_err(|(errno, log)| errno_and_log(errno, log, what))?;
        for view in self.cgroups {
            rustix::fs::mkdirat(&base, view.name.as_str(), Mode::from_raw_mode(0o755)).context(what)?;
            self.link_controllers(&base, view).context(what)?;
        }
        let target = self.root.make_dirs(&planned.target, Mode::from_raw_mode(0o755)).context(what)?;
        mount::attach(&base, &target).context(what)?;
        for view in self.cgroups {
            let tree = self.cgroup_tree(view, planned.attributes.set)?;
            let point = rustix::fs::openat(&base, view.name.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            mount::attach(&tree, point.context(what)?).context(what)?;
        }
        mount::set_attributes(&base, &planned.attributes, false).context(what)
    }

    /// `cpu` and `cpuacct` as links to `cpu,cpuacct`, as on the host.
    fn link_controllers(&self, base: &OwnedFd, view: &View) -> sys::Result<()> {
        for controller in view.option.split(',').filter(|name| *name != view.name && !name.contains('=')) {
            match rustix::fs::symlinkat(view.name.as_str(), base, controller) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn cgroup_tree(&self, view: &View, attributes: u64) -> Result<OwnedFd> {
        let what = || format!("cannot mount the {} control groups", view.fs_type);
        if !self.own_cgroups {
            // The host's tree would show every container: only this one's directory is mounted.
            let tree = mount::clone_path(&view.dir, false).context(what)?;
            let attributes = Attributes { set: attributes, ..Attributes::default() };
            mount::set_attributes(&tree, &attributes, false).context(what)?;
            return Ok(tree);
        }
        let options: Vec<_> =
            view.option.split(',').filter(|option| !option.is_empty()).map(|o| (o.to_owned(), None)).collect();
        new_filesystem(view.fs_type, &options, attributes).map_err(|(errno, log)| errno_and_log(errno, log, what))
    }
}

fn new_filesystem(
    fs_type: &str,
    options: &[(String, Option<String>)],
    attributes: u64,
) -> std::result::Result<OwnedFd, (Errno, Option<String>)> {
    let filesystem = Filesystem::open(fs_type).map_err(|errno| (errno, None))?;
    let configure = || {
        for (key, value) in options {
            match value {
                Some(value) => filesystem.set(key, value)?,
                None => filesystem.set_flag(key)?,
            }
        }
        filesystem.mount(attributes)
    };
    configure().map_err(|errno| (errno, filesystem.log()))
}

/// The kernel's own words tell more than the errno, where there are any.
pub(crate) fn errno_and_log(errno: Errno, log: Option<String>, what: impl FnOnce() -> String) -> Error {
    let what = what();
    match log {
        Some(log) => Error::new(Kind::Internal, format!("{what}: {log}")),
        None => Err::<(), _>(errno).context(|| what).expect_err("built from an error"),
    }
}

/// Copies a directory's files into a filesystem that will hide it (`tmpcopyup`): regular files, directories and links.
fn copy_up(root: &Root, dir: &Path, into: &OwnedFd) -> Result<()> {
    let what = || format!("cannot copy the content of {dir:?} into its tmpfs");
    let from = root.open(dir, OFlags::RDONLY | OFlags::DIRECTORY).context(what)?;
    // A detached mount is given as a handle that allows no change.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let into = rustix::fs::openat(into, ".", flags, Mode::empty()).context(what)?;
    copy_dir(&from, &into, 0).context(what)
}

const MAX_COPY_DEPTH: usize = 64;

fn copy_dir(from: &OwnedFd, into: &OwnedFd, depth: usize) -> sys::Result<()> {
    use rustix::fs::{AtFlags, Dir, FileType, fstat, mkdirat, openat, readlinkat, symlinkat};
    if depth > MAX_COPY_DEPTH {
        return Err(Errno::LOOP);
    }
    let stat = fstat(from)?;
    rustix::fs::fchown(
        into,
        Some(rustix::fs::Uid::from_raw(stat.st_uid)),
        Some(rustix::fs::Gid::from_raw(stat.st_gid)),
    )?;
    rustix::fs::fchmod(into, Mode::from_raw_mode(stat.st_mode))?;
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let open = |dir: &OwnedFd| {
            openat(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        };
        let kind = FileType::from_raw_mode(rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        match kind {
            FileType::Directory => {
                mkdirat(into, name, Mode::from_raw_mode(0o700))?;
                copy_dir(&open(from)?, &open(into)?, depth + 1)?;
            }
            FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?, into, name)?,
            FileType::RegularFile => copy_file(&open(from)?, into, name)?,
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(from: &OwnedFd, into: &OwnedFd, name: &std::ffi::CStr) -> sys::Result<()> {
    use rustix::fs::{fchmod, fchown, fstat, openat, sendfile};
    let stat = fstat(from)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let to = openat(into, name, flags, Mode::from_raw_mode(0o600))?;
    while sendfile(&to, from, None, 1 << 20)? > 0 {}
    fchown(&to, Some(rustix::fs::Uid::from_raw(stat.st_uid)), Some(rustix::fs::Gid::from_raw(stat.st_gid)))?;
    fchmod(&to, Mode::from_raw_mode(stat.st_mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(typ: Option<&str>, source: &str, options: &[&str]) -> SpecMount {
        SpecMount {
            destination: "/x".into(),
            typ: typ.map(str::to_owned),
            source: Some(source.into()),
            options: options.iter().map(|&o| o.into()).collect(),
            ..SpecMount::default()
        }
    }

    #[test]
    fn options_are_sorted_into_attributes_propagation_and_data() {
        let mount = spec(Some("tmpfs"), "tmpfs", &["nosuid", "noexec", "exec", "size=64k", "strictatime", "sync"]);
        let planned = plan(&mount, Path::new("/b"), &Linux::default()).unwrap();
        assert_eq!(planned.attributes.set, attribute::NOSUID | attribute::STRICTATIME);
        let Source::New { options, .. } = planned.source else { panic!("not a new filesystem") };
        let expected = [("size", Some("64k")), ("sync", None), ("source", Some("tmpfs"))];
        let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.map(str::to_owned))).into();
        assert_eq!(options, expected);
    }

    #[test]
    fn binds_are_relative_to_the_bundle_and_know_recursion() {
        let planned =
            plan(&spec(None, "data", &["rbind", "rro", "rslave"]), Path::new("/b"), &Linux::default()).unwrap();
        assert_eq!(planned.source, Source::Host { path: "/b/data".into(), recursive: true, idmap: None });
        assert_eq!((planned.recursive.set, planned.recursive.propagation), (attribute::RDONLY, attribute::SLAVE));
        assert!(plan(&spec(None, "data", &["bind", "size=1"]), Path::new("/b"), &Linux::default()).is_ok());
        assert!(plan(&spec(None, "data", &["bind", "nosense"]), Path::new("/b"), &Linux::default()).is_err());
        assert!(plan(&spec(None, "data", &[]), Path::new("/b"), &Linux::default()).is_err());
    }

    #[test]
    fn a_path_into_another_mount_namespace_is_recognised() {
        assert_eq!(foreign(Path::new("/proc/12/root/dev/shm")), Some((12, "/dev/shm".into())));
        assert_eq!(foreign(Path::new("/proc/self/root/x")), None);
        assert_eq!(foreign(Path::new("/proc/12/cwd")), None);
    }
}
