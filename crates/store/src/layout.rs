//! Which version of the on-disk layout a data root has. Read first, never guessed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stdx::atomic_write::{Durability, atomic_write};
use stdx::{Context, Error, Kind, Result};

const LAYOUT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Version {
    layout: u32,
}

pub(crate) fn check_or_create(root: &Path) -> Result<()> {
    match fs::read(root.join("version")) {
        Ok(bytes) => check(root, &bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => create(root),
        Err(error) => Err(error).context(|| format!("cannot read the layout version of data root {root:?}")),
    }
}

fn check(root: &Path, bytes: &[u8]) -> Result<()> {
    let version: Version = serde_json::from_slice(bytes)
        .context(|| format!("cannot read the layout version of data root {root:?}"))
        .map_err(|error| error.kinded(Kind::Corrupt))?;
    if version.layout == LAYOUT {
        return Ok(());
    }
    let message = format!("data root {root:?} has layout {}, this tare knows layout {LAYOUT}", version.layout);
    Err(Error::unsupported(message).hint("use the tare that wrote it, or another data root"))
}

/// Two processes may do this at once: both find nothing of somebody else's and write the same bytes.
fn create(root: &Path) -> Result<()> {
    let message = || format!("cannot create data root {root:?}");
    let made = !root.exists();
    // Names below are reachable by image users only through their own mounts; the root itself is passed through by
    // processes in user namespaces on the way to their volumes.
    fs::DirBuilder::new().recursive(true).mode(0o711).create(root).context(message)?;
    for entry in fs::read_dir(root).context(message)? {
        let name = entry.context(message)?.file_name();
        let name = name.to_string_lossy();
        if name != "version" && name != "lost+found" && !name.starts_with(".version.") {
            let message =
                format!("directory {root:?} is not empty and is no data root of tare: it has no version file");
            return Err(Error::invalid(message).hint("choose an empty or a new directory"));
        }
    }
    let json = format!("{{\"layout\":{LAYOUT}}}\n");
    let written = atomic_write(&root.join("version"), json.as_bytes(), Durability::Synced).context(message);
    if written.is_err() && made {
        let _ = fs::remove_dir(root);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn a_new_root_gets_a_version_and_opens_again() {
        let scratch = Scratch::new();
        let root = scratch.path().join("a/b");
        check_or_create(&root).unwrap();
        assert_eq!(fs::read_to_string(root.join("version")).unwrap(), "{\"layout\":2}\n");
        fs::create_dir(root.join("containers")).unwrap();
        check_or_create(&root).unwrap();
    }

    #[test]
    fn another_layout_is_refused_and_nothing_touched() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("version"), "{\"layout\":7,\"more\":1}").unwrap();
        let error = check_or_create(scratch.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("has layout 7, this tare knows layout 2"), "{error}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        fs::write(scratch.path().join("version"), "x").unwrap();
        assert_eq!(check_or_create(scratch.path()).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn somebody_elses_directory_is_refused() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("lost+found")).unwrap();
        fs::write(scratch.path().join("thesis.txt"), "").unwrap();
        assert_eq!(check_or_create(scratch.path()).unwrap_err().kind(), Kind::Invalid);
        fs::remove_file(scratch.path().join("thesis.txt")).unwrap();
        check_or_create(scratch.path()).unwrap();
        assert!(check_or_create(Path::new("/dev/null/x")).is_err());
    }
}
