//! Owner, mode, times and extended attributes, put on files in the one order that keeps them all: the owner first,
//! since changing it clears set-id bits and capabilities; the times last, since everything else changes them.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod,
    fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, openat, setxattr, utimensat,
};
use rustix::io::{self, Errno};
use stdx::{Context, Error, Result};

use crate::tar::Entry;

/// Marks a directory that hides what the layers below have in its place.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Metadata {
    /// What a directory gets that no layer says anything about: the same on every machine.
    pub(crate) fn of_implied_directory() -> Self {
        Self { mode: 0o755, ..Self::default() }
    }

    pub(crate) fn of_entry(entry: &Entry) -> Self {
        let Entry { mode, uid, gid, mtime, .. } = *entry;
        Self { mode, uid, gid, mtime, xattrs: entry.xattrs.clone() }
    }

    #[expect(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    pub(crate) fn of_stat(stat: &Stat) -> Self {
        let mtime = (stat.st_mtime as i64, stat.st_mtime_nsec as u32);
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        Self { mode: stat.st_mode & 0o7777, uid, gid, mtime, xattrs: Vec::new() }
    }

    /// Adds the attributes of an open file, those of the overlay left out.
    pub(crate) fn with_xattrs_of(mut self, fd: impl AsFd) -> io::Result<Self> {
        let mut names = vec![0; 64 << 10];
        let length = match flistxattr(&fd, &mut names[..]) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(errno),
        };
        for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty() && !is_overlays(name)) {
            let mut value = vec![0; 64 << 10];
            let length = fgetxattr(&fd, name, &mut value[..])?;
            value.truncate(length);
            self.xattrs.push((name.to_vec(), value));
        }
        Ok(self)
    }

    fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }

    fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.mtime.0, tv_nsec: self.mtime.1.into() };
        Timestamps { last_access: time, last_modification: time }
    }

    /// The mode to make a file with, so that mostly nothing is left to set: no set-id bits, which a write would clear.
    pub(crate) fn first_mode(&self) -> Mode {
        Mode::from_raw_mode(self.mode & 0o777)
    }

    /// Puts everything on an open file or directory; `path` is for messages. The number of attributes left out.
    pub(crate) fn put(&self, fd: impl AsFd, path: &str) -> Result<u64> {
        let (uid, gid) = self.owner();
        let now = fstat(&fd).context(|| format!("cannot look at {path:?}"))?;
        if !self.is_owner(&now) {
            needs_root(fchown(&fd, uid, gid), || format!("cannot give {path:?} to {}:{}", self.uid, self.gid))?;
        }
        let set = |name: &[u8], value: &[u8]| fsetxattr(&fd, name, value, XattrFlags::empty());
        let dropped = self.put_xattrs(path, true, set)?;
        if !self.has_mode(&now) {
            fchmod(&fd, Mode::from_raw_mode(self.mode)).context(|| format!("cannot set the mode of {path:?}"))?;
        }
        futimens(&fd, &self.times()).context(|| format!("cannot set the times of {path:?}"))?;
        Ok(dropped)
    }

    /// The same for what cannot be opened: links, devices, fifos. Who changes the tree meanwhile cannot lead this elsewhere.
    pub(crate) fn put_at(&self, dir: impl AsFd, name: &[u8], path: &str) -> Result<u64> {
        let message = || format!("cannot look at {path:?}");
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(&dir, name, flags, Mode::empty()).context(message)?;
        let (uid, gid) = self.owner();
        let now = fstat(&handle).context(message)?;
        if !self.is_owner(&now) {
            needs_root(chownat(&handle, "", uid, gid, AtFlags::EMPTY_PATH), || {
                format!("cannot give {path:?} to {}:{}", self.uid, self.gid)
            })?;
        }
        // The way to exactly what is held, a link included.
        let held = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let set = |name: &[u8], value: &[u8]| setxattr(&held, name, value, XattrFlags::empty());
        let dropped = self.put_xattrs(path, false, set)?;
        if FileType::from_raw_mode(now.st_mode) != FileType::Symlink && !self.has_mode(&now) {
            chmodat(CWD, &held, Mode::from_raw_mode(self.mode), AtFlags::empty())
                .context(|| format!("cannot set the mode of {path:?}"))?;
        }
        utimensat(&handle, "", &self.times(), AtFlags::EMPTY_PATH)
            .context(|| format!("cannot set the times of {path:?}"))?;
        Ok(dropped)
    }

    /// Asking is much cheaper than changing, which the file system writes down.
    fn is_owner(&self, now: &Stat) -> bool {
        (now.st_uid, now.st_gid) == (self.uid, self.gid)
    }

    /// True only if nothing done meanwhile can have changed it: a new owner takes set-id bits, an ACL the group's.
    fn has_mode(&self, now: &Stat) -> bool {
        now.st_mode & 0o7777 == self.mode && self.mode & 0o6000 == 0 && self.xattrs.is_empty()
    }

    /// Attributes the file system cannot hold are left out, as Docker does; capabilities are not, since a program
    /// without its own may fail or, worse, run on.
    fn put_xattrs(&self, path: &str, openable: bool, set: impl Fn(&[u8], &[u8]) -> io::Result<()>) -> Result<u64> {
        let mut dropped = 0;
        for (name, value) in self.xattrs.iter().filter(|(name, _)| !is_overlays(name)) {
            match set(name, value) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP) if name != b"security.capability" => dropped += 1,
                // The kernel has no user attributes on links and devices.
                Err(Errno::PERM) if !openable && name.starts_with(b"user.") => dropped += 1,
                Err(errno) => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    needs_root(Err(errno), || format!("cannot set attribute {name:?} of {path:?}"))?;
                }
            }
        }
        Ok(dropped)
    }
}

/// The overlay's own marks: an archive that could set them would hide or redirect what other layers have.
fn is_overlays(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Says what to do about a refusal.
pub(crate) fn needs_root<T>(result: io::Result<T>, message: impl FnOnce() -> String) -> Result<T> {
    let hint = |error: Error| error.hint("unpacking layers needs root");
    match result {
        Err(errno @ (Errno::PERM | Errno::ACCESS)) => Err(errno).context(message).map_err(hint),
        result => result.context(message),
    }
}

pub(crate) fn set_opaque(dir: impl AsFd, path: &str) -> Result<()> {
    needs_root(fsetxattr(dir, OPAQUE, b"y", XattrFlags::empty()), || format!("cannot make {path:?} opaque"))
}

pub(crate) fn is_opaque(dir: impl AsFd) -> bool {
    let mut value = [0; 1];
    matches!(fgetxattr(dir, OPAQUE, &mut value[..]), Ok(1)) && value == *b"y"
}
