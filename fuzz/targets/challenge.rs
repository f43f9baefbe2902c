//! The header by which a registry asks for credentials: any text gives some challenges.

#![no_main]

#[path = "../../crates/registry/src/auth/challenge.rs"]
#[allow(dead_code, reason = "the parser alone is wanted")]
mod challenge;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for found in challenge::parse(text) {
        assert!(!found.scheme.is_empty());
        assert!(found.parameters.iter().all(|(name, _)| !name.is_empty() && *name == name.to_ascii_lowercase()));
        // Nothing is made up.
        assert!(found.scheme.len() <= text.len());
    }
});
