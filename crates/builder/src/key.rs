//! Keys of the cache: a digest of everything that the outcome of a step follows from. Pure.
//!
//! Every part is written with a label and its length, so that no two lists of parts are the same bytes.

use oci::{ChainId, Digest, Sha256};

/// Raised when a step of the same text comes to something else than before.
const VERSION: &str = "1";

/// A key in the making.
pub(crate) struct Key(Sha256);

impl Key {
    /// The key of a step of this kind upon these layers.
    pub(crate) fn new(kind: &str, parent: Option<&ChainId>) -> Self {
        let mut key = Self(Sha256::new());
        key.add("version", VERSION);
        key.add("kind", kind);
        key.add("parent", parent.map(ToString::to_string).unwrap_or_default());
        key
    }

    /// Adds a part.
    pub(crate) fn add(&mut self, label: &str, value: impl AsRef<[u8]>) {
        for part in [label.as_bytes(), value.as_ref()] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// Adds a list.
    pub(crate) fn list<T: AsRef<[u8]>>(&mut self, label: &str, values: impl IntoIterator<Item = T>) {
        for value in values {
            self.add(label, value);
        }
        self.add("end of", label);
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_none_runs_into_the_next() {
        let key = |parts: &[(&str, &[&str])]| {
            let mut key = Key::new("run", None);
            parts.iter().for_each(|(label, values)| key.list(label, *values));
            key.finish()
        };
        let keys = [
            key(&[]),
            key(&[("a", &[])]),
            key(&[("a", &["b"])]),
            key(&[("a", &["b", ""])]),
            key(&[("a", &["", "b"])]),
            key(&[("a", &["bc"])]),
            key(&[("a", &["b"]), ("c", &[])]),
            key(&[("ab", &[])]),
        ];
        for (at, left) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|right| left != right));
        }
        assert_eq!(keys[2], key(&[("a", &["b"])]));
    }
}
