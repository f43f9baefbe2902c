//! The control groups of this machine: no namespace removes what a suite leaves there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every control group but those of the engine, whose tests may be running beside this.
pub(super) fn all() -> BTreeSet<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = table.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let mut found = BTreeSet::new();
    for hierarchy in hierarchies.map(Path::new) {
        let children = children(hierarchy).into_iter().filter(|path| path.file_name() != Some("tare".as_ref()));
        children.for_each(|path| collect(path, &mut found));
    }
    found
}

/// Removes what was not there before, the deepest first. A group with a process in it stays: it is not a suite's, since
/// every process of a suite is dead. What lies in a group that was there before is its owner's to remove: it is only named.
pub(super) fn remove_new(before: &BTreeSet<PathBuf>) {
    for group in all().iter().rev().filter(|group| !before.contains(*group)) {
        if group.ancestors().any(|parent| before.contains(parent)) {
            eprintln!("   left in a group of somebody else's: {}", group.display());
        } else {
            let _ = fs::remove_dir(group);
        }
    }
}

fn collect(group: PathBuf, into: &mut BTreeSet<PathBuf>) {
    children(&group).into_iter().for_each(|child| collect(child, into));
    into.insert(group);
}

fn children(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
