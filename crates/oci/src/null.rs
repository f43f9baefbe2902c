//! Go writes a nil slice or map as `null`; both mean the empty value.

use serde::{Deserialize, Deserializer};

/// For `#[serde(default, deserialize_with = "null::as_default")]`.
pub(crate) fn as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
