//! Images: the store's, and the built-in [`host`].

pub mod host;
pub mod inspect;
pub mod pull;
pub mod push;
pub mod save;

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::image_config::Config as ImageDefaults;
use oci::{ImageId, Platform, Reference};
use rustix::fs::{CWD, Mode, OFlags, openat};
use stdx::{Context, Error, Result, id};
use store::{Image, ImportOptions, Loaded, Progress, Removed, Usage};
use sys::mount::{self, Overlay};
use sys::root::Root;

use crate::config::make_dir;
use crate::containers;
use crate::containers::record::RecordImage;
use crate::{Engine, events};

/// Finds the image that `text` names, and what it says about its program.
pub fn resolve(engine: &Engine, text: &str, platform: Option<&str>) -> Result<(RecordImage, ImageDefaults)> {
    let wanted =
        platform.map(|text| text.parse::<Platform>().context(|| format!("invalid platform \"{text}\""))).transpose();
    let wanted = wanted.map_err(|error| error.kinded(stdx::Kind::Invalid))?;
    let (record, defaults, own) = if text == host::NAME {
        (RecordImage::Host, host::defaults(), Platform::host())
    } else {
        let image = engine.store()?.resolve(text).map_err(|error| match error.kind() {
            stdx::Kind::NotFound => error.hint("pull, load or import it first, or use the built-in image \"host\""),
            _ => error,
        })?;
        if let Some(kind) = &image.artifact {
            let message = format!("\"{text}\" is no image but an artifact of type {kind:?}: nothing can run on it");
            return Err(Error::unsupported(message));
        }
        (RecordImage::Stored { name: text.into(), id: image.id }, image.config.config, image.config.platform)
    };
    // What an image for another machine would do here is fail with an obscure error.
    for (asked, whose) in [(wanted.as_ref(), "asked for"), (Some(&Platform::host()), "this machine's")] {
        if let Some(asked) = asked.filter(|asked| own.suits(asked).is_none()) {
            return Err(Error::unsupported(format!(
                "image \"{text}\" is for platform {own}, and the one {whose} is {asked}"
            )));
        }
    }
    Ok((record, defaults))
}

/// Gives the image that `source` names a further name.
pub fn tag(engine: &Engine, source: &str, target: &Reference) -> Result<()> {
    let store = engine.store()?;
    let image = store.resolve(source)?;
    store.tag(&image.id, target)?;
    events::image(engine, &image.id, &target.familiar(), "tag");
    Ok(())
}

/// Reads an archive of images; see [`store::Store::load`].
pub fn load(
    engine: &Engine,
    reader: impl Read + Send,
    platform: Option<&Platform>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Loaded>> {
    let loaded = engine.store()?.load(reader, platform, progress)?;
    for image in &loaded {
        let name = image.names.first().map_or_else(|| image.id.to_string(), Reference::familiar);
        events::image(engine, &image.id, &name, "load");
    }
    Ok(loaded)
}

/// Makes an image of a root file system's tar.
pub fn import(engine: &Engine, reader: impl Read + Send, options: ImportOptions) -> Result<ImageId> {
    let name = options.name.clone().map(|name| name.or_latest().familiar());
    let id = engine.store()?.import(reader, options)?;
    events::image(engine, &id, &name.unwrap_or_else(|| id.to_string()), "import");
    Ok(id)
}

/// Whether there is an image that `text` names.
pub fn exists(engine: &Engine, text: &str) -> Result<bool> {
    match engine.store()?.resolve(text) {
        Err(error) if error.kind() == stdx::Kind::NotFound => Ok(text == host::NAME),
        found => found.map(|_| true),
    }
}

/// The image's layers as overlay lower directories, topmost first.
pub(crate) fn lower_layers(engine: &Engine, image: &RecordImage) -> Result<Vec<PathBuf>> {
    match image {
        RecordImage::Host => Ok(vec![PathBuf::from("/")]),
        RecordImage::Stored { id, .. } => {
            let store = engine.store()?;
            let mut layers = store.mounted_layers(&store.image(id)?)?;
            layers.reverse();
            Ok(layers)
        }
    }
}

/// Directories of an image that a container may not see.
pub(crate) fn hidden(engine: &Engine, image: &RecordImage) -> Vec<PathBuf> {
    if *image == RecordImage::Host { host::hidden(engine) } else { Vec::new() }
}

/// Where the init layer over these layers is.
pub(crate) fn init_layer_path(engine: &Engine, image: &RecordImage, lower: &[PathBuf]) -> PathBuf {
    let name = match image {
        RecordImage::Host => host::NAME.to_owned(),
        // A snapshot is `snapshots/CHAIN/fs`, a flattened stack `stacks/CHAIN/fs`: the chain names the whole stack.
        RecordImage::Stored { .. } => {
            let chain = lower.first().and_then(|top| top.parent()).and_then(Path::file_name);
            chain.map_or_else(|| "empty".into(), |chain| chain.to_string_lossy().into_owned())
        }
    };
    engine.dirs().root.join("init").join(name)
}

/// The init layer of an image: the mount points and placeholders that the engine needs and an image may lack. It stands
/// between the image and the writable layer, so it is in no image that is committed. It depends on the image's layers
/// alone, so it is made once for all its containers.
pub(crate) fn init_layer(engine: &Engine, image: &RecordImage, lower: &[PathBuf]) -> Result<PathBuf> {
    let path = init_layer_path(engine, image, lower);
    if path.exists() {
        return Ok(path);
    }
    let parent = engine.dirs().root.join("init");
    make_dir(&parent, 0o711)?;
    let scratch = parent.join(format!(".{}", id::random_hex(8)));
    let made = make_init_layer(&scratch, lower, &[]).and_then(|layer| match std::fs::rename(&layer, &path) {
        // Another container of the image was faster.
        Err(_) if path.exists() => Ok(()),
        renamed => renamed.context(|| format!("cannot make init layer {path:?}")),
    });
    // What is left there is the overlay's scratch directory.
    let _ = std::fs::remove_dir_all(&scratch);
    made.map(|()| path)
}

/// Something that is mounted, and whether it is a directory.
pub(crate) type MountPoint = (String, bool);

/// Makes an init layer in `scratch`, with further mount points.
pub(crate) fn make_init_layer(scratch: &Path, lower: &[PathBuf], further: &[MountPoint]) -> Result<PathBuf> {
    let what = || "cannot make the init layer of the image".to_owned();
    let (upper, work) = (scratch.join("fs"), scratch.join("work"));
    make_dir(&upper, 0o755)?;
    make_dir(&work, 0o755)?;
    let overlay = Overlay { lower: lower.to_vec(), upper: Some((upper.clone(), work)), volatile: true };
    let root = Root::new(mounted(&overlay, what)?);
    let mode = Mode::from_raw_mode;
    for (path, is_dir) in further {
        let made = if *is_dir { root.make_dirs(path, mode(0o755)) } else { root.make_file(path, mode(0o644)) };
        made.context(|| format!("cannot make mount point \"{path}\""))?;
    }
    for (path, bits) in [("dev", 0o755), ("proc", 0o555), ("sys", 0o555), ("etc", 0o755)] {
        root.make_dirs(path, mode(bits)).context(what)?;
    }
    for path in ["etc/hosts", "etc/hostname", "etc/resolv.conf"] {
        root.make_file(path, mode(0o644)).context(what)?;
    }
    root.make_file(".dockerenv", mode(0o755)).context(what)?;
    if !root.exists("etc/mtab") {
        let etc = root.open("etc", OFlags::PATH | OFlags::DIRECTORY).context(what)?;
        rustix::fs::symlinkat("/proc/mounts", etc, "mtab").context(what)?;
    }
    Ok(upper)
}

/// Mounts an overlay, detached: it lasts as long as the descriptor. One without layers below is its writable layer.
pub(crate) fn mounted(overlay: &Overlay, what: impl Fn() -> String) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| openat(CWD, path, flags, Mode::empty());
    match (&overlay.lower[..], &overlay.upper) {
        ([], Some((only, _))) | ([only], None) => return open(only).context(what),
        _ => {}
    }
    mount::overlay(overlay, &open).map_err(|(errno, log)| match log {
        Some(log) => Error::new(stdx::Kind::Internal, format!("{}: {log}", what())),
        None => Err::<(), _>(errno).context(&what).expect_err("built from an error"),
    })
}

