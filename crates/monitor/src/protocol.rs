//! What a monitor and its clients say to each other over `control.sock`: frames of one byte kind, three bytes zero, four
//! bytes length (big endian) and that many bytes. The two output kinds are those of Docker's attach stream.

use serde::{Deserialize, Serialize};
use stdx::{Context, Error, Result};

/// Longest payload. Streams are cut into pieces; everything else is short.
pub const MAX_PAYLOAD: usize = 64 << 10;
const HEADER: usize = 8;

/// From a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Send me these streams from now on; `stdin`: I will write.
    Attach { stdin: bool, stdout: bool, stderr: bool },
    /// Let the program run.
    Start,
    /// Bytes for the program's standard input.
    Stdin(Vec<u8>),
    /// The end of the program's standard input.
    StdinEnd,
    /// The client's terminal has this size.
    Resize { rows: u16, columns: u16 },
    /// Send this signal to the program.
    Signal(i32),
    /// I have seen the end and clean up myself.
    Bye,
    /// Whenever the program ends next, somebody wants it: it is not to be started again.
    EndWanted,
    /// Kill the program, and whatever it has started that is still in its process group.
    KillAll,
}

/// From the monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The container is made and waits for [`Request::Start`].
    Ready(Ready),
    /// The program runs.
    Started,
    /// The container could not be made or started.
    Failed(Failed),
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// The program has ended with this code; nothing follows.
    Exited(i32),
    /// A [`Request::Signal`] was delivered (0) or refused with this errno.
    Signalled(i32),
}

/// The content of [`Event::Ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub pid: i32,
    /// What was asked for and cannot be had here.
    pub warnings: Vec<String>,
}

/// The content of [`Event::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// 125, 126 or 127.
    pub exit_code: i32,
    pub message: String,
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend([kind, 0, 0, 0]);
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // These types have string keys and no maps: serialising them cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

impl Request {
    /// The frame of this request.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stdin(bytes) => frame(0, bytes),
            Self::Attach { stdin, stdout, stderr } => frame(16, &[(*stdin).into(), (*stdout).into(), (*stderr).into()]),
            Self::Start => frame(17, &[]),
            Self::StdinEnd => frame(18, &[]),
            Self::Resize { rows, columns } => frame(19, &[rows.to_be_bytes(), columns.to_be_bytes()].concat()),
            Self::Signal(number) => frame(20, &number.to_be_bytes()),
            Self::Bye => frame(21, &[]),
            Self::EndWanted => frame(22, &[]),
            Self::KillAll => frame(23, &[]),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        Some(match (kind, payload) {
            (0, bytes) => Self::Stdin(bytes.to_vec()),
            (16, &[stdin, stdout, stderr]) => {
                Self::Attach { stdin: stdin != 0, stdout: stdout != 0, stderr: stderr != 0 }
            }
            (17, []) => Self::Start,
            (18, []) => Self::StdinEnd,
            (19, &[a, b, c, d]) => {
                Self::Resize { rows: u16::from_be_bytes([a, b]), columns: u16::from_be_bytes([c, d]) }
            }
            (20, &[a, b, c, d]) => Self::Signal(i32::from_be_bytes([a, b, c, d])),
            (21, []) => Self::Bye,
            (22, []) => Self::EndWanted,
            (23, []) => Self::KillAll,
            _ => return None,
        })
    }
}

impl Event {
    /// The frame of this event.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stdout(bytes) => frame(1, bytes),
            Self::Stderr(bytes) => frame(2, bytes),
            Self::Ready(ready) => frame(32, &json(ready)),
            Self::Started => frame(33, &[]),
            Self::Failed(failed) => frame(34, &json(failed)),
            Self::Exited(code) => frame(35, &code.to_be_bytes()),
            Self::Signalled(errno) => frame(36, &errno.to_be_bytes()),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        Some(match (kind, payload) {
            (1, bytes) => Self::Stdout(bytes.to_vec()),
            (2, bytes) => Self::Stderr(bytes.to_vec()),
            (32, bytes) => Self::Ready(serde_json::from_slice(bytes).ok()?),
            (33, []) => Self::Started,
            (34, bytes) => Self::Failed(serde_json::from_slice(bytes).ok()?),
            (35, &[a, b, c, d]) => Self::Exited(i32::from_be_bytes([a, b, c, d])),
            (36, &[a, b, c, d]) => Self::Signalled(i32::from_be_bytes([a, b, c, d])),
            _ => return None,
        })
    }
}

/// Cuts a stream of bytes back into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > MAX_PAYLOAD {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole request.
    pub fn request(&mut self) -> Result<Option<Request>> {
        self.next(Request::decode)
    }

    /// The next whole event.
    pub fn event(&mut self) -> Result<Option<Event>> {
        self.next(Event::decode)
    }

    fn next<T>(&mut self, decode: impl Fn(u8, &[u8]) -> Option<T>) -> Result<Option<T>> {
        let rest = &self.buffer[self.start..];
        let Some((header, rest)) = rest.split_at_checked(HEADER) else { return Ok(None) };
        let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let bad = || Error::corrupt(format!("cannot understand frame of kind {} and {len} bytes", header[0]));
        if len > MAX_PAYLOAD {
            return Err(bad());
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let message = decode(header[0], payload).ok_or_else(bad).context(|| "control socket".into())?;
        self.start += HEADER + len;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cutting() {
        let events = [
            Event::Ready(Ready { pid: 7, warnings: vec!["w".into()] }),
            Event::Started,
            Event::Stdout(vec![0, 255]),
            Event::Exited(-1),
        ];
        let bytes: Vec<u8> = events.iter().flat_map(Event::encode).collect();
        for step in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(step) {
                decoder.push(chunk);
                while let Some(event) = decoder.event().unwrap() {
                    seen.push(event);
                }
            }
            assert_eq!(seen, events);
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [[99, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 255, 0, 0, 0], [17, 0, 0, 0, 0, 0, 0, 1]] {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            decoder.push(&[0]);
            assert!(decoder.request().is_err(), "{bytes:?}");
        }
    }
}
