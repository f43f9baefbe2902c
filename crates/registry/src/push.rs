//! Uploads (distribution-spec: "Pushing blobs", "Mounting a blob from another repository").
//!
//! A small blob is one `PUT`. A large one is a `PATCH` and an empty `PUT`: when the connection breaks, the registry is
//! asked how much it has, and the rest follows.

use std::cell::RefCell;
use std::io::{self, Read};
use std::thread;

use oci::{BlobDigest, Descriptor, Reference};
use stdx::{Error, Kind, Result};
use ureq::http::Method;

use crate::ask::ask;
use crate::auth::Scope;
use crate::body;
use crate::error::{self, Again, Deed, Failure};
use crate::repository::Repository;
use crate::retry::Retry;
use crate::session::{self, Endpoint, Question, Source, Target};
use crate::transport::{Patience, Response};
use crate::url::Url;

/// Up to this size it is cheaper to begin again than to ask how far it went.
const SMALL: u64 = 4 << 20;
/// What a registry gets at a time that refuses a whole blob as too large.
const CHUNK: u64 = 32 << 20;

/// How a blob came to be where it was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it from another repository.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// A blob on its way.
struct Upload<'a> {
    repository: &'a Repository,
    endpoint: &'a Endpoint,
    descriptor: &'a Descriptor,
    deed: Deed,
    open: &'a dyn Fn(u64) -> Result<Box<dyn Read + Send>>,
    progress: RefCell<&'a mut dyn FnMut(u64)>,
}

/// What a registry says of an unfinished upload.
struct Session {
    location: Url,
    smallest_chunk: u64,
}

impl Repository {
    /// Brings a blob into the repository: not at all if it is there, by name if the registry has it in `mount_from`, else
    /// by sending what `open` gives from an offset on. `progress` is told how many bytes the registry has been sent; after
    /// a broken connection that number may fall.
    pub fn push_blob(
        &self,
        descriptor: &Descriptor,
        open: impl Fn(u64) -> Result<Box<dyn Read + Send>>,
        mount_from: Option<&Reference>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Pushed> {
        if self.has_blob(descriptor.digest)? {
            return Ok(Pushed::Existed);
        }
        let endpoint = self.registry()?;
        let deed = Deed::new("take", self.blob_noun(descriptor.digest));
        let progress = RefCell::new(progress);
        let upload = Upload { repository: self, endpoint: &endpoint, descriptor, deed, open: &open, progress };
        let from = mount_from.filter(|from| from.registry() == self.name.registry() && from.path() != self.name.path());
        let session = match from {
            Some(from) => match upload.mount(from)? {
                Some(session) => session,
                None => return Ok(Pushed::Mounted),
            },
            None => upload.begin()?,
        };
        upload.send(session)?;
        Ok(Pushed::Uploaded)
    }
}

impl Upload<'_> {
    /// Opens a session.
    fn begin(&self) -> Result<Session, Failure> {
        let target = Target::path(self.repository.path("blobs/uploads/"));
        let mut question = Question::new(Method::POST, target, &self.repository.scope);
        let context = &self.repository.context;
        let response = ask(context, self.endpoint, &self.deed, &mut question, &[202])?;
        self.session(response)
    }

    /// Asks the registry to take the blob from another repository: `None` if it did, a session if it did not.
    fn mount(&self, from: &Reference) -> Result<Option<Session>, Failure> {
        let query = vec![("mount", self.descriptor.digest.to_string()), ("from", from.path().to_owned())];
        let target = Target::Path(self.repository.path("blobs/uploads/"), query);
        let scope = self.repository.scope.clone().and(Scope::pull(from.path()));
        let mut question = Question::new(Method::POST, target, &scope);
        let context = &self.repository.context;
        match ask(context, self.endpoint, &self.deed, &mut question, &[201, 202]) {
            Ok(response) if response.status == 201 => {
                body::discard(response);
                Ok(None)
            }
            Ok(response) => self.session(response).map(Some),
            // No right to read the other repository, or no such thing as mounting: then it is sent.
            Err(failure) if failure.again == Again::Never => self.begin().map(Some),
            Err(failure) => Err(failure),
        }
    }

