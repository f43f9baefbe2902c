//! Several layers as one directory tree, as the overlay would show them, for a kernel that mounts no more than 500.
//!
//! What is no directory is linked, not copied: layers never change, and the tree costs its directories alone.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, CWD, FileType, linkat};
use rustix::io::Errno;
use stdx::{Context, Result};

use crate::apply::copy_file;
use crate::metadata::{Metadata, is_opaque};
use crate::tar::lossy;
use crate::tree::{Tree, is_whiteout};
use crate::walk::{Found, Walk};

/// A tree that layers are put into, the lowest first.
#[derive(Debug)]
pub struct Flattened {
    tree: Tree,
}

impl Flattened {
    /// Begins in an empty directory on the layers' file system.
    pub fn new(root: impl AsFd) -> Result<Self> {
        Tree::new(root).map(|tree| Self { tree })
    }

    /// Puts a layer in overlayfs form upon those that are there.
    pub fn add(&mut self, layer: impl AsFd) -> Result<()> {
        let message = || "cannot read layer directory".to_owned();
        let mut walk = Walk::new(layer)?;
        let root = walk.root()?;
        let metadata = Metadata::of_stat(&root.stat).with_xattrs_of(root.open_dir().context(message)?);
        self.tree.dirs.insert(Vec::new(), Some(metadata.context(message)?));
        while let Some(found) = walk.next()? {
            let parent = self.tree.parent(&found.path)?;
            let message = || format!("cannot flatten {:?}", lossy(&found.path));
            match found.kind() {
                FileType::CharacterDevice if is_whiteout(&found.stat) => self.tree.remove(&parent, &found.path)?,
                FileType::Directory => {
                    let dir = found.open_dir().context(message)?;
                    if is_opaque(&dir) {
                        self.tree.remove(&parent, &found.path)?;
                    }
                    self.tree.make_dir(&parent, &found.path)?;
                    let metadata = Metadata::of_stat(&found.stat).with_xattrs_of(&dir).context(message)?;
                    self.tree.dirs.insert(found.path.clone(), Some(metadata));
                    walk.enter(found)?;
                }
                _ => self.link(&found)?,
            }
        }
        Ok(())
    }

    fn link(&mut self, found: &Found) -> Result<()> {
        let parent = self.tree.parent(&found.path)?;
        let from = found.proc_path();
        let linked = self
            .tree
            .try_make(&parent, &found.path, |name| linkat(CWD, &from[..], &parent, name, AtFlags::SYMLINK_FOLLOW))?;
        match linked {
            // One name more than the file system can count, as for a file that is in very many layers.
            Err(Errno::MLINK) if found.kind() == FileType::RegularFile => {
                let message = || format!("cannot flatten {:?}", lossy(&found.path));
                let source: File = found.open_file().context(message)?;
                copy_file(&mut self.tree, &found.path, source, Metadata::of_stat(&found.stat))
            }
            linked => linked.context(|| format!("cannot flatten {:?}", lossy(&found.path))),
        }
    }

    /// Gives every directory what the topmost layer that has it says: the last step, since it changes times.
    pub fn finish(self) -> Result<()> {
        self.tree.finish_dirs(|_| Ok(Metadata::of_implied_directory())).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::testing::{Archive, Scratch, apply, is_opaque, names};

    #[test]
    fn layers_become_the_tree_that_the_overlay_shows() {
        let scratch = Scratch::new();
        let archives = [
            Archive::new()
                .dir("etc/", 0o755)
                .file("etc/a", b"1")
                .file("etc/gone", b"1")
                .dir("old/", 0o700)
                .file("old/x", b"1")
                .file("old/deep/y", b"1")
                .link('2', "lib", "etc")
                .file("file", b"1")
                .device('3', "null", 1, 3)
                .link('1', "other", "file"),
            Archive::new()
                .file("etc/.wh.gone", b"")
                .dir("old/", 0o750)
                .file("old/.wh..wh..opq", b"")
                .file("old/z", b"2")
                .dir("lib/", 0o711)
                .file("lib/q", b"2"),
            // A directory where a file was, and the other way round; what is implied has the lower layer's attributes.
            Archive::new()
                .dir("file/", 0o705)
                .file("file/in", b"3")
                .file("etc/a", b"3")
                .file(".wh.lib", b"")
                .file("old/w", b"3"),
        ];
        let dirs: Vec<_> = (0..archives.len()).map(|at| scratch.dir(&at.to_string())).collect();
        for (at, archive) in archives.into_iter().enumerate() {
            let lowers: Vec<_> = dirs[..at].iter().map(std::path::PathBuf::as_path).collect();
            apply(&archive.finish(), &dirs[at], &lowers).unwrap();
        }
        let flat = scratch.dir("flat");
        let mut flattened = Flattened::new(File::open(&flat).unwrap()).unwrap();
        dirs.iter().for_each(|dir| flattened.add(File::open(dir).unwrap()).unwrap());
        flattened.finish().unwrap();

        assert_eq!(names(&flat), ["etc", "file", "null", "old", "other"]);
        assert_eq!(
            (names(&flat.join("etc")), names(&flat.join("old"))),
            (vec!["a".into()], vec!["w".into(), "z".into()])
        );
        assert_eq!(fs::read(flat.join("etc/a")).unwrap(), b"3");
        assert_eq!(fs::read(flat.join("other")).unwrap(), b"1");
        let meta = |path: std::path::PathBuf| fs::symlink_metadata(path).unwrap();
        assert_eq!(meta(flat.join("null")).rdev(), 0x103);
        for (path, mode) in [("old", 0o750), ("file", 0o705), ("etc", 0o755)] {
            assert_eq!(meta(flat.join(path)).permissions().mode() & 0o7777, mode, "{path}");
        }
        let (own, layers) = (meta(flat.join("old")), meta(dirs[2].join("old")));
        assert_eq!((own.mtime(), own.mtime_nsec()), (layers.mtime(), layers.mtime_nsec()));
        assert_eq!(meta(flat.join("old/z")).ino(), meta(dirs[1].join("old/z")).ino(), "files are linked");
        assert!(!is_opaque(flat.join("old")));
    }
}
