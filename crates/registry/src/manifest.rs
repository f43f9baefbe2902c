//! Manifests: read, looked for, written (distribution-spec: "Pulling manifests", "Pushing Manifests").

use oci::descriptor::media_type;
use oci::{BlobDigest, Descriptor, Digest};
use serde::Deserialize;
use stdx::{Error, Result};
use ureq::http::Method;

use crate::ask::{self, Document};
use crate::body;
use crate::error::{Deed, Failure};
use crate::repository::Repository;
use crate::session::{Question, Source, Target};
use crate::transport::{Head, Patience};

/// What registries agree on as the largest manifest.
const LARGEST: u64 = 4 << 20;

const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

const ACCEPT: [&str; 4] =
    [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_INDEX, media_type::DOCKER_MANIFEST];

/// Which manifest of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// Whatever the tag means now.
    Tag(&'a str),
    /// This one.
    Digest(BlobDigest),
}

impl Which<'_> {
    /// As it stands in a path: whatever a caller takes for a tag, it must not lead elsewhere.
    fn text(&self) -> Result<String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        match self {
            Self::Tag(tag) if tag.is_empty() || tag.starts_with('.') || !tag.bytes().all(is_plain) => {
                Err(Error::invalid(format!("invalid tag {tag:?}")))
            }
            Self::Tag(tag) => Ok((*tag).to_owned()),
            Self::Digest(digest) => Ok(digest.to_string()),
        }
    }
}

/// A manifest or an index, verified.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes that the digest is of.
    pub bytes: Vec<u8>,
}

impl Repository {
    /// Fetches a manifest or an index, at most 4 MiB: compared with the digest that was asked for, and with the one the
    /// registry tells. Docker's schema 1 is refused by name.
    pub fn manifest(&self, which: Which<'_>) -> Result<Fetched> {
        let noun = self.noun(which);
        self.read(|endpoint| {
            let mut question = self.manifest_question(Method::GET, which)?;
            let deed = Deed::new("give", &noun);
            let Document { head, bytes } = ask::document(&self.context, endpoint, &deed, &mut question, LARGEST)?;
            verified(&noun, which, &head, bytes).map_err(Failure::from)
        })
    }

    /// The descriptor of a manifest, if the repository has it. Where the registry does not tell a digest, the manifest is
    /// fetched to compute it.
    pub fn exists_manifest(&self, which: Which<'_>) -> Result<Option<Descriptor>> {
        let told = self.read(|endpoint| {
            let mut question = self.manifest_question(Method::HEAD, which)?;
            let deed = Deed::new("give", self.noun(which));
            let response = ask::ask(&self.context, endpoint, &deed, &mut question, &[200, 404])?;
            if response.status == 404 && endpoint.host.is_mirror {
                return Err(Error::not_found("a mirror does not have everything").into());
            }
            Ok(response)
        })?;
        if told.status == 404 {
            return Ok(None);
        }
        let digest = match which {
            Which::Digest(digest) => Some(digest),
            Which::Tag(_) => told_digest(&told.head),
        };
        let size = told.head.header("content-length").and_then(|text| text.parse::<u64>().ok());
        match (digest, size, content_type(&told.head)) {
            (Some(digest), Some(size), Some(media_type)) => Ok(Some(Descriptor::new(&media_type, digest, size))),
            _ => Ok(Some(self.manifest(which)?.descriptor)),
        }
    }