    fn send(&self, session: Session) -> Result<()> {
        let mut retry = Retry::new(&self.repository.context.config);
        let mut session = session;
        let mut chunk = u64::MAX;
        let (mut offset, mut best) = (0, 0);
        loop {
            let failure = match self.step(&mut session, &mut offset, chunk) {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(failure) => failure,
            };
            if failure.again == Again::Never {
                if failure.error.kind() == Kind::NoSpace && chunk > CHUNK {
                    chunk = CHUNK.max(session.smallest_chunk);
                    self.cancel(&session);
                    (session, offset) = (self.begin()?, 0);
                    continue;
                }
                self.cancel(&session);
                return Err(failure.error);
            }
            match self.recover(&session, failure, &mut retry)? {
                Some(recovered) => (session, offset) = recovered,
                None => {
                    self.tell(self.descriptor.size);
                    return Ok(());
                }
            }
            if offset > best {
                best = offset;
                retry = Retry::new(&self.repository.context.config);
            }
        }
    }

    /// Sends the next part; whether that was the last.
    fn step(&self, session: &mut Session, offset: &mut u64, chunk: u64) -> Result<bool, Failure> {
        let size = self.descriptor.size;
        let end = size.min(offset.saturating_add(chunk));
        let is_last = *offset == size || (*offset == 0 && size <= SMALL);
        if is_last {
            let response = self.part(&session.location.with("digest", &self.digest()), Method::PUT, *offset, size)?;
            self.check_digest(&response)?;
            body::discard(response);
            self.tell(size);
            return Ok(true);
        }
        let response = self.part(&session.location, Method::PATCH, *offset, end)?;
        let smallest_chunk = session.smallest_chunk;
        *session = Session { smallest_chunk, ..self.session(response)? };
        *offset = end;
        Ok(false)
    }

