//! The programs that suites are run against.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stdx::{Context, Error, Result};

use crate::build::{self, Profile};

/// One program, one column of the table.
pub(super) struct Column {
    pub(super) name: &'static str,
    /// An OCI runtime, by its absolute path.
    pub(super) program: PathBuf,
}

const TARE: &str = "tare";
const RUNC: &str = "runc";
/// `/bin/true`: what a suite counts as passed when nothing was done.
const NOTHING: &str = "nothing";

const ALL: [&str; 3] = [TARE, RUNC, NOTHING];

/// The columns of a list with commas; all of them without.
pub(super) fn chosen(list: Option<&str>) -> Result<Vec<&'static str>> {
    let Some(list) = list else { return Ok(ALL.to_vec()) };
    let find = |word: &str| {
        let known = ALL.iter().copied().find(|name| *name == word);
        known.ok_or_else(|| Error::invalid(format!("there is no column {word:?}")).hint(ALL.join(", ")))
    };
    list.split(',').map(find).collect()
}

impl Column {
    /// `dir` gets the name under which tare is an OCI runtime.
    pub(super) fn make(name: &'static str, dir: &Path) -> Result<Self> {
        let program = match name {
            TARE => tare_runtime(dir)?,
            RUNC => "/usr/sbin/runc".into(),
            _ => "/bin/true".into(),
        };
        Ok(Self { name, program })
    }
}

/// A link to the release binary: suites measure what users get, and some have limits of time.
fn tare_runtime(dir: &Path) -> Result<PathBuf> {
    let tare = build::tare(Profile::Release)?;
    let link = dir.join("tare-runtime");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).context(|| format!("cannot remove {link:?}"))?;
    }
    symlink(&tare, &link).context(|| format!("cannot make link {link:?}"))?;
    Ok(link)
}
