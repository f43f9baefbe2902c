//! `image inspect`: all that is known of an image.

use std::path::PathBuf;

use oci::{Descriptor, Platform};
use stdx::{Error, Result};
use store::Image;

use crate::Engine;

/// An image, and where it is.
#[derive(Debug, Clone)]
pub struct Details {
    pub image: Image,
    /// Its layers as directories, bottom first.
    pub layers: Vec<PathBuf>,
    /// What an artifact is to a registry.
    pub descriptor: Option<Descriptor>,
}

/// What is known of the image that `text` means.
pub fn inspect(engine: &Engine, text: &str, platform: Option<&Platform>) -> Result<Details> {
    let store = engine.store()?;
    let image = find(engine, text, platform)?;
    let layers = store.layers(&image);
    let descriptor = match &image.artifact {
        None => None,
        Some(kind) => {
            let packed = store.pack(&image, &mut |_| {})?;
            Some(Descriptor { artifact_type: Some(kind.clone()), ..packed.descriptor })
        }
    };
    Ok(Details { image, layers, descriptor })
}

/// The image that `text` means; `NotFound` if it is for another platform than the one asked for.
pub fn find(engine: &Engine, text: &str, platform: Option<&Platform>) -> Result<Image> {
    let image = engine.store()?.resolve(text)?;
    match platform {
        Some(wanted) if image.artifact.is_none() && image.config.platform.suits(wanted).is_none() => {
            let own = &image.config.platform;
            Err(Error::not_found(format!("image \"{text}\" is not here for platform {wanted}, only for {own}")))
        }
        _ => Ok(image),
    }
}
