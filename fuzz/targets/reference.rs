//! Names of images, as users and archives write them: what is read is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Digest, Platform, Reference};

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse(text) {
        let whole = reference.to_string();
        assert_eq!(Reference::parse(&whole).as_ref(), Ok(&reference), "{whole:?}");
        let familiar = reference.familiar();
        assert_eq!(Reference::parse(&familiar).as_ref(), Ok(&reference), "{familiar:?}");
        // It is put into addresses and into paths of a registry.
        assert!(!reference.path().split('/').any(|part| part.is_empty() || part == "." || part == ".."), "{whole:?}");
        assert!(!whole.contains(|c: char| c.is_whitespace() || c.is_control()), "{whole:?}");
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string().parse(), Ok(platform));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
});
