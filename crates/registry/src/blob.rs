//! Blobs: read as a stream that survives broken connections (distribution-spec: "Pulling blobs").

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;

use oci::{BlobDigest, Descriptor, Digest};
use stdx::{Error, Kind, Result};
use ureq::http::Method;

use crate::ask::{self, ask};
use crate::error::{Again, Deed, Failure};
use crate::repository::Repository;
use crate::retry::Retry;
use crate::session::{Endpoint, Question, Target};
use crate::transport::{Patience, Response, describe_io};

/// So much progress, and a connection that breaks again is another misfortune, not the same.
const PROGRESS: u64 = 1 << 20;
/// What is skipped at a time where a host cannot begin in the middle.
const SKIP: usize = 64 << 10;

impl Repository {
    /// Opens a blob at an offset. Only its size is checked here: whoever stores it computes its digest anyway.
    pub fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<BlobReader> {
        if offset > descriptor.size {
            let message =
                format!("blob {} has {} bytes, there is no byte {offset}", descriptor.digest, descriptor.size);
            return Err(Error::invalid(message));
        }
        let (endpoint, body) =
            self.read(|endpoint| Ok((endpoint.clone(), self.open(endpoint, descriptor, offset)?)))?;
        Ok(BlobReader {
            repository: self.clone(),
            descriptor: descriptor.clone(),
            endpoint,
            body: Some(body),
            position: offset,
            retry: Retry::new(&self.context.config),
            calm_at: offset + PROGRESS,
            resumed_at: Vec::new(),
        })
    }

    /// A small blob whole, compared with its digest. One larger than `limit` bytes is refused.
    pub fn blob_bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let Descriptor { digest, size, .. } = descriptor;
        if *size > limit {
            return Err(Error::corrupt(format!("blob {digest} has {size} bytes, more than {limit}")));
        }
        let mut bytes = Vec::new();
        self.blob(descriptor, 0)?.read_to_end(&mut bytes).map_err(into_error)?;
        let actual = BlobDigest::new(Digest::of(&bytes));
        if actual != *digest {
            return Err(Error::corrupt(format!(
                "blob {digest} of \"{}\" has digest {actual}",
                self.name.familiar_name()
            )));
        }
        Ok(bytes)
    }

    /// Whether the repository has a blob.
    pub fn has_blob(&self, digest: BlobDigest) -> Result<bool> {
        self.read(|endpoint| {
            let mut question = Question::new(Method::HEAD, self.blob_target(digest), &self.scope);
            let deed = Deed::new("look for", self.blob_noun(digest));
            let response = ask(&self.context, endpoint, &deed, &mut question, &[200, 404])?;
            match response.status {
                404 if endpoint.host.is_mirror => Err(Error::not_found("a mirror does not have everything").into()),
                status => Ok(status == 200),
            }
        })
    }

    pub(crate) fn blob_noun(&self, digest: BlobDigest) -> String {
        format!("blob \"{}@{digest}\"", self.name.familiar_name())
    }

    fn blob_target(&self, digest: BlobDigest) -> Target {
        Target::path(self.path(&format!("blobs/{digest}")))
    }

    fn open(&self, endpoint: &Endpoint, descriptor: &Descriptor, offset: u64) -> Result<Body, Failure> {
        let Descriptor { digest, size, .. } = *descriptor;
        if offset == size {
            return Ok(Body { reader: Box::new(io::empty()), to_skip: 0 });
        }
        let mut question = Question::new(Method::GET, self.blob_target(digest), &self.scope).patience(Patience::Stream);
        if offset > 0 {
            question = question.header("range", format!("bytes={offset}-"));
        }
        let deed = Deed::new("give", self.blob_noun(digest));
        let response = ask(&self.context, endpoint, &deed, &mut question, &[200, 206])?;
        let to_skip = check(&response, offset, size).map_err(|why| {
            Error::corrupt(format!("{} answers wrongly to {}: {why}", endpoint.who(), self.blob_noun(digest)))
        })?;
        Ok(Body { reader: Box::new(response.body.into_with_config().reader()), to_skip })
    }
}

/// How many bytes come before the wanted ones, if the answer is one to the question.
fn check(response: &Response, offset: u64, size: u64) -> Result<u64, String> {
    if let Some(encoding) = response.head.header("content-encoding").filter(|encoding| *encoding != "identity") {
        return Err(format!("it is encoded as {encoding:?}"));
    }
    if response.status == 206 {
        let range = response.head.header("content-range").unwrap_or_default();
        return match content_range(range) {
            Some((first, last, total)) if first == offset && last + 1 == size && total.is_none_or(|t| t == size) => {
                Ok(0)
            }
            _ => Err(format!("bytes {offset} to {size} were wanted and {range:?} came")),
        };
    }
    let length = response.head.header("content-length").and_then(|text| text.parse::<u64>().ok());
    match length {
        Some(length) if length != size => Err(format!("it has {length} bytes instead of {size}")),
        _ => Ok(offset),
    }
}

/// `bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4); the total may be `*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let last: u64 = last.parse().ok()?;
    (last < u64::MAX).then_some((first.parse().ok()?, last, total))
}

