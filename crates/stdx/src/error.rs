//! The one error type of the libraries: an operation and its noun in words, a cause, a kind, sometimes a hint.
//!
//! The kind is decided once, where the error is made, and drives the exit code and the HTTP status at the edge.
//! Messages are lower case, without a full stop, with the noun quoted.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// What sort of failure it is, independent of where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong: a bad flag value, a malformed file, an impossible combination.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The thing exists but its state forbids the operation (a name in use, a container running).
    Conflict,
    /// The kernel or the file system refuses this caller.
    Denied,
    /// This kernel, this build or this version cannot do it.
    Unsupported,
    /// A disk, a quota or a limit is full.
    NoSpace,
    /// Data does not match its digest, its size or its format.
    Corrupt,
    /// Anything else.
    Internal,
}

/// An error in words. `Display` gives one line: `message: cause (hint: …)`.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    hint: Option<String>,
}

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that has no other error behind it.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { kind, message: message.into(), cause: None, hint: None }) }
    }

    /// Shorthand for [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// Shorthand for [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Shorthand for [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// Shorthand for [`Kind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, message)
    }

    /// Shorthand for [`Kind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// The same error with advice for the person who reads it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// The same error under another kind.
    pub fn kinded(mut self, kind: Kind) -> Self {
        self.inner.kind = kind;
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The kernel's error number at the bottom of the causes, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        let mut cause: &(dyn std::error::Error + 'static) = self.inner.cause.as_deref()?;
        loop {
            if let Some(errno) = cause.downcast_ref::<Errno>() {
                return Some(*errno);
            }
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                if let Some(raw) = error.raw_os_error() {
                    return Some(Errno::from_raw_os_error(raw));
                }
            }
            cause = cause.source()?;
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        if let Some(cause) = &self.inner.cause {
            // The operating system's text is worded for C programs; keep the words, drop "(os error N)".
            let text = cause.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            write!(f, ": {}", lower_first(text))?;
        }
        if let Some(hint) = &self.inner.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An acronym ("EOF while parsing") keeps its capitals.
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.cause.as_deref().map(|cause| cause as _)
    }
}

fn kind_of(cause: &(dyn std::error::Error + 'static)) -> Kind {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return error.kind();
    }
    let errno = cause.downcast_ref::<Errno>().copied().or_else(|| {
        let error = cause.downcast_ref::<io::Error>()?;
        error.raw_os_error().map(Errno::from_raw_os_error)
    });
    match errno {
        Some(Errno::NOENT) => Kind::NotFound,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Kind::Denied,
        Some(Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE) => Kind::NoSpace,
        Some(Errno::NOSYS | Errno::OPNOTSUPP) => Kind::Unsupported,
        Some(_) => Kind::Internal,
        None => match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => Kind::Corrupt,
            _ => Kind::Internal,
        },
    }
}

/// Puts the operation and its noun in front of a lower error; the kind comes from that error.
pub trait Context<T> {
    /// `message` names the operation and the noun: `cannot open "/x"`.
    fn context(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E> Context<T> for std::result::Result<T, E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    fn context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| {
            let kind = kind_of(&cause);
            Error { inner: Box::new(Inner { kind, message: message(), cause: Some(Box::new(cause)), hint: None }) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_operation_noun_cause_and_hint() {
        let error = Err::<(), _>(Errno::NOENT).context(|| "cannot open \"/x\"".into()).unwrap_err();
        assert_eq!(error.to_string(), "cannot open \"/x\": no such file or directory");
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.errno(), Some(Errno::NOENT));
        let error = Err::<(), _>(error).context(|| "cannot start".into()).unwrap_err().hint("look");
        assert_eq!(error.to_string(), "cannot start: cannot open \"/x\": no such file or directory (hint: look)");
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.errno(), Some(Errno::NOENT));
    }
}
