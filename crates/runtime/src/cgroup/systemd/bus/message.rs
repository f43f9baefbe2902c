//! Messages: building the calls and reading what comes back, in the machine's own byte order (D-Bus Specification,
//! "Marshaling").

use std::io::{Error, ErrorKind, Read, Result};

const ENDIANNESS: u8 = if cfg!(target_endian = "little") { b'l' } else { b'B' };
const DESTINATION: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";

/// No message that systemd sends here comes near.
const MAX_LEN: u32 = 1 << 20;

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cgroup::systemd) enum Value {
    Flag(bool),
    Text(String),
    Wide(u64),
    Bytes(Vec<u8>),
    Numbers(Vec<u32>),
}

/// The arguments of a call.
pub(super) struct Body {
    signature: &'static str,
    bytes: Vec<u8>,
}

impl Body {
    pub(super) fn new(signature: &'static str) -> Self {
        Self { signature, bytes: Vec::new() }
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        put_text(&mut self.bytes, text);
        self
    }

    pub(super) fn flag(&mut self, flag: bool) -> &mut Self {
        put_number(&mut self.bytes, u32::from(flag));
        self
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[(&str, Value)]) -> &mut Self {
        put_array(&mut self.bytes, 8, |bytes| {
            for (name, value) in properties {
                align(bytes, 8);
                put_text(bytes, name);
                put_value(bytes, value);
            }
        });
        self
    }

    /// An array of nothing, whose elements would be aligned like this.
    pub(super) fn empty_array(&mut self, alignment: usize) -> &mut Self {
        put_array(&mut self.bytes, alignment, |_| {});
        self
    }
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_number(bytes: &mut Vec<u8>, number: u32) {
    align(bytes, 4);
    bytes.extend(number.to_ne_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u32);
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn put_signature(bytes: &mut Vec<u8>, signature: &str) {
    bytes.push(signature.len() as u8);
    bytes.extend(signature.as_bytes());
    bytes.push(0);
}

/// The length stands before the elements and does not count what aligns the first one.
fn put_array(bytes: &mut Vec<u8>, alignment: usize, elements: impl FnOnce(&mut Vec<u8>)) {
    put_number(bytes, 0);
    let length_at = bytes.len() - 4;
    align(bytes, alignment);
    let start = bytes.len();
    elements(bytes);
    let length = (bytes.len() - start) as u32;
    bytes[length_at..length_at + 4].copy_from_slice(&length.to_ne_bytes());
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Flag(flag) => {
            put_signature(bytes, "b");
            put_number(bytes, u32::from(*flag));
        }
        Value::Text(text) => {
            put_signature(bytes, "s");
            put_text(bytes, text);
        }
        Value::Wide(number) => {
            put_signature(bytes, "t");
            align(bytes, 8);
            bytes.extend(number.to_ne_bytes());
        }
        Value::Bytes(list) => {
            put_signature(bytes, "ay");
            put_array(bytes, 1, |bytes| bytes.extend(list));
        }
        Value::Numbers(list) => {
            put_signature(bytes, "au");
            put_array(bytes, 4, |bytes| list.iter().for_each(|number| put_number(bytes, *number)));
        }
    }
}

const METHOD_CALL: u8 = 1;
const VERSION: u8 = 1;

/// A call of systemd's manager.
pub(super) fn call(serial: u32, member: &str, body: &Body) -> Vec<u8> {
    let mut bytes = vec![ENDIANNESS, METHOD_CALL, 0, VERSION];
    put_number(&mut bytes, body.bytes.len() as u32);
    put_number(&mut bytes, serial);
    let fields = [(1, "o", OBJECT), (2, "s", INTERFACE), (3, "s", member), (6, "s", DESTINATION)];
    put_array(&mut bytes, 8, |bytes| {
        for (code, signature, value) in fields {
            align(bytes, 8);
            bytes.push(code);
            put_signature(bytes, signature);
            put_text(bytes, value);
        }
        align(bytes, 8);
        bytes.push(8);
        put_signature(bytes, "g");
        put_signature(bytes, body.signature);
    });
    align(&mut bytes, 8);
    bytes.extend(&body.bytes);
    bytes
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Return,
    Error,
    Signal,
    Other,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The serial number of the call it answers.
    pub(super) reply_to: Option<u32>,
    /// Of the error or the signal.
    pub(super) name: String,
    signature: String,
    body: Vec<u8>,
}

impl Message {
    pub(super) fn read(from: &mut impl Read) -> Result<Self> {
        let mut fixed = [0; 16];
        from.read_exact(&mut fixed)?;
        let mut reader = Reader { bytes: &fixed[4..], base: 4 };
        let (body_len, _serial, fields_len) = (reader.number()?, reader.number()?, reader.number()?);
        if fixed[0] != ENDIANNESS || body_len > MAX_LEN || fields_len > MAX_LEN {
            return Err(malformed());
        }
        let mut fields = vec![0; (fields_len as usize).next_multiple_of(8)];
        from.read_exact(&mut fields)?;
        let mut body = vec![0; body_len as usize];
        from.read_exact(&mut body)?;
        let kind = match fixed[1] {
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => Kind::Other,
        };
        let mut message = Self { kind, reply_to: None, name: String::new(), signature: String::new(), body };
        message.read_fields(&fields[..fields_len as usize])?;
        Ok(message)
    }

