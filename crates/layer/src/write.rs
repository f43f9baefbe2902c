//! Writing tar archives: ustar, with a PAX header before an entry only if ustar cannot say it, so that the same entries
//! always give the same bytes.
//!
//! Nothing of this machine is in them: no names of users, no times of access, no process number in a PAX header's name.

use std::io::Write;

use oci::DiffId;
use stdx::{Context, Error, Result};

use crate::hasher::Hasher;
use crate::tar::{Entry, EntryKind, lossy};

const BLOCK: usize = 512;
const BUFFER: usize = 256 << 10;

/// An archive in progress, hashed as it is written.
pub(crate) struct TarWriter<W> {
    writer: W,
    hasher: Hasher,
    buffer: Vec<u8>,
    filled: usize,
    /// Bytes that left the buffer.
    written: u64,
    entries: u64,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer, hasher: Hasher::Unstarted, buffer: vec![0; BUFFER], filled: 0, written: 0, entries: 0 }
    }

    /// Entries so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Writes what comes before an entry's data. A file's data must follow, [`Entry::size`] bytes of it, then
    /// [`pad`](Self::pad).
    pub(crate) fn header(&mut self, entry: &Entry) -> Result<()> {
        let (header, records) = header(entry)?;
        if !records.is_empty() {
            let size = records.len() as u64;
            self.put(&pax_header(&entry.path, size))?;
            self.put(&records)?;
            self.pad(size)?;
        }
        self.entries += 1;
        self.put(&header)
    }

    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let length = space.len().min(bytes.len());
            space[..length].copy_from_slice(&bytes[..length]);
            self.advance(length);
            bytes = &bytes[length..];
        }
        Ok(())
    }

    pub(crate) fn zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let space = self.space()?;
            let length = space.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            space[..length].fill(0);
            self.advance(length);
            count -= length as u64;
        }
        Ok(())
    }

    /// Fills the last block of `size` bytes of data.
    pub(crate) fn pad(&mut self, size: u64) -> Result<()> {
        self.zeros(size.wrapping_neg() % BLOCK as u64)
    }

    /// Where the next bytes belong, never empty: data is read from a file into the place it is written from.
    pub(crate) fn space(&mut self) -> Result<&mut [u8]> {
        if self.filled == self.buffer.len() {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    /// Declares the first bytes of [`space`](Self::space) written.
    pub(crate) fn advance(&mut self, length: usize) {
        self.filled += length;
    }

    /// Writes out the full buffer.
    fn flush(&mut self) -> Result<()> {
        let full = std::mem::take(&mut self.buffer);
        self.written += full.len() as u64;
        self.filled = 0;
        let write = |bytes: &[u8]| self.writer.write_all(bytes).context(unwritten);
        self.buffer = self.hasher.hash(full, write)?;
        Ok(())
    }

    /// Writes the end of the archive: its digest and its size in bytes.
    pub(crate) fn finish(mut self) -> Result<(DiffId, u64)> {
        self.zeros(2 * BLOCK as u64)?;
        self.buffer.truncate(self.filled);
        self.writer.write_all(&self.buffer).context(unwritten)?;
        self.writer.flush().context(unwritten)?;
        let size = self.written + self.filled as u64;
        Ok((DiffId::new(self.hasher.finish(self.buffer)?), size))
    }
}

fn unwritten() -> String {
    "cannot write tar archive".to_owned()
}

/// The header of an entry, and the PAX records that must precede it.
fn header(entry: &Entry) -> Result<([u8; BLOCK], Vec<u8>)> {
    let mut records = Records::default();
    let mut header = [0; BLOCK];
    put_path(&mut header, &mut records, &entry.path);
    if !put_text(&mut header[157..257], &entry.link) {
        records.text("linkpath", &entry.link);
    }
    let mut field = |range: std::ops::Range<usize>, key: &str, value: u64| {
        if !put_octal(&mut header[range], value) {
            records.add(key.as_bytes(), value.to_string().as_bytes());
        }
    };
    field(100..108, "mode", entry.mode.into());
    field(108..116, "uid", entry.uid.into());
    field(116..124, "gid", entry.gid.into());
    field(124..136, "size", if entry.kind == EntryKind::File { entry.size } else { 0 });
    if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        field(329..337, "SCHILY.devmajor", entry.device.0.into());
        field(337..345, "SCHILY.devminor", entry.device.1.into());
    }
    put_time(&mut header, &mut records, entry.mtime);
    header[156] = kind_byte(entry.kind);
    header[257..265].copy_from_slice(b"ustar\x0000");
    put_sum(&mut header);
    for (name, value) in &entry.xattrs {
        // The key of a record ends at its first equals sign, and nothing can be said against that.
        if name.contains(&b'=') {
            let (name, path) = (lossy(name), lossy(&entry.path));
            return Err(Error::unsupported(format!("an archive cannot hold attribute {name:?} of {path:?}")));
        }
        records.add(&[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    Ok((header, records.finish()))
}

fn kind_byte(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => b'0',
        EntryKind::HardLink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    }
}

/// The header that says: records follow. Its name is for readers that know nothing of PAX.
fn pax_header(path: &[u8], size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let name = &path[path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1)..];
    let name = [b"PaxHeaders/", &name[..name.len().min(80)]].concat();
    header[..name.len()].copy_from_slice(&name);
    put_octal(&mut header[100..108], 0o644);
    put_octal(&mut header[108..116], 0);
    put_octal(&mut header[116..124], 0);
    put_octal(&mut header[124..136], size);
    put_octal(&mut header[136..148], 0);
    header[156] = b'x';
    header[257..265].copy_from_slice(b"ustar\x0000");
    put_sum(&mut header);
    header
}

/// Whole in the name field, or divided at a slash, or in a record.
fn put_path(header: &mut [u8; BLOCK], records: &mut Records, path: &[u8]) {
    if path.len() <= 100 {
        header[..path.len()].copy_from_slice(path);
        return;
    }
    let divided = path.iter().enumerate().filter(|(at, b)| **b == b'/' && (1..=155).contains(at));
    let divided = divided.map(|(at, _)| (&path[..at], &path[at + 1..]));
    if let Some((prefix, name)) = divided.into_iter().find(|(_, name)| (1..=100).contains(&name.len())) {
        header[345..345 + prefix.len()].copy_from_slice(prefix);
        header[..name.len()].copy_from_slice(name);
        return;
    }
    records.text("path", path);
    // Without a slash at its end, which would make a directory of it.
    let cut = &path[..100];
    let cut = &cut[..cut.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1)];
    header[..cut.len()].copy_from_slice(cut);
}

