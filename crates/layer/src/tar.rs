//! Reading tar archives: ustar, GNU and PAX, with the limits a stranger's archive needs.
//!
//! Everything a header says is bounded before it is believed: names and attributes by [`Limits::metadata`], numbers by
//! their fields. What follows the archive's end is read too, since it belongs to the layer's digest.

use std::io::{self, BufRead, BufReader, Read, Write};

use stdx::{Context, Error, Result};

use crate::sparse::{self, Sparse};
use crate::{Limits, pax};

const BLOCK: usize = 512;
const BUFFER: usize = 256 << 10;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry, long names and extended attributes already put in place. Paths are as the archive has them.
#[derive(Debug, Clone)]
pub struct Entry {
    pub path: Vec<u8>,
    pub kind: EntryKind,
    /// Permission bits, set-id and sticky included; nothing above 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Name and value, in the archive's order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of the file, holes included.
    pub size: u64,
    pub(crate) sparse: Option<Sparse>,
}

impl Entry {
    /// Nothing but its kind.
    pub(crate) fn of_kind(kind: EntryKind) -> Self {
        let (path, link, xattrs) = (Vec::new(), Vec::new(), Vec::new());
        let (mode, uid, gid, mtime, device, size) = (0, 0, 0, (0, 0), (0, 0), 0);
        Self { path, kind, mode, uid, gid, mtime, link, device, xattrs, size, sparse: None }
    }
}

/// A stream of entries.
pub struct TarReader<R> {
    input: Input<R>,
    limits: Limits,
    entries: u64,
    /// Data bytes of the current entry that were not read yet, and the padding after them.
    data: u64,
    padding: u64,
    ended: bool,
}

impl<R: Read> TarReader<BufReader<R>> {
    /// Starts at the first header.
    pub fn new(reader: R, limits: &Limits) -> Self {
        Self::buffered(BufReader::with_capacity(BUFFER, reader), limits)
    }
}

impl<R: BufRead> TarReader<R> {
    /// The same, of a reader that has a buffer of its own.
    pub(crate) fn buffered(reader: R, limits: &Limits) -> Self {
        let input = Input { reader, total: 0, limit: limits.bytes };
        Self { input, limits: *limits, entries: 0, data: 0, padding: 0, ended: false }
    }

