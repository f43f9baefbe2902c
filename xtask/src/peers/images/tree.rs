//! A file tree in every attribute, as `mtree` lists one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr};
use stdx::{Context, Result};

use super::Sameness;

/// Path to attributes.
pub(super) struct Tree(BTreeMap<Vec<u8>, BTreeMap<&'static str, String>>);

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        collect(root, root, &mut paths)?;
        paths.sort();
        let mut links = BTreeMap::new();
        let mut tree = BTreeMap::new();
        for path in paths {
            let attributes =
                attributes(root, &path, &mut links).context(|| format!("cannot look at {:?}", lossy(&path)))?;
            tree.insert(path, attributes);
        }
        Ok(Self(tree))
    }

    /// Makes the root directory's own attributes those of another tree.
    pub(super) fn take_root_of(&mut self, other: &Self) {
        if let Some(root) = other.0.get(&Vec::new()) {
            self.0.insert(Vec::new(), root.clone());
        }
    }

    /// What is different in another, one line an attribute.
    pub(super) fn compare(&self, other: &Self) -> Sameness {
        let mut found = Vec::new();
        for (path, own) in &self.0 {
            let Some(theirs) = other.0.get(path) else {
                found.push(format!("{}: missing", lossy(path)));
                continue;
            };
            for (name, value) in own {
                if theirs.get(name) != Some(value) {
                    let theirs = theirs.get(name).map_or("nothing", String::as_str);
                    found.push(format!("{}: {name} {theirs} instead of {value}", lossy(path)));
                }
            }
        }
        let more = other.0.keys().filter(|path| !self.0.contains_key(*path));
        found.extend(more.map(|path| format!("{}: too much", lossy(path))));
        if found.is_empty() { Sameness::Same } else { Sameness::Different(found) }
    }
}

fn lossy(path: &[u8]) -> String {
    if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path).chars().take(60).collect() }
}

fn collect(root: &Path, dir: &Path, paths: &mut Vec<Vec<u8>>) -> Result<()> {
    let relative = dir.strip_prefix(root).unwrap_or(dir).as_os_str().as_bytes().to_vec();
    paths.push(relative);
    for entry in fs::read_dir(dir).context(|| format!("cannot list {dir:?}"))? {
        let path = entry.context(|| format!("cannot list {dir:?}"))?.path();
        if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            collect(root, &path, paths)?;
        } else {
            paths.push(path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().to_vec());
        }
    }
    Ok(())
}

type Links = BTreeMap<(u64, u64), Vec<u8>>;

fn attributes(root: &Path, path: &[u8], links: &mut Links) -> std::io::Result<BTreeMap<&'static str, String>> {
    let whole = root.join(OsStr::from_bytes(path));
    let metadata = fs::symlink_metadata(&whole)?;
    let kind = metadata.file_type();
    let mut found = BTreeMap::new();
    found.insert("mode", format!("{:o}", metadata.mode()));
    found.insert("owner", format!("{}:{}", metadata.uid(), metadata.gid()));
    found.insert("time", format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()));
    if kind.is_char_device() || kind.is_block_device() {
        found.insert("device", format!("{:x}", metadata.rdev()));
    }
    if kind.is_symlink() {
        found.insert("target", fs::read_link(&whole)?.display().to_string());
    }
    if kind.is_file() {
        let mut hash = DefaultHasher::new();
        hash.write(&fs::read(&whole)?);
        found.insert("content", format!("{} bytes {:016x}", metadata.len(), hash.finish()));
    }
    if !kind.is_dir() {
        let first = links.entry((metadata.dev(), metadata.ino())).or_insert_with(|| path.to_vec());
        found.insert("same file as", lossy(first));
    }
    for (name, value) in xattrs(&whole)? {
        found.entry("attributes").or_default().push_str(&format!("{name}={value} "));
    }
    Ok(found)
}

fn xattrs(path: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let mut names = vec![0; 64 << 10];
    let length = llistxattr(path, &mut names[..])?;
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut found = BTreeMap::new();
    for name in names.filter(|name| !name.starts_with(b"trusted.overlay.")) {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, name, &mut value[..])?;
        let hex = value[..length].iter().map(|byte| format!("{byte:02x}")).collect();
        found.insert(String::from_utf8_lossy(name).into_owned(), hex);
    }
    Ok(found)
}