/// False, and a part of it written, if it does not fit.
fn put_text(field: &mut [u8], text: &[u8]) -> bool {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    length == text.len()
}

/// False, and zero written, if it does not fit.
fn put_octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    let fits = value >> (3 * digits) == 0;
    let mut rest = if fits { value } else { 0 };
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    fits
}

/// A record is needed for fractions, before 1970 and after 2242.
fn put_time(header: &mut [u8; BLOCK], records: &mut Records, (seconds, nanoseconds): (i64, u32)) {
    let whole = u64::try_from(seconds).is_ok_and(|seconds| put_octal(&mut header[136..148], seconds));
    if !whole {
        put_octal(&mut header[136..148], 0);
    }
    if whole && nanoseconds == 0 {
        return;
    }
    // The fraction counts upward from the seconds; as text both have one sign.
    let (sign, seconds, nanoseconds) = match (seconds < 0, nanoseconds) {
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, _) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        (false, _) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    records.add(b"mtime", text.trim_end_matches('0').trim_end_matches('.').as_bytes());
}

fn put_sum(header: &mut [u8; BLOCK]) {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
    put_octal(&mut header[148..155], sum);
    header[154..156].copy_from_slice(b"\0 ");
}

/// PAX records, `LENGTH KEY=VALUE\n` each (see [`crate::pax`]).
#[derive(Default)]
struct Records {
    data: Vec<u8>,
    binary: bool,
}

