//! From what a person types to an image.

use oci::{ImageId, Reference};
use stdx::{Error, Result};

use crate::names::{Names, Record};
use crate::{Image, Store};

/// An image, and by what it was found.
pub(crate) struct Found {
    pub(crate) id: ImageId,
    /// The name or `repository@digest` that was meant; `None` if an id was.
    pub(crate) by: Option<Reference>,
}

impl Store {
    /// Finds an image by name with Docker's defaults, by `name@sha256:…`, by id, or by an unambiguous prefix of its id.
    /// A name goes before a prefix. Reads `NAMES.json` and one configuration.
    pub fn resolve(&self, text: &str) -> Result<Image> {
        let mut names = self.names()?;
        let id = find(&names, text)?.id;
        let record = names.images.remove(&id).unwrap_or_default();
        self.read_image(&id, &record, names.of(&id))
    }
}

pub(crate) fn find(names: &Names, text: &str) -> Result<Found> {
    let not_found = || Error::not_found(format!("no such image: {text:?}"));
    let prefix = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = matches!(prefix.len(), 1..=64) && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = is_hex && (prefix.len() == 64 || prefix.len() != text.len());
    if !is_id {
        match Reference::parse_tagged(text) {
            Ok(reference) => {
                if let Some(id) = find_reference(names, &reference) {
                    return Ok(Found { id, by: Some(reference) });
                }
            }
            Err(error) if !is_hex => return Err(Error::invalid(error.to_string())),
            Err(_) => {}
        }
    }
    if !is_hex {
        return Err(not_found());
    }
    let mut matches = names.visible().filter(|(id, _)| id.hex().starts_with(prefix));
    match (matches.next(), matches.next()) {
        (Some((id, _)), None) => Ok(Found { id: *id, by: None }),
        (None, _) => Err(not_found()),
        _ => Err(Error::invalid(format!("image id prefix {text:?} is ambiguous")).hint("give more digits")),
    }
}

/// A digest goes before a tag: `name:tag@digest` is the image with that digest.
fn find_reference(names: &Names, reference: &Reference) -> Option<ImageId> {
    let Some(digest) = reference.digest() else {
        return names.names.get(reference).copied();
    };
    let wanted = reference.at(digest);
    let pulled_by = |record: &Record| record.digests.contains(&wanted);
    names.visible().find(|(_, record)| pulled_by(record)).map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use oci::Digest;
    use stdx::Kind;

    use super::*;

    fn id(hex_start: &str) -> ImageId {
        ImageId::new(Digest::from_hex(&format!("{hex_start:0<64}")).unwrap())
    }

    fn names() -> Names {
        let mut names = Names::default();
        let digest = oci::BlobDigest::new(Digest::of(b"manifest"));
        let pulled = Reference::parse("repo").unwrap().at(digest);
        names.images.insert(id("abc1"), Record { digests: vec![pulled], ..Record::default() });
        names.images.insert(id("abc2"), Record::default());
        names.images.insert(id("dead"), Record { removed: true, ..Record::default() });
        names.names.insert(Reference::parse_tagged("repo").unwrap(), id("abc1"));
        names.names.insert(Reference::parse_tagged("abc1").unwrap(), id("abc2"));
        // A name that looks like another image's id must not stand in for it.
        names.names.insert(Reference::parse(&id("abc1").to_string()).unwrap(), id("abc2"));
        names
    }

    #[test]
    fn names_go_before_ids_and_prefixes_must_be_unambiguous() {
        let names = names();
        let found = |text: &str| find(&names, text).map(|found| found.id).map_err(|e| e.kind());
        let digest = Digest::of(b"manifest");
        assert_eq!(found("repo"), Ok(id("abc1")));
        assert_eq!(found("docker.io/library/repo:latest"), Ok(id("abc1")));
        assert_eq!(found(&format!("repo@{digest}")), Ok(id("abc1")));
        assert_eq!(found(&format!("repo:other@{digest}")), Ok(id("abc1")));
        assert_eq!(found(&format!("other@{digest}")), Err(Kind::NotFound));
        assert_eq!(found("abc1"), Ok(id("abc2")));
        assert_eq!(found("sha256:abc1"), Ok(id("abc1")));
        assert_eq!(found(&id("abc1").to_string()), Ok(id("abc1")));
        assert_eq!(found(&id("abc1").hex()), Ok(id("abc1")));
        assert_eq!(found("abc2"), Ok(id("abc2")));
        assert_eq!(found("abc"), Err(Kind::Invalid));
        assert_eq!(found("dead"), Err(Kind::NotFound));
        assert_eq!(found("repo:1"), Err(Kind::NotFound));
        assert_eq!(found("Repo"), Err(Kind::Invalid));
        assert_eq!(found(""), Err(Kind::Invalid));
        let error = find(&names, "nope").err().unwrap();
        assert_eq!(error.to_string(), "no such image: \"nope\"");
    }
}