    /// The next entry; data of the one before that was not read is skipped. `None` at the archive's end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extras = Extras::default();
        while let Some(header) = self.next_header()? {
            match header.kind() {
                b'x' => extras.records = self.metadata(&header)?,
                b'L' => extras.path = Some(until_nul(&self.metadata(&header)?).to_vec()),
                b'K' => extras.link = Some(until_nul(&self.metadata(&header)?).to_vec()),
                // A global header, a volume's name: nothing of a file, and Docker ignores them.
                b'g' | b'V' => {
                    self.metadata(&header)?;
                }
                _ => return self.entry(&header, &extras).map(Some),
            }
        }
        if extras.is_empty() {
            return Ok(None);
        }
        Err(Error::corrupt("tar archive ends after the extended header of an entry that is not there"))
    }

    /// Writes the current entry's data where `write_at` wants it: `(offset, bytes)` in ascending order, holes left out.
    pub(crate) fn copy_data(
        &mut self,
        entry: &Entry,
        mut write_at: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let whole = [(0, self.data)];
        let runs = entry.sparse.as_ref().map_or(&whole[..], |sparse| &sparse.runs);
        for (offset, length) in runs {
            let mut position = *offset;
            let end = offset + length;
            while position < end {
                let bytes = self.input.some(end - position)?;
                let length = bytes.len();
                write_at(position, bytes)?;
                self.input.consume(length);
                self.data -= length as u64;
                position += length as u64;
            }
        }
        Ok(())
    }

    /// Writes the current entry's data to `writer`, holes as zeros.
    pub fn write_data(&mut self, entry: &Entry, writer: &mut impl Write) -> Result<()> {
        let message = || format!("cannot write the data of {:?}", lossy(&entry.path));
        let mut written = 0;
        self.copy_data(entry, |offset, bytes| {
            io::copy(&mut io::repeat(0).take(offset - written), writer).context(message)?;
            written = offset + bytes.len() as u64;
            writer.write_all(bytes).context(message)
        })?;
        io::copy(&mut io::repeat(0).take(entry.size - written), writer).context(message).map(|_| ())
    }

    /// Reads to the end of the stream, whatever follows the archive's own end, and gives its length in bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.skip_entry()?;
        loop {
            let length = self.input.fill()?.len();
            if length == 0 {
                return Ok(self.input.total);
            }
            self.input.consume(length);
        }
    }

    fn skip_entry(&mut self) -> Result<()> {
        let rest = self.data + self.padding;
        (self.data, self.padding) = (0, 0);
        self.input.skip(rest)
    }

    fn next_header(&mut self) -> Result<Option<Header>> {
        self.skip_entry()?;
        if self.ended {
            return Ok(None);
        }
        let block = match self.input.block()? {
            Some(block) if block != [0; BLOCK] => block,
            // Two zero blocks end an archive; one alone before the end of the stream is accepted as well.
            first => {
                self.ended = true;
                let second = if first.is_some() { self.input.block()? } else { None };
                if second.is_some_and(|block| block != [0; BLOCK]) {
                    return Err(Error::corrupt("tar archive has an empty block between its entries"));
                }
                return Ok(None);
            }
        };
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::corrupt(format!("tar archive has more than {} entries", self.limits.entries)));
        }
        let header = Header(block);
        if !header.checksum_matches() {
            return Err(Error::corrupt("tar archive has a header with a wrong checksum"));
        }
        self.set_data(header.size()?);
        Ok(Some(header))
    }

    fn set_data(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// The data of a header that describes the next one.
    fn metadata(&mut self, header: &Header) -> Result<Vec<u8>> {
        if self.data > self.limits.metadata {
            let limit = self.limits.metadata;
            let name = lossy(until_nul(&header.0[..100])).into_owned();
            return Err(Error::corrupt(format!("tar archive has a header {name:?} of more than {limit} bytes")));
        }
        self.take_data(self.data as usize)
    }

    fn take_data(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.input.exact(&mut bytes)?;
        self.data -= length as u64;
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header, extras: &Extras) -> Result<Entry> {
        let mut raw = RawEntry::new(header, extras)?;
        let path = lossy(&raw.entry.path).into_owned();
        let malformed = |what: &str| Error::corrupt(format!("entry {path:?} has a malformed {what}"));
        let records = pax::records(&extras.records).ok_or_else(|| malformed("extended header"))?;
        for (key, value) in records {
            raw.set(key, value).ok_or_else(|| malformed(&lossy(key)))?;
        }
        let RawEntry { mut entry, stored, mut sparse_size, mut runs, version_1, .. } = raw;
        if entry.uid == u32::MAX || entry.gid == u32::MAX {
            return Err(malformed("owner or group"));
        }
        // Links, devices and directories have no data, whatever size they claim.
        let has_data = !matches!(header.kind(), b'1'..=b'6');
        self.set_data(stored.filter(|_| has_data).unwrap_or(0));
        if header.kind() == b'S' {
            sparse_size = number(&header.0[483..495]);
            runs = Some(self.gnu_runs(header)?.ok_or_else(|| malformed("sparse map"))?);
        } else if version_1 && has_data {
            runs = Some(self.sparse_lines()?.ok_or_else(|| malformed("sparse map"))?);
        }
        if entry.kind == EntryKind::File {
            entry.size = self.data;
            if let Some(runs) = runs {
                let sparse = sparse_size.and_then(|size| Sparse::new(runs, size, self.data));
                let sparse = sparse.ok_or_else(|| malformed("sparse map"))?;
                entry.size = sparse.size;
                entry.sparse = Some(sparse);
            }
        }
        Ok(entry)
    }

    /// The map of GNU's old format: four runs in the header, 21 in each extension block.
    fn gnu_runs(&mut self, header: &Header) -> Result<Option<Vec<(u64, u64)>>> {
        let mut numbers = Vec::new();
        let mut collect = |table: &[u8]| {
            for field in table.chunks_exact(12) {
                match (field[0], number(field)) {
                    (0, _) => {}
                    (_, Some(value)) => numbers.push(value),
                    (_, None) => return false,
                }
            }
            true
        };
        let mut valid = collect(&header.0[386..482]);
        let mut extended = header.0[482] != 0;
        let mut size = 0;
        while extended && valid {
            let block = self.input.block()?.ok_or_else(truncated)?;
            size += BLOCK as u64;
            valid = collect(&block[..504]) && size <= self.limits.metadata;
            extended = block[504] != 0;
        }
        Ok(if valid { sparse::pairs(&numbers) } else { None })
    }

    /// The map of PAX format 1.0 stands before the data, padded to whole blocks.
    fn sparse_lines(&mut self) -> Result<Option<Vec<(u64, u64)>>> {
        let mut text = Vec::new();
        while self.data >= BLOCK as u64 && (text.len() as u64) < self.limits.metadata {
            text.extend(self.take_data(BLOCK)?);
            if let Some(runs) = sparse::lines(&text) {
                return Ok(Some(runs));
            }
        }
        Ok(None)
    }
}

