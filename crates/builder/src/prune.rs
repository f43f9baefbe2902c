//! What the cache of builds may keep.

use std::fs;
use std::path::{Path, PathBuf};

use engine::Engine;
use jiff::Timestamp;
use stdx::flock::Flock;
use stdx::remove_tree::remove_tree;
use stdx::{Context, Result, id};
use store::CacheEntry;

/// Which of the cache goes.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// The directories of cache mounts too.
    pub all: bool,
    /// Only what was not used since.
    pub unused_since: Option<Timestamp>,
    /// Bytes that may stay, of what was used last.
    pub keep_storage: Option<u64>,
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Instructions of steps, and targets of cache mounts.
    pub items: Vec<String>,
    /// Bytes below the data root.
    pub bytes: u64,
}

/// Forgets steps and removes what only they stood on. What a build uses at this moment stays.
pub fn prune(engine: &Engine, prune: &Prune) -> Result<Pruned> {
    let before = engine::system::df::df(engine)?.size();
    let store = engine.store()?;
    let mut pruned = Pruned::default();
    let mut entries = store.cache_entries()?;
    // What was used longest ago goes first; within a minute, what was made last: it stands on the others.
    let minute = |time: Timestamp| time.as_second() / 60;
    entries.sort_by_key(|entry| (minute(entry.used), std::cmp::Reverse(entry.step.created)));
    let mut total: u64 = sizes(&entries);
    for entry in entries {
        if prune.unused_since.is_some_and(|since| entry.used >= since) {
            continue;
        }
        if prune.keep_storage.is_some_and(|keep| total <= keep) {
            break;
        }
        store.forget_step(&entry.key)?;
        total = total.saturating_sub(entry.size);
        pruned.items.push(entry.step.description);
    }
    if prune.all {
        prune_mounts(engine, prune, &mut pruned)?;
    }
    engine::images::collect(engine)?;
    pruned.bytes = before.saturating_sub(engine::system::df::df(engine)?.size());
    Ok(pruned)
}

/// How often it is looked whether the cache has become too large.
const INTERVAL: std::time::Duration = std::time::Duration::from_secs(600);

/// Keeps the cache within the administrator's limit; to be called after builds. Mostly there is nothing to look at.
pub fn keep_within_limit(engine: &Engine) -> Result<()> {
    let stamp = engine.dirs().root.join("cache/tidied");
    let age = stamp.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
    if age.is_some_and(|age| age < INTERVAL) {
        return Ok(());
    }
    let limit = engine.build_cache_limit()?;
    if sizes(&engine.store()?.cache_entries()?) > limit {
        prune(engine, &Prune { keep_storage: Some(limit), ..Prune::default() })?;
    }
    if let Some(cache) = stamp.parent().filter(|cache| cache.exists()) {
        fs::write(cache.join("tidied"), "").context(|| format!("cannot write {stamp:?}"))?;
    }
    Ok(())
}

/// Bytes of all layers, each once: a step may be known by two keys.
fn sizes(entries: &[CacheEntry]) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    entries.iter().filter(|entry| seen.insert(entry.step.chain())).map(|entry| entry.size).sum()
}

/// Where the directories of cache mounts are.
pub(crate) fn mounts_dir(engine: &Engine) -> PathBuf {
    engine.dirs().root.join("cache/mounts")
}

fn prune_mounts(engine: &Engine, prune: &Prune, pruned: &mut Pruned) -> Result<()> {
    let dir = mounts_dir(engine);
    for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
        let Some(lock) = Flock::try_exclusive(&entry.path().join("lock"))? else { continue };
        let used = entry.path().join("used").metadata().and_then(|metadata| metadata.modified()).ok();
        let used = used.and_then(|time| Timestamp::try_from(time).ok());
        if prune.unused_since.is_some_and(|since| used.is_some_and(|used| used >= since)) {
            continue;
        }
        let name = fs::read_to_string(entry.path().join("id")).unwrap_or_default();
        remove(&entry.path())?;
        drop(lock);
        pruned.items.push(format!("cache mount {name}"));
    }
    Ok(())
}

/// Out of sight at once, then piece by piece.
fn remove(dir: &Path) -> Result<()> {
    let gone = dir.with_file_name(format!(".{}", id::random_hex(8)));
    fs::rename(dir, &gone).context(|| format!("cannot remove {dir:?}"))?;
    remove_tree(&gone)
}