/// Removes an image's name, or the image; with Docker's rules about containers that stand on it.
pub fn remove(engine: &Engine, text: &str, force: bool) -> Result<Vec<Removed>> {
    if text == host::NAME {
        return Err(Error::invalid("cannot remove image \"host\": it is built in"));
    }
    let containers = containers::list::list(engine, true)?.containers;
    // By a name that is gone the image could not be told any more.
    let before = engine.store()?.resolve(text).map(|image| image.id).ok();
    let removed = engine.store()?.remove(text, force, &|id: &ImageId| usage(&containers, id))?;
    let name = removed.iter().find_map(|item| match item {
        Removed::Untagged(name) => Some(name.familiar()),
        _ => None,
    });
    for item in &removed {
        tell_of_removal(engine, item, before.as_ref(), name.as_deref().unwrap_or(text));
        if let Removed::DeletedLayer(chain) = item {
            // A layer that is gone needs none.
            let _ = std::fs::remove_dir_all(engine.dirs().root.join("init").join(chain.hex()));
        }
    }
    Ok(removed)
}

fn tell_of_removal(engine: &Engine, item: &Removed, id: Option<&ImageId>, name: &str) {
    match (item, id) {
        (Removed::Untagged(name), Some(id)) => events::image(engine, id, &name.familiar(), "untag"),
        (Removed::Deleted(id), _) => events::image(engine, id, name, "delete"),
        _ => {}
    }
}

pub(crate) fn usage(containers: &[containers::Container], id: &ImageId) -> Option<Usage> {
    let uses = |container: &&containers::Container| matches!(&container.record.image, RecordImage::Stored { id: own, .. } if own == id);
    let short = |container: &containers::Container| container.record.id[..12].to_owned();
    let mut users: Vec<_> = containers.iter().filter(uses).collect();
    users.sort_by_key(|container| !container.is_in_use());
    let first = users.first()?;
    Some(if first.is_in_use() { Usage::Running(short(first)) } else { Usage::Stopped(short(first)) })
}

/// Removes from disk what no image needs.
pub fn collect(engine: &Engine) -> Result<()> {
    let containers = containers::list::list(engine, true)?.containers;
    engine.store()?.gc(&|id: &ImageId| usage(&containers, id)).map(drop)
}

/// The images of the store.
pub fn list(engine: &Engine) -> Result<Vec<Image>> {
    engine.store()?.images()
}

/// The ids of images that containers stand on.
pub fn in_use(engine: &Engine) -> Result<BTreeSet<ImageId>> {
    let containers = containers::list::list(engine, true)?.containers;
    let stored = containers.into_iter().filter_map(|container| match container.record.image {
        RecordImage::Stored { id, .. } => Some(id),
        RecordImage::Host => None,
    });
    Ok(stored.collect())
}