/// What headers before an entry's own say about it.
#[derive(Default)]
struct Extras {
    records: Vec<u8>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extras {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.path.is_none() && self.link.is_none()
    }
}

struct Header([u8; BLOCK]);

impl Header {
    fn kind(&self) -> u8 {
        self.0[156]
    }

    fn checksum_matches(&self) -> bool {
        let bytes = || self.0.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { b' ' } else { *b });
        let unsigned: u64 = bytes().map(u64::from).sum();
        let signed: i64 = bytes().map(|b| i64::from(b as i8)).sum();
        // Some old writers summed signed characters.
        number(&self.0[148..156]).is_some_and(|sum| sum == unsigned || i64::try_from(sum) == Ok(signed))
    }

    fn size(&self) -> Result<u64> {
        number(&self.0[124..136]).ok_or_else(|| Error::corrupt("tar archive has a header with a malformed size"))
    }

    /// The name, with the directory part that POSIX keeps apart. GNU uses that field for other things.
    fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = until_nul(&self.0[345..500]);
        if prefix.is_empty() || &self.0[257..263] != b"ustar\0" {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }
}

/// An entry under construction.
struct RawEntry {
    entry: Entry,
    /// Bytes of data in the archive.
    stored: Option<u64>,
    sparse_size: Option<u64>,
    runs: Option<Vec<(u64, u64)>>,
    /// The map stands before the data.
    version_1: bool,
    /// The offset of format 0.0's next run.
    offset: u64,
}

