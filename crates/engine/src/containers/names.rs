//! Names of containers: given or drawn, and unique.
//!
//! A name is a symbolic link `names/NAME → ID`: making it is the reservation, and looking it up reads one link.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;

use stdx::flock::Flock;
use stdx::{Context, Error, Result, id};

use crate::Engine;
use crate::config::make_dir;

const FIRST: [&str; 48] = [
    "amber", "brave", "brisk", "bright", "calm", "clear", "clever", "copper", "coral", "crisp", "deft", "early",
    "eager", "fair", "fleet", "fresh", "gentle", "glad", "golden", "green", "handy", "hardy", "honest", "keen", "kind",
    "light", "lively", "loyal", "lucky", "mellow", "merry", "neat", "nimble", "plain", "proud", "quick", "quiet",
    "ready", "silver", "smart", "solid", "steady", "stout", "sunny", "swift", "tidy", "trim", "warm",
];
const SECOND: [&str; 48] = [
    "anchor", "anvil", "barge", "barrel", "basket", "beacon", "beam", "bollard", "box", "bucket", "buoy", "cargo",
    "cart", "cask", "chest", "clipper", "coaster", "cog", "crane", "crate", "derrick", "dock", "dolly", "drum",
    "ferry", "flask", "frigate", "gantry", "hamper", "harbour", "hawser", "hopper", "jetty", "keel", "ketch",
    "lighter", "mast", "mooring", "pallet", "pier", "quay", "rudder", "sack", "scale", "sloop", "tug", "wharf",
    "winch",
];

/// Whether `name` may be a container's: Docker's rule.
pub(crate) fn check(name: &str) -> Result<()> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = chars.clone().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if first && rest && name.len() >= 2 && name.len() <= 128 {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid container name \"{name}\": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
}

/// Waits until nobody else is choosing a name.
pub(crate) fn lock(engine: &Engine) -> Result<Flock> {
    let dir = engine.dirs().names();
    match Flock::exclusive(&dir.join(".lock")) {
        Err(error) if error.kind() == stdx::Kind::NotFound => {
            make_dir(&dir, 0o711)?;
            Flock::exclusive(&dir.join(".lock"))
        }
        lock => lock,
    }
}

/// The same lock, if it is free now and there is one.
pub(crate) fn try_lock(engine: &Engine) -> Result<Option<Flock>> {
    Flock::try_exclusive(&engine.dirs().names().join(".lock"))
}

/// Reserves `wanted`, or a drawn name, for container `id`, and gives it. The caller holds the [`lock`] until the
/// container is complete.
pub(crate) fn reserve(engine: &Engine, wanted: Option<&str>, id: &str) -> Result<String> {
    let Some(name) = wanted else { return draw(engine, id) };
    check(name)?;
    if take(engine, name, id)? {
        return Ok(name.to_owned());
    }
    let holder = holder(engine, name)?.unwrap_or_default();
    Err(Error::conflict(format!("the container name \"{name}\" is already in use by container \"{holder}\""))
        .hint("remove or rename that container to use the name again"))
}

fn draw(engine: &Engine, id: &str) -> Result<String> {
    for round in 0.. {
        let random = id::random(4);
        let pick = |list: &[&'static str; 48], byte: u8| list[usize::from(byte) % list.len()];
        let mut name = format!("{}_{}", pick(&FIRST, random[0]), pick(&SECOND, random[1]));
        if round > 2 {
            name.push_str(&format!("{}", u16::from_ne_bytes([random[2], random[3]])));
        }
        if take(engine, &name, id)? {
            return Ok(name);
        }
    }
    unreachable!("the loop has no end")
}

fn take(engine: &Engine, name: &str, id: &str) -> Result<bool> {
    let path = engine.dirs().names().join(name);
    for _ in 0..2 {
        match symlink(id, &path) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if holder(engine, name)?.is_some() {
                    return Ok(false);
                }
                // Left by a creation that was killed, or a removal: nobody but us, who hold the lock, is creating.
                release(engine, name)?;
            }
            Err(error) => return Err(error).context(|| format!("cannot reserve the name \"{name}\"")),
        }
    }
    Ok(false)
}

/// The container that has `name`; none while that container is still being created, or if it is gone.
pub(crate) fn holder(engine: &Engine, name: &str) -> Result<Option<String>> {
    let path = engine.dirs().names().join(name);
    let id = match fs::read_link(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        id => id.context(|| format!("cannot read the name \"{name}\""))?.to_string_lossy().into_owned(),
    };
    Ok(engine.dirs().container(&id).exists().then_some(id))
}

/// The name of container `id`, found among all.
pub(crate) fn name_of(engine: &Engine, id: &str) -> Result<Option<String>> {
    let dir = engine.dirs().names();
    let entries = fs::read_dir(&dir).context(|| format!("cannot list {dir:?}"))?;
    let has = |path: std::path::PathBuf| fs::read_link(path).is_ok_and(|target| target.as_os_str() == id);
    Ok(entries.flatten().find(|entry| has(entry.path())).map(|entry| entry.file_name().to_string_lossy().into_owned()))
}

/// Gives a name up.
pub(crate) fn release(engine: &Engine, name: &str) -> Result<()> {
    match fs::remove_file(engine.dirs().names().join(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot give up the name \"{name}\""))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_follow_dockers_rule() {
        for good in ["ab", "A.b-c_d", "0x"] {
            assert!(super::check(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", "a/b", "../x", "ä", "a b"] {
            assert!(super::check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_drawn_name_is_allowed() {
        for (first, second) in super::FIRST.iter().zip(super::SECOND) {
            assert!(super::check(&format!("{first}_{second}")).is_ok());
        }
    }
}
