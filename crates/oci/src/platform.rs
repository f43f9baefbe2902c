//! Operating system and processor an image is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ParseError, null};

/// `os/architecture[/variant]` (image-spec: image-index.md, "platform").
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Platform {
    #[serde(default, deserialize_with = "null::as_default")]
    pub architecture: String,
    #[serde(default, deserialize_with = "null::as_default")]
    pub os: String,
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(
        rename = "os.features",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null::as_default"
    )]
    pub os_features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// A platform in Go's words, aliases and default variants resolved.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normalise(architecture, variant.unwrap_or_default());
        let variant = (!variant.is_empty()).then_some(variant);
        Self { os: os.to_ascii_lowercase(), architecture, variant, ..Self::default() }
    }

    /// The one this program was compiled for.
    pub fn host() -> Self {
        let variant = if cfg!(target_arch = "arm") { Some("v7") } else { None };
        Self::new(std::env::consts::OS, std::env::consts::ARCH, variant)
    }

    /// How well an image for `self` suits a machine that is `wanted`: `None` not at all, otherwise less is better.
    /// An ARM machine runs the variants below its own, a 64-bit one also the 32-bit code of its family.
    pub fn suits(&self, wanted: &Self) -> Option<u8> {
        let image = Self::new(&self.os, &self.architecture, self.variant.as_deref());
        let wanted = Self::new(&wanted.os, &wanted.architecture, wanted.variant.as_deref());
        if image.os != wanted.os {
            return None;
        }
        let level = |platform: &Self, default: u8| match platform.variant.as_deref() {
            None => Some(default),
            Some(variant) => variant.strip_prefix('v').and_then(|level| level.parse().ok()),
        };
        match (image.architecture.as_str(), wanted.architecture.as_str()) {
            ("amd64", "amd64") => level(&wanted, 1)?.checked_sub(level(&image, 1)?),
            ("386", "amd64") => Some(10),
            ("arm64", "arm64") => level(&wanted, 8)?.checked_sub(level(&image, 8)?),
            ("arm", "arm64") => 8u8.checked_sub(level(&image, 7)?).map(|below| 10 + below),
            ("arm", "arm") => level(&wanted, 7)?.checked_sub(level(&image, 7)?),
            (image_arch, wanted_arch) => (image_arch == wanted_arch
                && (wanted.variant.is_none() || wanted.variant == image.variant))
                .then_some(0),
        }
    }
}

impl FromStr for Platform {
    type Err = ParseError;

    /// Reads `OS`, `ARCH`, `OS/ARCH` or `OS/ARCH/VARIANT`; the host's own fills what is missing.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::new(format!("invalid platform {text:?}: must be OS/ARCH or OS/ARCH/VARIANT"));
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| is_word(part)) {
            return Err(invalid());
        }
        match parts[..] {
            [os] if is_os(os) => Ok(Self { os: os.to_ascii_lowercase(), ..Self::host() }),
            [architecture] if is_architecture(architecture) => Ok(Self::new(std::env::consts::OS, architecture, None)),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

fn is_os(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "linux" | "windows" | "darwin" | "freebsd" | "netbsd" | "openbsd")
}

fn is_architecture(word: &str) -> bool {
    let (architecture, _) = normalise(word, "");
    matches!(
        architecture.as_str(),
        "386" | "amd64" | "arm" | "arm64" | "loong64" | "mips64le" | "ppc64le" | "riscv64" | "s390x" | "wasm"
    )
}

/// Go's spelling, and no variant where it is the family's base.
fn normalise(architecture: &str, variant: &str) -> (String, String) {
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant.as_str()) {
        ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386".into(), String::new()),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64".into(), String::new()),
        ("x86_64" | "x86-64" | "amd64", _) => ("amd64".into(), variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64".into(), String::new()),
        ("aarch64" | "arm64", _) => ("arm64".into(), variant),
        ("armhf", _) => ("arm".into(), "v7".to_owned()),
        ("armel", _) => ("arm".into(), "v6".to_owned()),
        ("arm", "") => ("arm".into(), "v7".to_owned()),
        ("arm", "5" | "6" | "7" | "8") => ("arm".into(), format!("v{variant}")),
        ("powerpc64le", _) => ("ppc64le".into(), variant),
        ("loongarch64", _) => ("loong64".into(), variant),
        (other, _) => (other.to_owned(), variant),
    };
    (architecture, variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_spelling() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AArch64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("arm64", "linux/arm64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected, "{text}");
        }
        assert_eq!("linux".parse::<Platform>().unwrap(), Platform::host());
        for bad in ["", "/", "linux/", "a/b/c/d", "nonsense", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_best_platform_is_the_nearest_not_above() {
        let suits = |image: &str, machine: &str| {
            image.parse::<Platform>().unwrap().suits(&machine.parse::<Platform>().unwrap())
        };
        assert_eq!(suits("linux/arm64/v8", "linux/arm64"), Some(0));
        assert!(suits("linux/arm/v7", "linux/arm64") < suits("linux/arm/v6", "linux/arm64"));
        assert!(suits("linux/arm64", "linux/arm64") < suits("linux/arm/v7", "linux/arm64"));
        assert_eq!(suits("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(suits("linux/arm64", "linux/arm"), None);
        assert_eq!(suits("linux/amd64/v3", "linux/amd64"), None);
        assert_eq!(suits("linux/amd64", "linux/amd64/v3"), Some(2));
        assert_eq!(suits("linux/386", "linux/amd64"), Some(10));
        assert_eq!(suits("windows/amd64", "linux/amd64"), None);
        assert_eq!(suits("linux/riscv64", "linux/riscv64"), Some(0));
    }
}