    fn read_fields(&mut self, fields: &[u8]) -> Result<()> {
        let mut reader = Reader { bytes: fields, base: 0 };
        while !reader.bytes.is_empty() {
            reader.align(8)?;
            let code = reader.take(1)?[0];
            let signature = reader.signature()?;
            match (code, signature.as_str()) {
                (3 | 4, "s") => self.name = reader.text()?,
                (5, "u") => self.reply_to = Some(reader.number()?),
                (8, "g") => self.signature = reader.signature()?,
                (_, "s" | "o") => drop(reader.text()?),
                (_, "u") => drop(reader.number()?),
                _ => return Err(malformed()),
            }
        }
        Ok(())
    }

    /// The strings and paths among the arguments, up to the first that is neither these nor a number.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut reader = Reader { bytes: &self.body, base: 0 };
        let mut texts = Vec::new();
        for kind in self.signature.chars() {
            let read = match kind {
                's' | 'o' => reader.text().map(|text| texts.push(text)),
                'u' | 'i' => reader.number().map(drop),
                _ => break,
            };
            if read.is_err() {
                break;
            }
        }
        texts
    }
}

/// What is left of a message, and where in it that starts: alignment counts from the message's beginning.
struct Reader<'a> {
    bytes: &'a [u8],
    base: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(malformed)?;
        (self.bytes, self.base) = (rest, self.base + len);
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<()> {
        self.take(self.base.next_multiple_of(to) - self.base).map(drop)
    }

    fn number(&mut self) -> Result<u32> {
        self.align(4)?;
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| malformed())?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn text(&mut self) -> Result<String> {
        let len = self.number()? as usize;
        self.text_of(len)
    }

    fn signature(&mut self) -> Result<String> {
        let len = usize::from(self.take(1)?[0]);
        self.text_of(len)
    }

    fn text_of(&mut self, len: usize) -> Result<String> {
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        self.take(1)?;
        Ok(text)
    }
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "malformed message")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as systemd would send it, put together by the same rules from the other side.
    fn incoming(kind: u8, fields: &[(u8, &str, &str)], body: &Body) -> Vec<u8> {
        let mut bytes = vec![ENDIANNESS, kind, 0, VERSION];
        put_number(&mut bytes, body.bytes.len() as u32);
        put_number(&mut bytes, 7);
        put_array(&mut bytes, 8, |bytes| {
            for (code, signature, value) in fields {
                align(bytes, 8);
                bytes.push(*code);
                put_signature(bytes, signature);
                match *signature {
                    "u" => put_number(bytes, value.parse().unwrap()),
                    "g" => put_signature(bytes, value),
                    _ => put_text(bytes, value),
                }
            }
        });
        align(&mut bytes, 8);
        bytes.extend(&body.bytes);
        bytes
    }

    #[test]
    fn a_signal_is_read() {
        let mut body = Body::new("uoss");
        body.flag(true).text("/job/1").text("a.scope").text("done");
        let fields = [(1, "o", OBJECT), (2, "s", INTERFACE), (3, "s", "JobRemoved"), (8, "g", "uoss")];
        let bytes = incoming(4, &fields, &body);
        let message = Message::read(&mut &bytes[..]).unwrap();
        assert_eq!((message.kind, message.name.as_str(), message.reply_to), (Kind::Signal, "JobRemoved", None));
        assert_eq!(message.texts(), ["/job/1", "a.scope", "done"]);
    }

    #[test]
    fn an_error_is_read_and_rubbish_is_refused() {
        let mut body = Body::new("s");
        body.text("no such thing");
        let bytes = incoming(3, &[(4, "s", "x.NoSuch"), (5, "u", "3"), (8, "g", "s")], &body);
        let message = Message::read(&mut &bytes[..]).unwrap();
        assert_eq!((message.name.as_str(), message.reply_to), ("x.NoSuch", Some(3)));
        assert_eq!(message.texts(), ["no such thing"]);
        for len in 0..bytes.len() {
            assert!(Message::read(&mut &bytes[..len]).is_err(), "{len}");
        }
        let mut wrong = bytes;
        wrong[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(Message::read(&mut &wrong[..]).is_err());
    }

    #[test]
    fn a_call_is_aligned() {
        let mut body = Body::new("sa(sv)");
        body.text("u").properties(&[("Max", Value::Wide(5)), ("Set", Value::Bytes(vec![3]))]);
        let bytes = call(1, "Do", &body);
        let fields = u32::from_ne_bytes(bytes[12..16].try_into().unwrap()) as usize;
        assert_eq!(bytes.len(), (16 + fields).next_multiple_of(8) + body.bytes.len());
        // "u", then the array's length and its first element on a multiple of eight.
        assert_eq!(&body.bytes[..8], [1, 0, 0, 0, b'u', 0, 0, 0]);
        assert_eq!(&body.bytes[16..24], [3, 0, 0, 0, b'M', b'a', b'x', 0]);
        assert_eq!(&body.bytes[24..40], [1, b't', 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    }
}