    /// Writes a manifest or an index under a tag or its digest. What it names must be there already.
    pub fn push_manifest(&self, which: Which<'_>, media_type: &str, bytes: &[u8]) -> Result<BlobDigest> {
        let digest = BlobDigest::new(Digest::of(bytes));
        if let Which::Digest(wanted) = which {
            if wanted != digest {
                return Err(Error::invalid(format!("the manifest to push as {wanted} is {digest}")));
            }
        }
        let endpoint = self.registry()?;
        let target = Target::path(self.path(&format!("manifests/{}", which.text()?)));
        let question = Question::new(Method::PUT, target, &self.scope).header("content-type", media_type);
        let mut question = question.source(Source::Bytes(bytes)).patience(Patience::Commit);
        let deed = Deed::new("take", self.noun(which));
        let response = ask::ask(&self.context, &endpoint, &deed, &mut question, &[200, 201, 202])?;
        if let Some(told) = told_digest(&response.head).filter(|told| *told != digest) {
            let who = endpoint.who();
            return Err(Error::corrupt(format!("{who} took {} as {told}, it is {digest}", self.noun(which))));
        }
        body::discard(response);
        Ok(digest)
    }

    fn manifest_question(&self, method: Method, which: Which<'_>) -> Result<Question<'_>> {
        let target = Target::path(self.path(&format!("manifests/{}", which.text()?)));
        Ok(Question::new(method, target, &self.scope).header("accept", ACCEPT.join(", ")))
    }

    fn noun(&self, which: Which<'_>) -> String {
        let name = self.name.familiar_name();
        match which {
            Which::Tag(tag) => format!("manifest \"{name}:{tag}\""),
            Which::Digest(digest) => format!("manifest \"{name}@{digest}\""),
        }
    }
}

/// The digest in `Docker-Content-Digest`; one of another algorithm says nothing here.
fn told_digest(head: &Head) -> Option<BlobDigest> {
    head.header("docker-content-digest")?.parse().ok()
}

/// The media type without parameters.
fn content_type(head: &Head) -> Option<String> {
    let text = head.header("content-type")?;
    let text = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!text.is_empty()).then_some(text)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shape {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<u64>,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
}

fn verified(noun: &str, which: Which<'_>, head: &Head, bytes: Vec<u8>) -> Result<Fetched> {
    let digest = BlobDigest::new(Digest::of(&bytes));
    let wanted = match which {
        Which::Digest(wanted) => Some(wanted),
        Which::Tag(_) => told_digest(head),
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
        return Err(Error::corrupt(format!("{noun} has digest {digest} instead of {wanted}")));
    }
    let media_type = kind_of_manifest(noun, content_type(head), &bytes)?;
    let descriptor = Descriptor::new(&media_type, digest, bytes.len() as u64);
    Ok(Fetched { descriptor, bytes })
}

/// The media type: what the document says of itself, which the registry must not contradict; else what the registry says;
/// else what it looks like.
fn kind_of_manifest(noun: &str, content_type: Option<String>, bytes: &[u8]) -> Result<String> {
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Error::corrupt(format!("{noun} is no JSON object")));
    }
    let shape: Shape =
        serde_json::from_slice(bytes).map_err(|error| Error::corrupt(format!("{noun} is no JSON: {error}")))?;
    let known = |text: &str| media_type::is_index(text) || media_type::is_manifest(text);
    let is_old =
        content_type.as_deref().is_some_and(|text| SCHEMA_1.contains(&text)) || shape.schema_version == Some(1);
    if is_old {
        let error = Error::unsupported(format!("{noun} is in Docker's schema 1"));
        return Err(error.hint("push it again with a version of Docker from 2017 or later"));
    }
    match (shape.media_type, content_type) {
        (Some(own), Some(told)) if own != told && known(&told) => {
            Err(Error::corrupt(format!("{noun} is {own:?}, and the registry says {told:?}")))
        }
        (Some(own), _) if known(&own) => Ok(own),
        (Some(own), _) => Err(Error::unsupported(format!("{noun} is {own:?}, which is not an image"))),
        (None, Some(told)) if known(&told) => Ok(told),
        (None, _) if shape.manifests.is_some() => Ok(media_type::OCI_INDEX.to_owned()),
        (None, _) => Ok(media_type::OCI_MANIFEST.to_owned()),
    }
}

#[cfg(test)]
mod tests;