    /// One request with the bytes from `offset` to `end`, if there are any.
    fn part(&self, url: &Url, method: Method, offset: u64, end: u64) -> Result<Response, Failure> {
        let mut source = || -> Result<Box<dyn Read + '_>> {
            self.tell(offset);
            let reader = (self.open)(offset)?;
            Ok(Box::new(Counted { reader, at: offset, upload: self }))
        };
        let context = &self.repository.context;
        let question = Question::new(method, Target::Url(url.clone()), &self.repository.scope);
        let mut question = question.patience(Patience::Commit);
        if end > offset {
            question = question.header("content-type", "application/octet-stream");
            // A whole blob needs no range, and some registries take one as a sign of something smaller.
            if offset > 0 || end < self.descriptor.size {
                question = question.header("content-range", format!("{offset}-{}", end - 1));
            }
            if end - offset > SMALL {
                // Who refuses may say so before the bytes are sent, and not by breaking the connection.
                question = question.header("expect", "100-continue");
            }
            question = question.source(Source::Stream(end - offset, &mut source));
        }
        let response = self.endpoint.exchange(context, &mut question)?;
        match response.status {
            200..=202 | 204 => Ok(response),
            413 => {
                let failure = error::refusal(&self.endpoint.who(), &self.deed, response);
                Err(Failure { error: failure.error.kinded(Kind::NoSpace), ..failure })
            }
            // The registry has another idea of how much it has.
            416 => Err(Failure { again: Again::Soon, ..error::refusal(&self.endpoint.who(), &self.deed, response) }),
            _ => Err(error::refusal(&self.endpoint.who(), &self.deed, response)),
        }
    }

    /// Waits and finds out where to go on, as often as it is worth it: `None` if there is nothing left to do.
    fn recover(&self, session: &Session, failure: Failure, retry: &mut Retry) -> Result<Option<(Session, u64)>> {
        let mut failure = failure;
        loop {
            let Some(pause) = retry.next(failure.again) else { return Err(self.gave_up(retry, failure)) };
            thread::sleep(pause);
            match self.resume(session) {
                Ok(recovered) => return Ok(recovered),
                Err(next) => failure = next,
            }
        }
    }

    /// Asks how much of an upload arrived. The registry may have forgotten it because it was whole; otherwise, and where
    /// it does not say how much, another one begins.
    fn resume(&self, session: &Session) -> Result<Option<(Session, u64)>, Failure> {
        let target = Target::Url(session.location.clone());
        let mut question = Question::new(Method::GET, target, &self.repository.scope);
        let response = self.endpoint.exchange(&self.repository.context, &mut question)?;
        if !matches!(response.status, 200 | 202 | 204) {
            let failure = error::refusal(&self.endpoint.who(), &self.deed, response);
            return match failure.again {
                Again::Never if self.repository.has_blob(self.descriptor.digest)? => Ok(None),
                Again::Never => Ok(Some((self.begin()?, 0))),
                _ => Err(failure),
            };
        }
        let arrived = response.head.header("range").and_then(arrived).filter(|count| *count <= self.descriptor.size);
        match arrived {
            Some(count) if count > 0 => {
                let location = self.location(&response)?.unwrap_or_else(|| session.location.clone());
                Ok(Some((Session { location, smallest_chunk: session.smallest_chunk }, count)))
            }
            _ => Ok(Some((self.begin()?, 0))),
        }
    }

    /// Frees what the registry holds for an upload that will not go on. That it may fail changes nothing.
    fn cancel(&self, session: &Session) {
        let target = Target::Url(session.location.clone());
        let mut question = Question::new(Method::DELETE, target, &self.repository.scope);
        if let Ok(response) = self.endpoint.exchange(&self.repository.context, &mut question) {
            body::discard(response);
        }
    }

    fn session(&self, response: Response) -> Result<Session, Failure> {
        let location = self
            .location(&response)?
            .ok_or_else(|| Error::corrupt(format!("{} does not say where to upload to", self.endpoint.who())))?;
        let smallest_chunk =
            response.head.header("oci-chunk-min-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        body::discard(response);
        Ok(Session { location, smallest_chunk })
    }

    /// Where the upload goes on, if the answer says so.
    fn location(&self, response: &Response) -> Result<Option<Url>, Failure> {
        let Some(text) = response.head.header("location").filter(|text| !text.is_empty()) else { return Ok(None) };
        let led = session::lead(&self.repository.context, &response.head.url, text);
        let (who, shown) = (self.endpoint.who(), text.split('?').next().unwrap_or_default());
        led.map(Some).map_err(|why| Error::corrupt(format!("{who} says to upload to {shown:?}, {why}")).into())
    }

    fn check_digest(&self, response: &Response) -> Result<(), Failure> {
        let told = response.head.header("docker-content-digest").and_then(|text| text.parse::<BlobDigest>().ok());
        match told.filter(|told| *told != self.descriptor.digest) {
            Some(told) => {
                let (who, noun) = (self.endpoint.who(), &self.deed.noun);
                Err(Error::corrupt(format!("{who} took {noun} as {told}")).into())
            }
            None => Ok(()),
        }
    }

    fn tell(&self, position: u64) {
        (self.progress.borrow_mut())(position);
    }

    fn digest(&self) -> String {
        self.descriptor.digest.to_string()
    }

    fn gave_up(&self, retry: &Retry, failure: Failure) -> Error {
        let message = format!("cannot push {} in {} attempts: {}", self.deed.noun, retry.asked(), failure.error);
        Error::new(failure.error.kind(), message)
    }
}

/// Tells how far it was read.
struct Counted<'a, 'u> {
    reader: Box<dyn Read + Send>,
    at: u64,
    upload: &'a Upload<'u>,
}

impl Read for Counted<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.at += count as u64;
        self.upload.tell(self.at);
        Ok(count)
    }
}

/// `0-99` means that 100 bytes arrived; Docker's registry writes `0-0` for none too, and then all of them are sent.
fn arrived(range: &str) -> Option<u64> {
    let (first, last) = range.trim().trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.parse().ok()?;
    match (first, last) {
        ("0", 0) => Some(0),
        ("0", last) => last.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
