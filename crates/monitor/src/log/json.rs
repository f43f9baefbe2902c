//! Docker's `json-file`: one object a line. Bytes that are no UTF-8 become U+FFFD, as there.

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Timestamp;
use serde::Deserialize;

use super::Stream;

/// A line that has been read.
#[derive(Debug, Deserialize)]
pub struct Line {
    pub log: String,
    pub stream: String,
    pub time: String,
}

/// What follows the stream in each entry: nothing, or the field `attrs`.
pub(super) fn attributes(attributes: &BTreeMap<String, String>) -> String {
    if attributes.is_empty() {
        return String::new();
    }
    format!(",\"attrs\":{}", serde_json::to_string(attributes).unwrap_or_else(|_| "{}".into()))
}

pub(super) fn encode(line: &mut Vec<u8>, stream: Stream, text: &[u8], now: Timestamp, attributes: &str) {
    line.extend_from_slice(b"{\"log\":\"");
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' => line.extend_from_slice(b"\\\""),
                b'\\' => line.extend_from_slice(b"\\\\"),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\t' => line.extend_from_slice(b"\\t"),
                0..0x20 | 0x7f => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => line.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            line.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    let _ = writeln!(line, "\",\"stream\":\"{}\"{attributes},\"time\":\"{now:.9}\"}}", stream.name());
}
