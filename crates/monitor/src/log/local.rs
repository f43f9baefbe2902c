//! The driver `local`: entries without words around them, and their bytes as they came.
//!
//! ```text
//! 4 bytes   length of what follows this and the next two fields, little endian
//! 8 bytes   nanoseconds since 1970, little endian
//! 1 byte    1: standard output, 2: standard error
//! …         the text
//! ```

use jiff::Timestamp;

use super::{MAX_LINE, Stream};

/// Bytes before the text.
pub const HEADER: usize = 13;

/// Adds an entry.
pub(super) fn encode(into: &mut Vec<u8>, stream: Stream, text: &[u8], now: Timestamp) {
    let nanos = i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX);
    into.extend((text.len() as u32).to_le_bytes());
    into.extend(nanos.to_le_bytes());
    into.push(stream as u8 + 1);
    into.extend_from_slice(text);
}

/// What stands before an entry's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub stream: Stream,
    pub time: Timestamp,
    /// Bytes of text.
    pub len: usize,
}

impl Header {
    /// Reads a header. `None`: it is none, and nothing can be told of what follows.
    pub fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let len = u32::from_le_bytes(bytes[..4].try_into().ok()?) as usize;
        let nanos = i64::from_le_bytes(bytes[4..12].try_into().ok()?);
        let stream = match bytes[12] {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => return None,
        };
        let time = Timestamp::from_nanosecond(nanos.into()).ok()?;
        (len <= MAX_LINE).then_some(Self { stream, time, len })
    }
}