impl RawEntry {
    fn new(header: &Header, extras: &Extras) -> Result<Self> {
        let path = extras.path.clone().unwrap_or_else(|| header.path());
        let link = extras.link.clone().unwrap_or_else(|| until_nul(&header.0[157..257]).to_vec());
        let name = lossy(&path).into_owned();
        let field = |what: &str, range: std::ops::Range<usize>| {
            number(&header.0[range]).ok_or_else(|| Error::corrupt(format!("entry {name:?} has a malformed {what}")))
        };
        let kind = match header.kind() {
            // Before POSIX a directory was a file whose name ends in a slash.
            b'0' | 0 if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                let kind = char::from(other);
                return Err(Error::corrupt(format!("entry {name:?} has the unknown type {kind:?}")));
            }
        };
        let device = match kind {
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                let part = |range| field("device number", range).map(|number| u32::try_from(number).ok());
                let (major, minor) = (part(329..337)?, part(337..345)?);
                major
                    .zip(minor)
                    .ok_or_else(|| Error::corrupt(format!("entry {name:?} has a malformed device number")))?
            }
            _ => (0, 0),
        };
        // An owner that does not fit is told apart after PAX had its say, as `u32::MAX`.
        let id = |range: std::ops::Range<usize>| {
            number(&header.0[range]).and_then(|id| u32::try_from(id).ok()).unwrap_or(u32::MAX)
        };
        let entry = Entry {
            kind,
            mode: (field("mode", 100..108)? & 0o7777) as u32,
            uid: id(108..116),
            gid: id(116..124),
            mtime: (signed_number(&header.0[136..148]).unwrap_or(0), 0),
            link,
            device,
            xattrs: Vec::new(),
            size: 0,
            sparse: None,
            path,
        };
        let stored = number(&header.0[124..136]);
        Ok(Self { entry, stored, sparse_size: None, runs: None, version_1: false, offset: 0 })
    }

    /// Applies one PAX record. An empty value means that the header's own holds.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.entry.xattrs.push((name.to_vec(), value.to_vec()));
            return Some(());
        }
        if value.is_empty() {
            return Some(());
        }
        let id = || pax::decimal(value).and_then(|id| u32::try_from(id).ok());
        match key {
            b"path" | b"GNU.sparse.name" => self.entry.path = value.to_vec(),
            b"linkpath" => self.entry.link = value.to_vec(),
            b"size" => self.stored = Some(pax::decimal(value)?),
            b"uid" => self.entry.uid = id()?,
            b"gid" => self.entry.gid = id()?,
            b"mtime" => self.entry.mtime = pax::timestamp(value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse_size = Some(pax::decimal(value)?);
                self.runs.get_or_insert_default();
            }
            b"GNU.sparse.map" => self.runs = Some(sparse::comma_separated(value)?),
            b"GNU.sparse.offset" => self.offset = pax::decimal(value)?,
            b"GNU.sparse.numbytes" => self.runs.get_or_insert_default().push((self.offset, pax::decimal(value)?)),
            b"GNU.sparse.major" => self.version_1 = value == b"1",
            _ => {}
        }
        Some(())
    }
}

/// Octal digits between blanks and NULs, or GNU's big-endian binary form.
fn number(field: &[u8]) -> Option<u64> {
    signed_number(field).and_then(|number| u64::try_from(number).ok())
}

fn signed_number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        // Bit 6 of the first byte is the sign; all bytes above the lowest eight only repeat it.
        let negative = field[0] & 0x40 != 0;
        let first = if negative { field[0] } else { field[0] & 0x7f };
        let start = if negative { -1i128 } else { 0 };
        let bytes = std::iter::once(first).chain(field[1..].iter().copied());
        let value = bytes.fold(start, |sum, byte| (sum << 8) | i128::from(byte));
        return i64::try_from(value).ok();
    }
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let digits = &digits[..digits.iter().position(blank).unwrap_or(digits.len())];
    digits.iter().try_fold(0i64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// For messages.
pub(crate) fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn truncated() -> Error {
    Error::corrupt("tar archive ends in the middle of an entry")
}

/// A stream that counts what is used of it.
struct Input<R> {
    reader: R,
    total: u64,
    limit: u64,
}

impl<R: BufRead> Input<R> {
    /// What is buffered, after reading more if that is nothing; empty at the end of the stream.
    fn fill(&mut self) -> Result<&[u8]> {
        if self.total > self.limit {
            return Err(Error::corrupt(format!("tar archive has more than {} bytes", self.limit)));
        }
        self.reader.fill_buf().context(|| "cannot read tar archive".to_owned())
    }

    fn consume(&mut self, length: usize) {
        self.reader.consume(length);
        self.total += length as u64;
    }

    /// At least one and at most `max` bytes, which must be there; not consumed.
    fn some(&mut self, max: u64) -> Result<&[u8]> {
        let bytes = self.fill()?;
        if bytes.is_empty() {
            return Err(truncated());
        }
        Ok(&bytes[..bytes.len().min(usize::try_from(max).unwrap_or(usize::MAX))])
    }

    fn skip(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            let skipped = self.some(length)?.len();
            self.consume(skipped);
            length -= skipped as u64;
        }
        Ok(())
    }

    fn exact(&mut self, mut target: &mut [u8]) -> Result<()> {
        while !target.is_empty() {
            let bytes = self.some(target.len() as u64)?;
            let length = bytes.len();
            target[..length].copy_from_slice(bytes);
            self.consume(length);
            target = &mut target[length..];
        }
        Ok(())
    }

    /// A whole block, or `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        if self.fill()?.is_empty() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        Ok(Some(block))
    }
}
