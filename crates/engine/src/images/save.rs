//! `save`: images that names or ids mean, as an archive.

use std::io::Write;

use oci::{Platform, Reference};
use stdx::{Context, Error, Result};
use store::{ArchiveFormat, Image};

use crate::images::host;
use crate::{Engine, events};

/// Writes an archive of the images that `texts` name: by a name with that name alone, by a repository without a tag with
/// all its names there, by an id without any. Each has to be for `platform`, if one is asked for.
pub fn save(
    engine: &Engine,
    texts: &[String],
    format: ArchiveFormat,
    platform: Option<&Platform>,
    writer: impl Write,
) -> Result<()> {
    let store = engine.store()?;
    let hold = store.hold()?;
    let mut images: Vec<(Image, Vec<Reference>)> = Vec::new();
    for text in texts {
        for (image, name) in find(engine, text)? {
            super::inspect::find(engine, &image.id.to_string(), platform)
                .context(|| format!("cannot save \"{text}\""))?;
            match images.iter_mut().find(|(known, _)| known.id == image.id) {
                Some((_, names)) => names.extend(name.filter(|name| !names.contains(name))),
                None => images.push((image, name.into_iter().collect())),
            }
        }
    }
    let saved = store.save(&images, format, writer);
    drop(hold);
    // Blobs that were made for it stand in for others.
    let collected = if format == ArchiveFormat::Oci { super::collect(engine) } else { Ok(()) };
    saved.and(collected)?;
    for (image, names) in &images {
        let name = names.first().map_or_else(|| image.id.to_string(), Reference::familiar);
        events::image(engine, &image.id, &name, "save");
    }
    Ok(())
}

fn find(engine: &Engine, text: &str) -> Result<Vec<(Image, Option<Reference>)>> {
    if text == host::NAME {
        return Err(Error::invalid("cannot save image \"host\": it is built in"));
    }
    let store = engine.store()?;
    if let Ok(name) = Reference::parse(text) {
        if name.tag().is_none() && name.digest().is_none() {
            let mut found = Vec::new();
            for image in store.images()? {
                let names = image.names.iter().filter(|other| other.same_repository(&name)).cloned();
                found.extend(names.map(|name| (image.clone(), Some(name))).collect::<Vec<_>>());
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    let image = store.resolve(text)?;
    let name = Reference::parse_tagged(text).ok().filter(|name| image.names.contains(name));
    Ok(vec![(image, name)])
}
