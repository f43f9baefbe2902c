//! systemd's journal, in its own protocol: a datagram an entry, a field a line.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::Stream;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// Docker's priorities of the two streams.
const INFO: &str = "6";
const ERROR: &str = "3";

/// A connection to the journal.
#[derive(Debug)]
pub(super) struct Journald {
    socket: UnixDatagram,
    /// The fields every entry has.
    fields: Vec<u8>,
}

impl Journald {
    pub(super) fn open(path: impl AsRef<Path>, fields: &BTreeMap<String, String>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        let mut bytes = Vec::new();
        fields.iter().for_each(|(name, value)| field(&mut bytes, name, value.as_bytes()));
        Ok(Self { socket, fields: bytes })
    }

    pub(super) fn send(&mut self, stream: Stream, text: &[u8]) -> io::Result<()> {
        let whole = text.strip_suffix(b"\n");
        let mut datagram = self.fields.clone();
        field(&mut datagram, "PRIORITY", if stream == Stream::Stderr { ERROR } else { INFO }.as_bytes());
        if whole.is_none() {
            field(&mut datagram, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        field(&mut datagram, "MESSAGE", whole.unwrap_or(text));
        self.socket.send(&datagram).map(drop)
    }
}

/// A value with a newline in it is preceded by its length instead of by `=`.
fn field(datagram: &mut Vec<u8>, name: &str, value: &[u8]) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        datagram.push(b'\n');
        datagram.extend((value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value);
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_datagrams_of_fields() {
        let path = std::env::temp_dir().join(format!("tare-journald-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let journal = UnixDatagram::bind(&path).unwrap();
        let fields = BTreeMap::from([("CONTAINER_NAME".to_owned(), "box".to_owned())]);
        let mut log = Journald::open(&path, &fields).unwrap();
        let mut sent = |stream, text: &[u8]| {
            log.send(stream, text).unwrap();
            let mut buffer = [0; 1024];
            let len = journal.recv(&mut buffer).unwrap();
            buffer[..len].to_vec()
        };
        assert_eq!(sent(Stream::Stdout, b"hello\n"), b"CONTAINER_NAME=box\nPRIORITY=6\nMESSAGE=hello\n");
        let partial = b"CONTAINER_NAME=box\nPRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\nMESSAGE=a piece\n";
        assert_eq!(sent(Stream::Stderr, b"a piece"), partial);
        let lines = b"CONTAINER_NAME=box\nPRIORITY=6\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n";
        assert_eq!(sent(Stream::Stdout, b"a\nb\n"), lines);
        std::fs::remove_file(&path).unwrap();
    }
}
