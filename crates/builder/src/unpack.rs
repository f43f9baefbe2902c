//! ADD of an archive: it is unpacked in scratch, where nothing else is, and copied from there like any tree.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use dockerfile::Ignore;
use layer::Limits;
use stdx::{Context, Result};
use sys::root::Root;

use crate::source::Tree;

const BLOCK: usize = 512;

/// Whether a file is a tar, packed or not: its first header says so.
pub(crate) fn is_archive(file: File) -> bool {
    let mut block = [0; BLOCK];
    let read = layer::decompress(file, &Limits::default())
        .and_then(|mut reader| reader.read_exact(&mut block).context(|| "cannot read an archive".to_owned()));
    read.is_ok() && has_checksum(&block)
}

/// A tar header holds the sum of its bytes, with its own eight as spaces.
fn has_checksum(block: &[u8; BLOCK]) -> bool {
    let digits: String = block[148..156].iter().map(|b| *b as char).filter(|c| c.is_digit(8)).collect();
    let sum: u32 =
        block.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    u32::from_str_radix(&digits, 8) == Ok(sum) && block[0] != 0
}

/// Unpacks an archive into a new directory.
pub(crate) fn unpack(reader: impl Read + Send, scratch: &Path) -> Result<Tree> {
    let message = || format!("cannot make directory {scratch:?}");
    fs::create_dir(scratch).context(message)?;
    let root = File::open(scratch).context(message)?;
    let limits = Limits::default();
    layer::unpack(layer::decompress(reader, &limits)?, &root, &limits)?.settle(&[])?;
    Ok(Tree { root: Root::new(root.into()), ignore: Ignore::default(), keeps_owners: true })
}
