//! Image references with Docker's grammar and defaults.
//!
//! `busybox` means `docker.io/library/busybox`, and where one image is meant, its tag `latest`. [`Reference`] is
//! always the full form; [`Reference::familiar`] drops again what the defaults put in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{BlobDigest, ParseError};

/// Where a reference without a registry points.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that is meant when neither tag nor digest is given.
pub const DEFAULT_TAG: &str = "latest";

const OFFICIAL_PREFIX: &str = "library/";
const NAME_MAX: usize = 255;

/// A registry, a repository in it, and optionally a tag and a manifest's digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<BlobDigest>,
}

impl Reference {
    /// Reads `[REGISTRY/]PATH[:TAG][@DIGEST]` and fills in registry and `library/`; no tag is added.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let invalid = |why: &str| ParseError::new(format!("invalid reference {text:?}: {why}"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|e: ParseError| invalid(&e.to_string()))?)),
            None => (text, None),
        };
        if rest.len() == 64 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid("64 hexadecimal digits are an id, not a name"));
        }
        let (registry, rest) = split_registry(rest);
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(invalid("repository name must be lowercase"));
        }
        if !is_registry(registry) {
            return Err(invalid("malformed registry"));
        }
        if path.is_empty() || !path.split('/').all(is_component) {
            return Err(invalid("malformed repository name"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid("malformed tag"));
        }
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let path = if official { format!("{OFFICIAL_PREFIX}{path}") } else { path.to_owned() };
        if registry.len() + 1 + path.len() > NAME_MAX {
            return Err(invalid("repository name is longer than 255 characters"));
        }
        Ok(Self { registry: registry.to_owned(), path, tag: tag.map(str::to_owned), digest })
    }

    /// Like [`parse`](Self::parse), and `latest` where neither tag nor digest is given.
    pub fn parse_tagged(text: &str) -> Result<Self, ParseError> {
        Self::parse(text).map(Self::or_latest)
    }

    /// The registry's host and port, `docker.io` included.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry, `library/` included.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's digest, if one is given.
    pub fn digest(&self) -> Option<BlobDigest> {
        self.digest
    }

    /// The same repository without tag and digest.
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// The same repository at a digest alone.
    pub fn at(&self, digest: BlobDigest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Is it the same repository, whatever tag or digest?
    pub fn same_repository(&self, other: &Self) -> bool {
        self.registry == other.registry && self.path == other.path
    }

    /// The same, with `latest` where neither tag nor digest is given.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The form people write: no `docker.io`, no `library/`. Parsing it gives the same reference.
    pub fn familiar(&self) -> String {
        self.render(&self.familiar_name())
    }

    /// The familiar form without tag and digest: the `REPOSITORY` column.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.path);
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(name) if !name.contains('/') => name.to_owned(),
            // `docker.io/a.b/c` must keep its registry: `a.b/c` would name a registry `a.b`.
            _ if split_registry(&self.path).0 != DEFAULT_REGISTRY => format!("{DEFAULT_REGISTRY}/{}", self.path),
            _ => self.path.clone(),
        }
    }

    fn render(&self, name: &str) -> String {
        let mut text = name.to_owned();
        if let Some(tag) = &self.tag {
            text += ":";
            text += tag;
        }
        if let Some(digest) = &self.digest {
            text += &format!("@{digest}");
        }
        text
    }
}

/// The full form.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&format!("{}/{}", self.registry, self.path)))
    }
}

impl FromStr for Reference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The first part is a registry if it looks like a host: a dot, a port, a capital, or `localhost`.
fn split_registry(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first == "localhost" || first.contains(['.', ':']) || first.chars().any(char::is_uppercase) =>
        {
            (if first == "index.docker.io" { DEFAULT_REGISTRY } else { first }, rest)
        }
        _ => (DEFAULT_REGISTRY, text),
    }
}

fn is_registry(text: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else { return false };
        return !address.is_empty()
            && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
            && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    port.is_none_or(is_port) && host.split('.').all(is_label)
}

/// Runs of `[a-z0-9]` with one separator between each two: `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
    ends && bytes
        .split(alphanumeric)
        .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    matches!(text.len(), 1..=128)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
        && text.bytes().next().is_some_and(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn defaults_are_dockers_and_the_familiar_form_drops_them() {
        for (text, full, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("library/busybox", "docker.io/library/busybox", "busybox"),
            ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("me/app", "docker.io/me/app", "me/app"),
            ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c"),
            ("localhost/x:y", "localhost/x:y", "localhost/x:y"),
            ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
            ("[fe80::1]/a:t", "[fe80::1]/a:t", "[fe80::1]/a:t"),
            ("Host/a", "Host/a", "Host/a"),
            ("quay.io/a/b__c.d-e---f_g", "quay.io/a/b__c.d-e---f_g", "quay.io/a/b__c.d-e---f_g"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
            assert_eq!(Reference::parse(familiar).unwrap(), reference, "{text}");
            assert_eq!(Reference::parse(full).unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn latest_is_meant_unless_a_tag_or_digest_is_given() {
        assert_eq!(Reference::parse_tagged("a").unwrap().tag(), Some("latest"));
        let reference = Reference::parse_tagged(&format!("a@sha256:{HEX}")).unwrap();
        assert_eq!((reference.tag(), reference.digest().map(|d| d.hex())), (None, Some(HEX.to_owned())));
        let reference = Reference::parse_tagged(&format!("r.io/a:t@sha256:{HEX}")).unwrap();
        assert_eq!((reference.tag(), reference.digest().is_some()), (Some("t"), true));
        assert_eq!(reference.to_string(), format!("r.io/a:t@sha256:{HEX}"));
    }

    #[test]
    fn malformed_references_are_refused() {
        let long = "a/".repeat(128) + "a";
        let tag = format!("a:{}", "t".repeat(129));
        for bad in [
            "",
            ":",
            "a:",
            "a@",
            "a@sha256:12",
            "/a",
            "a/",
            "a//b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a:-t",
            "a:.t",
            "a b",
            "a\n",
            "ä",
            "http://a/b",
            "a:b:c",
            "a:80b/c:",
            "a.b:/c",
            "-a.b/c",
            "a.b-/c",
            "[::1/a",
            "[]/a",
            "[::g]:1/a",
            "[::1]5/a",
            HEX,
            &long,
            &tag,
            "a@sha256:x@sha256:y",
            "\u{0}",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
        let error = Reference::parse("a/B").unwrap_err().to_string();
        assert_eq!(error, "invalid reference \"a/B\": repository name must be lowercase");
    }
}
