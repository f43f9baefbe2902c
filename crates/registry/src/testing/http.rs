//! As much of HTTP/1.1 as a client can be tested with.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::thread;

use super::Stream;
use super::fault::Fault;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, unescaped.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.path.split_once('?')?.1;
        field(query, name)
    }

    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        (method.is_empty() || self.method == method) && self.path.contains(path)
    }
}

/// A field of a form or a query, unescaped.
pub(super) fn field(form: &str, name: &str) -> Option<String> {
    form.split('&')
        .find_map(|pair| pair.split_once('=').filter(|(own, _)| *own == name))
        .map(|(_, value)| unescape(value))
}

/// Every value of a field that may come several times.
pub(super) fn fields(form: &str, name: &str) -> Vec<String> {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(own, _)| *own == name).map(|(_, value)| unescape(value)).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request whose body is still to be read.
pub(super) struct Request {
    pub(super) asked: Asked,
    pub(super) length: usize,
}

impl Request {
    /// The next request of a connection, if there is one.
    pub(super) fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        // A client that speaks TLS is not waited for.
        if stream.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            return Ok(None);
        }
        let Some(line) = line(stream)? else { return Ok(None) };
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let mut headers = Vec::new();
        while let Some(line) = line_of_head(stream)? {
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let asked = Asked { method, path, headers };
        let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Some(Self { asked, length }))
    }

    /// Its body, or as much of it as comes.
    pub(super) fn body(&self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        stream.take(self.length as u64).read_to_end(&mut body)?;
        Ok(body)
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}

fn line_of_head(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    Ok(line(stream)?.filter(|line| !line.is_empty()))
}

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<Vec<u8>>,
    /// Where in the body it begins.
    pub(super) from: usize,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Arc<Vec<u8>>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn text(self, text: impl Into<String>) -> Self {
        self.body(text.into().into_bytes())
    }

    /// Writes it, wrong in the way that is wanted. Whether the connection is still good.
    pub(super) fn write(self, stream: &mut impl Stream, is_head: bool, fault: Option<&Fault>) -> io::Result<bool> {
        match fault {
            Some(Fault::Drop) => return Ok(false),
            Some(Fault::Raw(bytes)) => {
                stream.write_all(bytes)?;
                return stream.flush().map(|()| false);
            }
            Some(Fault::SlowHead(pause)) => {
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                    thread::sleep(*pause);
                }
            }
            Some(Fault::EndlessHeaders) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    stream.write_all(b"X-More: and more and more and more\r\n")?;
                }
            }
            Some(Fault::EndlessBody) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
                loop {
                    stream.write_all(&[b' '; 4096])?;
                }
            }
            _ => {}
        }
        let answer = match fault {
            Some(Fault::Header(name, value)) => self.header(name, value),
            _ => self,
        };
        answer.head(stream)?;
        if is_head {
            stream.flush()?;
            return Ok(true);
        }
        answer.rest(stream, fault)
    }

    fn head(&self, stream: &mut impl Stream) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let has_length = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if self.status != 204 && !has_length {
            head += &format!("Content-Length: {}\r\n", self.body.len() - self.from);
        }
        head += "\r\n";
        stream.write_all(head.as_bytes())
    }

    fn rest(&self, stream: &mut impl Stream, fault: Option<&Fault>) -> io::Result<bool> {
        let body = &self.body[self.from..];
        let part = |count: usize| &body[..count.min(body.len())];
        match fault {
            Some(Fault::Cut(count)) => {
                stream.write_all(part(*count))?;
                stream.flush()?;
                return Ok(false);
            }
            Some(Fault::Stall(count)) => {
                stream.write_all(part(*count))?;
                stream.flush()?;
                // Until the client goes away or the server ends.
                let _ = io::copy(stream, &mut io::sink());
                return Ok(false);
            }
            Some(Fault::WrongByte) => {
                let mut wrong = body.to_vec();
                let middle = wrong.len() / 2;
                wrong[middle] ^= 1;
                stream.write_all(&wrong)?;
            }
            Some(Fault::Slow { piece, pause }) => {
                for piece in body.chunks(*piece) {
                    stream.write_all(piece)?;
                    stream.flush()?;
                    thread::sleep(*pause);
                }
            }
            _ => stream.write_all(body)?,
        }
        stream.flush().map(|()| true)
    }
}
