//! The image's content goes into a volume that is still empty, with owners, modes, times and attributes.

use std::fs::{self, File};
use std::path::Path;

use layer::{Limits, diff};
use rustix::fs::OFlags;
use stdx::flock::Flock;
use stdx::{Context, Error, Kind, Result};
use sys::root::Root;

use super::{Source, data_path, dir, source};
use crate::Engine;
use crate::containers::options::MountKind;
use crate::containers::{Container, Record, layers};

/// There while a volume is being filled.
const MARK: &str = "filling";

/// Fills the empty volumes of a new container with what its image has where they are mounted.
pub(crate) fn fill(engine: &Engine, record: &Record) -> Result<()> {
    let mut root = None;
    for mount in &record.options.mounts {
        let MountKind::Volume { name: Some(name), nocopy: false, .. } = &mount.kind else { continue };
        let lock = Flock::exclusive(&dir(engine).join(name).join("lock"))?;
        if is_empty(engine, name)? {
            let root = match &root {
                Some(root) => root,
                None => root.insert(merged(engine, record)?),
            };
            let copied = copy(engine, record, root, &mount.target, name);
            copied.context(|| format!("cannot fill volume {name} from \"{}\" of the image", mount.target))?;
        }
        drop(lock);
    }
    Ok(())
}

fn is_empty(engine: &Engine, name: &str) -> Result<bool> {
    let Source::Directory(data) = source(engine, name)? else { return Ok(false) };
    let what = || format!("cannot read volume {name}");
    if dir(engine).join(name).join(MARK).exists() {
        // Half filled by somebody who was killed, and used by nobody: a container comes after.
        for entry in fs::read_dir(&data).context(what)? {
            let path = entry.context(what)?.path();
            if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
                .context(what)?;
        }
    }
    match fs::read_dir(&data) {
        // A device of somebody else's that is not there will be missed when it is mounted.
        Err(_) => Ok(false),
        Ok(mut entries) => Ok(entries.next().is_none()),
    }
}

fn merged(engine: &Engine, record: &Record) -> Result<Root> {
    let container = Container { record: record.clone(), state: None };
    Ok(Root::new(layers::merged(engine, &container)?.into()))
}

fn copy(engine: &Engine, record: &Record, root: &Root, target: &str, name: &str) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = match root.open(Path::new(target.trim_start_matches('/')), flags) {
        // The image has nothing there, or no directory.
        Err(sys::Errno::NOENT | sys::Errno::NOTDIR | sys::Errno::LOOP) => return Ok(()),
        from => from.context(|| format!("cannot open \"{target}\" of the image"))?,
    };
    let data = data_path(engine, name);
    let into = File::open(&data).context(|| format!("cannot open {data:?}"))?;
    let mark = dir(engine).join(name).join(MARK);
    File::create(&mark).context(|| format!("cannot make {mark:?}"))?;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map(|(reader, writer)| (File::from(reader), File::from(writer)))
        .context(|| "cannot make a pipe".into())?;
    let options = diff::Options { ids: layers::merged_ids(record), root: true, ..diff::Options::default() };
    std::thread::scope(|scope| {
        let exporter = scope.spawn(move || layer::export(&from, writer, &options));
        let unpacked = layer::unpack(reader, &into, &Limits::default()).and_then(|unpacked| unpacked.settle(&[]));
        let exported = exporter.join().map_err(|_| Error::new(Kind::Internal, "the copy was broken off"))?;
        // Whoever reads only sees that there is no more; who writes knows why.
        exported.map(drop).and(unpacked.map(drop))
    })?;
    fs::remove_file(&mark).context(|| format!("cannot remove {mark:?}"))
}
