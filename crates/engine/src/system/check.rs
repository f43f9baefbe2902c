//! `system check`: whether images and containers are what they say they are, and what crashes left.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use oci::ImageId;
use stdx::{Context, Result};
use store::Finding;

use crate::Engine;
use crate::containers::record::{Record, RecordImage};
use crate::containers::{find, list, names};
use crate::{images, networks};

/// Verifies everything below the data root; with `repair`, puts right what can be.
pub fn check(engine: &Engine, repair: bool) -> Result<Vec<Finding>> {
    // Listing repairs what dead monitors left, and removes containers that were made or removed halfway.
    let containers = list::list(engine, true)?.containers;
    let in_use = |id: &ImageId| images::usage(&containers, id);
    let mut findings = engine.store()?.check(repair, &in_use)?;
    check_containers(engine, &mut findings)?;
    check_names(engine, repair, &mut findings)?;
    networks::repair::check(engine, repair, &mut findings)?;
    Ok(findings)
}

fn check_containers(engine: &Engine, findings: &mut Vec<Finding>) -> Result<()> {
    for id in find::ids(engine)? {
        let short = &id[..12];
        let record = match Record::load(engine, &id) {
            Ok(Some(record)) => record,
            Ok(None) => {
                findings.push(Finding::broken(format!("container {short} has no record: remove it with \"rm -f\"")));
                continue;
            }
            Err(error) => {
                findings.push(Finding::broken(format!("container {short} cannot be read: {error}")));
                continue;
            }
        };
        if let RecordImage::Stored { id: image, name } = &record.image {
            if let Err(error) = engine.store()?.image(image) {
                let what = format!("container {short} ({}) stands on image {name:?}: {error}", record.name);
                findings.push(Finding::broken(what));
            }
        }
    }
    Ok(())
}

/// Names are links to containers.
fn check_names(engine: &Engine, repair: bool, findings: &mut Vec<Finding>) -> Result<()> {
    let _lock = names::lock(engine)?;
    for name in listed(&engine.dirs().names())? {
        let path = engine.dirs().names().join(&name);
        let Ok(target) = fs::read_link(&path) else { continue };
        if engine.dirs().containers().join(&target).exists() {
            continue;
        }
        let finding = Finding::garbage(format!("the name {name:?} is taken by a container that is not there"));
        findings.push(if repair {
            fs::remove_file(&path).context(|| format!("cannot remove {path:?}"))?;
            finding.repaired("removed")
        } else {
            finding
        });
    }
    Ok(())
}

fn listed(dir: &Path) -> Result<Vec<String>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.context(|| format!("cannot list {dir:?}"))?;
            Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        }
    }
}
