//! A bundle's `config.json`: what is read is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::runtime_spec::Spec;

fuzz_target!(|data: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<Spec>(data) else { return };
    let json = serde_json::to_vec(&spec).expect("a configuration is written");
    let again: Spec = serde_json::from_slice(&json).expect("what was written is read");
    assert_eq!(serde_json::to_vec(&again).expect("a configuration is written"), json);
});