impl Records {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + digits(length) != length {
            length = rest + digits(length);
        }
        self.data.extend(length.to_string().bytes());
        self.data.extend([b" ", key, b"=", value, b"\n"].concat());
    }

    /// A name, in UTF-8 as the format wants it or, said in front, in whatever bytes it has.
    fn text(&mut self, key: &str, value: &[u8]) {
        self.binary |= std::str::from_utf8(value).is_err();
        self.add(key.as_bytes(), value);
    }

    fn finish(self) -> Vec<u8> {
        if !self.binary {
            return self.data;
        }
        let mut all = Self::default();
        all.add(b"hdrcharset", b"BINARY");
        all.data.extend(self.data);
        all.data
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, TarReader};

    fn entry(path: &[u8]) -> Entry {
        Entry { path: path.to_vec(), mode: 0o644, ..Entry::of_kind(EntryKind::File) }
    }

    /// What a reader makes of it.
    fn written(entry: &Entry) -> (Entry, usize) {
        let mut archive = Vec::new();
        let mut writer = TarWriter::new(&mut archive);
        writer.header(entry).unwrap();
        writer.finish().unwrap();
        let read = TarReader::new(&archive[..], &Limits::default()).next_entry().unwrap().unwrap();
        (read, archive.len() / BLOCK - 3)
    }

    #[test]
    fn numbers_and_times_beyond_ustar_are_records() {
        for (mtime, blocks) in [
            ((0, 0), 0),
            ((1_700_000_000, 0), 0),
            ((1_700_000_000, 1), 2),
            ((1_700_000_000, 120_000_000), 2),
            ((0o77_777_777_777, 0), 0),
            ((0o100_000_000_000, 0), 2),
            ((-1, 0), 2),
            ((-1, 5), 2),
            ((-7, 999_999_999), 2),
            ((-1_000_000_000_000, 1), 2),
        ] {
            let (read, extra) = written(&Entry { mtime, ..entry(b"x") });
            assert_eq!((read.mtime, extra), (mtime, blocks));
        }
        for (id, blocks) in [(0o7_777_777, 0), (0o10_000_000, 2), (u32::MAX - 1, 2)] {
            let (read, extra) = written(&Entry { uid: id, gid: id, ..entry(b"x") });
            assert_eq!((read.uid, read.gid, extra), (id, id, blocks));
        }
        let device = (4095, 1_048_575);
        let (read, extra) = written(&Entry { device, ..Entry::of_kind(EntryKind::BlockDevice) });
        assert_eq!((read.device, extra), (device, 0));
        let mut archive = Vec::new();
        let mut writer = TarWriter::new(&mut archive);
        writer.header(&Entry { size: 1 << 33, ..entry(b"x") }).unwrap();
        writer.finish().unwrap();
        let read = TarReader::new(&archive[..], &Limits::default()).next_entry().unwrap().unwrap();
        assert_eq!((read.size, archive.len()), (1 << 33, 5 * BLOCK));
    }

    #[test]
    fn names_of_any_length_and_bytes_come_back() {
        for length in [1, 99, 100, 101, 102, 155, 156, 157, 200, 254, 255, 256, 257, 300, 4095] {
            for slashes in [3, 50, 98, 99, 100, 101, 154, 155, 156, 1000] {
                for fill in [b'a', 0xff] {
                    let mut path = vec![fill; length];
                    path.iter_mut().skip(slashes).step_by(slashes + 1).for_each(|b| *b = b'/');
                    path[length - 1] = fill;
                    let (read, _) = written(&Entry { link: path.clone(), ..entry(&path) });
                    assert_eq!((read.kind, read.path, read.link), (EntryKind::File, path.clone(), path), "{length}");
                    let dir = vec![fill; length].into_iter().chain([b'/']).collect();
                    let (read, _) = written(&Entry { path: dir, ..Entry::of_kind(EntryKind::Directory) });
                    assert_eq!((read.kind, read.path.len()), (EntryKind::Directory, length + 1));
                }
            }
        }
        assert_eq!(written(&entry("naïve".as_bytes())).1, 0);
        let prefixed = [&[b'd'; 155][..], b"/", &[b'f'; 100]].concat();
        assert_eq!(written(&entry(&prefixed)).1, 0);
    }

    #[test]
    fn attributes_come_back_and_the_impossible_is_refused() {
        let xattrs: Vec<(Vec<u8>, Vec<u8>)> =
            (0..200).map(|n| (format!("user.{n}").into_bytes(), vec![b'\n'; n])).collect();
        let (read, _) = written(&Entry { xattrs: xattrs.clone(), ..entry(b"x") });
        assert_eq!(read.xattrs, xattrs);
        let bad = Entry { xattrs: vec![(b"user.a=b".to_vec(), Vec::new())], ..entry(b"x") };
        let error = TarWriter::new(Vec::new()).header(&bad).unwrap_err();
        assert_eq!(error.to_string(), "an archive cannot hold attribute \"user.a=b\" of \"x\"");
    }
}