struct Body {
    reader: Box<dyn Read + Send>,
    to_skip: u64,
}

impl Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.to_skip > 0 && !self.skip()? {
            return Ok(0);
        }
        self.reader.read(buffer)
    }

    /// Whether the wanted bytes came in sight.
    fn skip(&mut self) -> io::Result<bool> {
        let mut skipped = vec![0; SKIP];
        while self.to_skip > 0 {
            let room = usize::try_from(self.to_skip).unwrap_or(SKIP).min(SKIP);
            let count = self.reader.read(&mut skipped[..room])?;
            if count == 0 {
                return Ok(false);
            }
            self.to_skip -= count as u64;
        }
        Ok(true)
    }
}

/// A blob's bytes from its offset to its end. A connection that breaks is replaced by another one that goes on where it
/// broke, after a pause; then by other hosts that have the blob. An error is final.
pub struct BlobReader {
    repository: Repository,
    descriptor: Descriptor,
    endpoint: Arc<Endpoint>,
    /// Taken away when it breaks.
    body: Option<Body>,
    position: u64,
    retry: Retry,
    /// From here on earlier misfortunes are forgotten.
    calm_at: u64,
    resumed_at: Vec<u64>,
}

impl BlobReader {
    /// The offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where connections broke and others went on.
    pub fn resumed_at(&self) -> &[u64] {
        &self.resumed_at
    }

    fn broke(&mut self, failure: Failure) -> io::Result<()> {
        self.body = None;
        let mut failure = failure;
        loop {
            let Some(pause) = self.retry.next(failure.again) else {
                if self.endpoint.host.is_mirror {
                    ask::passed_over(&self.repository.context, &self.endpoint, &failure);
                    self.retry = Retry::new(&self.repository.context.config);
                    failure = match self.elsewhere() {
                        Ok(()) => return Ok(()),
                        Err(failure) => failure,
                    };
                    continue;
                }
                return Err(self.final_error(&failure));
            };
            thread::sleep(pause);
            match self.repository.open(&self.endpoint, &self.descriptor, self.position) {
                Ok(body) => return self.goes_on(body),
                Err(next) => failure = next,
            }
        }
    }

    /// Goes on with the registry itself: it is the host that must have the blob.
    fn elsewhere(&mut self) -> Result<(), Failure> {
        self.endpoint = self.repository.registry()?;
        let body = self.repository.open(&self.endpoint, &self.descriptor, self.position)?;
        self.body = Some(body);
        self.resumed_at.push(self.position);
        Ok(())
    }

    fn goes_on(&mut self, body: Body) -> io::Result<()> {
        self.body = Some(body);
        self.resumed_at.push(self.position);
        Ok(())
    }

    fn final_error(&self, failure: &Failure) -> io::Error {
        let noun = self.repository.blob_noun(self.descriptor.digest);
        let (position, size, asked) = (self.position, self.descriptor.size, self.retry.asked());
        let times = if asked > 1 { format!(", asked {asked} times") } else { String::new() };
        let message = format!("cannot read {noun} beyond byte {position} of {size}{times}: {}", failure.error);
        into_io(Error::new(failure.error.kind(), message))
    }

    /// A whole blob must be all there is: what follows belongs to nobody.
    fn finish(&mut self) -> io::Result<usize> {
        let Some(mut body) = self.body.take() else { return Ok(0) };
        // Reading to the end is also what gives the connection back.
        match body.read(&mut [0]) {
            Ok(0) | Err(_) => Ok(0),
            Ok(_) => {
                let noun = self.repository.blob_noun(self.descriptor.digest);
                let message = format!("{} sends more than the {} bytes of {noun}", self.endpoint.who(), self.position);
                Err(into_io(Error::corrupt(message)))
            }
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let left = self.descriptor.size - self.position;
        if left == 0 {
            return self.finish();
        }
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        loop {
            let Some(body) = &mut self.body else {
                return Err(io::Error::other("an earlier error was final"));
            };
            let failure = match body.read(&mut buffer[..room]) {
                Ok(0) => ("the connection was closed".to_owned(), Again::Soon),
                Ok(count) => {
                    self.position += count as u64;
                    if self.position >= self.calm_at {
                        self.calm_at = self.position + PROGRESS;
                        self.retry = Retry::new(&self.repository.context.config);
                    }
                    return Ok(count);
                }
                Err(error) => describe_io(&error),
            };
            let (words, again) = failure;
            let message = format!("{}: {words}", self.endpoint.who());
            self.broke(Failure::new(Error::new(Kind::Internal, message), again))?;
        }
    }
}

impl std::fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("digest", &self.descriptor.digest)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// An error that travels through `Read` and can be had back by [`into_error`].
fn into_io(error: Error) -> io::Error {
    let kind = match error.kind() {
        Kind::Corrupt => io::ErrorKind::InvalidData,
        Kind::NotFound => io::ErrorKind::NotFound,
        Kind::Denied => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// The error behind one of reading.
pub(crate) fn into_error(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::new(Kind::Internal, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
