//! The image's content goes into a volume that is still empty, with owners, modes, times and attributes.
//!
//! It is copied beside the data first and moved in when it is complete, name by name and over nothing: a volume that was
//! being filled when somebody was killed is used by others as it is, and what they write is theirs.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layer::{Limits, diff};
use rustix::fs::{Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, renameat_with};
use stdx::flock::Flock;
use stdx::remove_tree::remove_tree;
use stdx::{Context, Error, Kind, Result};
use sys::root::Root;

use super::{Source, data_path, dir, source};
use crate::Engine;
use crate::config::make_dir;
use crate::containers::options::MountKind;
use crate::containers::{Container, Record, layers};

/// A copy in progress; without its writer it is worth nothing.
const FILLING: &str = "filling";
/// The copy, complete, on its way into the data.
const FILLED: &str = "filled";

/// Fills the empty volumes of a new container with what its image has where they are mounted. What a driver's options name
/// belongs to somebody else and stays as it is.
pub(crate) fn fill(engine: &Engine, record: &Record) -> Result<()> {
    let mut root = None;
    for mount in &record.options.mounts {
        let MountKind::Volume { name: Some(name), nocopy: false, .. } = &mount.kind else { continue };
        if source(engine, name)? != Source::Directory(data_path(engine, name)) {
            continue;
        }
        let what = || format!("cannot fill volume {name} from \"{}\" of the image", mount.target);
        let volume = dir(engine).join(name);
        let _lock = Flock::exclusive(&volume.join("lock"))?;
        if !volume.join(FILLED).exists() && is_empty(&data_path(engine, name)).context(what)? {
            let root = match &root {
                Some(root) => root,
                None => root.insert(merged(engine, record)?),
            };
            copy(record, root, &mount.target, &volume).context(what)?;
        }
        if volume.join(FILLED).exists() {
            move_in(&volume.join(FILLED), &data_path(engine, name)).context(what)?;
        }
    }
    Ok(())
}

fn is_empty(path: &Path) -> std::io::Result<bool> {
    fs::read_dir(path).map(|mut entries| entries.next().is_none())
}

fn merged(engine: &Engine, record: &Record) -> Result<Root> {
    let container = Container { record: record.clone(), state: None };
    Ok(Root::new(layers::merged(engine, &container)?.into()))
}

/// Makes the copy, if the image has a directory there.
fn copy(record: &Record, root: &Root, target: &str, volume: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = match root.open(Path::new(target.trim_start_matches('/')), flags) {
        Err(sys::Errno::NOENT | sys::Errno::NOTDIR | sys::Errno::LOOP) => return Ok(()),
        from => from.context(|| format!("cannot open \"{target}\" of the image"))?,
    };
    let filling = volume.join(FILLING);
    remove_tree(&filling)?;
    make_dir(&filling, 0o700)?;
    let into = File::open(&filling).context(|| format!("cannot open {filling:?}"))?;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map(|(reader, writer)| (File::from(reader), File::from(writer)))
        .context(|| "cannot make a pipe".into())?;
    let options =
        diff::Options { ids: layers::merged_ids(record), name: Some(b".".to_vec()), ..diff::Options::default() };
    std::thread::scope(|scope| {
        let exporter = scope.spawn(move || layer::export(&from, writer, &options));
        let unpacked = layer::unpack(reader, &into, &Limits::default()).and_then(|unpacked| unpacked.settle(&[]));
        let exported = exporter.join().map_err(|_| Error::new(Kind::Internal, "the copy was broken off"))?;
        // A writer whose reader has failed sees a broken pipe only: the reader knows why.
        unpacked.map(drop).and(exported.map(drop))
    })?;
    fs::rename(&filling, volume.join(FILLED)).context(|| "cannot complete the copy".into())
}

/// Moves the copy into the data, in the same directory that other containers may have mounted by now. What is there stays.
fn move_in(filled: &Path, data: &Path) -> Result<()> {
    let open = |path: &Path| File::open(path).context(|| format!("cannot open {path:?}"));
    let (from, to) = (open(filled)?, open(data)?);
    let metadata = from.metadata().context(|| format!("cannot read {filled:?}"))?;
    fchown(&to, Some(Uid::from_raw(metadata.uid())), Some(Gid::from_raw(metadata.gid())))
        .and_then(|()| fchmod(&to, Mode::from_raw_mode(metadata.mode() & 0o7777)))
        .context(|| format!("cannot set the owner of {data:?}"))?;
    for entry in fs::read_dir(filled).context(|| format!("cannot list {filled:?}"))? {
        let name = entry.context(|| format!("cannot list {filled:?}"))?.file_name();
        match renameat_with(&from, &name, &to, &name, RenameFlags::NOREPLACE) {
            Ok(()) | Err(sys::Errno::EXIST) => {}
            Err(errno) => return Err(errno).context(|| format!("cannot move {name:?} into {data:?}")),
        }
    }
    let modified = metadata.modified().and_then(|time| to.set_modified(time));
    modified.context(|| format!("cannot set the time of {data:?}"))?;
    remove_tree(filled)
}
