//! Digests, one type for each thing that is named by one.
//!
//! A layer has three names: the [`BlobDigest`] of its bytes as transferred (usually compressed), the [`DiffId`] of the
//! tar inside, and the [`ChainId`] of that layer *on top of all layers below it*. An image has the [`ImageId`] of its
//! configuration. They look alike and mean different things, so they are different types.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// A SHA-256, written `sha256:` and 64 lower-case hexadecimal digits. Other algorithms are refused by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(bytes);
        hash.finish()
    }

    /// The 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.0.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
    }

    /// Reads the 64 digits without the algorithm; upper case is not accepted.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            Some(("sha256", hex)) => {
                Self::from_hex(hex).ok_or_else(|| ParseError::new(format!("invalid digest {text:?}")))
            }
            Some((algorithm @ ("sha384" | "sha512" | "blake3"), _)) => {
                Err(ParseError::new(format!("digest algorithm {algorithm:?} is not supported, only sha256 is")))
            }
            _ => Err(ParseError::new(format!("invalid digest {text:?}"))),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! named_digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Digest);

        impl $name {
            /// Declares that `digest` names this kind of thing.
            pub const fn new(digest: Digest) -> Self {
                Self(digest)
            }

            /// The plain digest.
            pub const fn digest(&self) -> Digest {
                self.0
            }

            /// The 64 hexadecimal digits, without the algorithm.
            pub fn hex(&self) -> String {
                self.0.hex()
            }

            /// The first twelve digits, as tables show them.
            pub fn short(&self) -> String {
                let mut hex = self.0.hex();
                hex.truncate(12);
                hex
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

named_digest! {
    /// The bytes of a blob as it is stored and transferred (image-spec: descriptor.md).
    BlobDigest
}
named_digest! {
    /// A layer's uncompressed tar (image-spec: config.md, "Layer DiffID").
    DiffId
}
named_digest! {
    /// A stack of layers (image-spec: config.md, "Layer ChainID").
    ChainId
}
named_digest! {
    /// An image: the digest of its configuration's bytes (image-spec: config.md, "ImageID").
    ImageId
}

impl ChainId {
    /// The chain of one more layer upon `parent`, or of a lowest layer.
    pub fn extend(parent: Option<Self>, diff_id: DiffId) -> Self {
        match parent {
            None => Self(diff_id.digest()),
            Some(parent) => Self(Digest::of(format!("{parent} {diff_id}").as_bytes())),
        }
    }

    /// The chains of every prefix of a stack of layers, bottom first; the last one is the whole stack's.
    pub fn stack(diff_ids: &[DiffId]) -> Vec<Self> {
        let mut top = None;
        diff_ids
            .iter()
            .map(|diff_id| {
                let chain = Self::extend(top, *diff_id);
                top = Some(chain);
                chain
            })
            .collect()
    }
}

impl ImageId {
    /// The blob that holds the image's configuration.
    pub const fn blob(&self) -> BlobDigest {
        BlobDigest(self.0)
    }
}

/// SHA-256 over a stream.
#[derive(Clone)]
pub struct Sha256(ring::digest::Context);

impl Sha256 {
    /// A hash of nothing yet.
    #[expect(clippy::new_without_default, reason = "there is one way to start a hash")]
    pub fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Appends bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes appended.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_strictly() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(empty.parse::<Digest>(), Ok(Digest::of(b"")));
        let upper = empty.replace("e3b0", "E3B0");
        for bad in ["", "sha256:", "sha256:e3b0", &empty[7..], &upper, &format!("{empty}0"), "md5:00"] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        let error = "sha512:00".parse::<Digest>().unwrap_err();
        assert_eq!(error.to_string(), "digest algorithm \"sha512\" is not supported, only sha256 is");
    }

    #[test]
    fn chains_follow_the_specification() {
        let ids: Vec<DiffId> = (0..3u8).map(|n| DiffId::new(Digest::of(&[n]))).collect();
        let chain = ChainId::stack(&ids);
        assert_eq!(chain[0].digest(), ids[0].digest());
        assert_eq!(chain[1].digest(), Digest::of(format!("{} {}", ids[0], ids[1]).as_bytes()));
        assert_eq!(chain[2].digest(), Digest::of(format!("{} {}", chain[1], ids[2]).as_bytes()));
        assert!(ChainId::stack(&[]).is_empty());
    }
}
