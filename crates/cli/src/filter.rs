//! `--filter KEY=VALUE`, as it is typed.

use engine::Engine;
use engine::filter::{Filter, ImageFilter};
use jiff::{SignedDuration, Timestamp};
use stdx::{Error, Result};

/// What `prune` takes: `until`, `label`, `label!`.
pub(crate) fn common(words: &[String]) -> Result<Filter> {
    let mut filter = Filter::default();
    for word in words {
        if !read_common(&mut filter, word)? {
            return Err(unknown(word, "until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]"));
        }
    }
    Ok(filter)
}

/// What `images` takes besides: `dangling`, `before`, `since`, `reference`.
pub(crate) fn images(engine: &Engine, words: &[String]) -> Result<ImageFilter> {
    const KNOWN: &str = "dangling, label, before, since, until or reference";
    let mut filter = ImageFilter::default();
    let made = |name: &str| -> Result<Timestamp> {
        let unknown = || Error::invalid(format!("image \"{name}\" does not say when it was made"));
        engine.store()?.resolve(name)?.created().ok_or_else(unknown)
    };
    for word in words {
        match word.split_once('=') {
            Some(("dangling", "true" | "1")) => filter.dangling = Some(true),
            Some(("dangling", "false" | "0")) => filter.dangling = Some(false),
            Some(("before", name)) => filter.before.push(made(name)?),
            Some(("since", name)) => filter.since.push(made(name)?),
            Some(("reference", pattern)) => filter.references.push(pattern.to_owned()),
            _ if read_common(&mut filter.common, word)? => {}
            _ => return Err(unknown(word, KNOWN)),
        }
    }
    Ok(filter)
}

fn unknown(word: &str, known: &str) -> Error {
    Error::invalid(format!("invalid filter \"{word}\"")).hint(known)
}

fn read_common(filter: &mut Filter, word: &str) -> Result<bool> {
    match word.split_once('=') {
        Some(("until", time)) => filter.until = Some(point_in_time(time)?),
        Some(("label", label)) => filter.labels.push(label.to_owned()),
        Some(("label!", label)) => filter.without_labels.push(label.to_owned()),
        _ => return Ok(false),
    }
    Ok(true)
}

/// A point in time, seconds since 1970, or how long ago (`90m`, `24h`, `1h30m`).
pub(crate) fn point_in_time(text: &str) -> Result<Timestamp> {
    let invalid = || Error::invalid(format!("invalid time \"{text}\"")).hint("as in 24h or 2026-01-31T12:00:00Z");
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).map_err(|_| invalid());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago: SignedDuration = text.parse().map_err(|_| invalid())?;
    Timestamp::now().checked_sub(ago).map_err(|_| invalid())
}
