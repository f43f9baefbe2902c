//! What a registry or an archive says about an image: what is read is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{ImageConfig, Index, Manifest, Platform, change, docker_archive};

fuzz_target!(|data: &[u8]| {
    if let Ok(index) = Index::parse(data) {
        let json = serde_json::to_vec(&index).expect("an index is written");
        let again = Index::parse(&json).expect("what was written is read");
        assert_eq!(serde_json::to_vec(&again).expect("an index is written"), json);
        index.select(&Platform::host());
    }
    if let Ok(manifest) = Manifest::parse(data) {
        let json = serde_json::to_vec(&manifest).expect("a manifest is written");
        let again = Manifest::parse(&json).expect("what was written is read");
        assert_eq!(serde_json::to_vec(&again).expect("a manifest is written"), json);
    }
    if let Ok(mut config) = ImageConfig::parse(data) {
        let json = config.to_json();
        let again = ImageConfig::parse(&json).expect("what was written is read");
        assert_eq!(again.to_json(), json);
        if let Some(history) = config.history.first().map(|step| step.created_by.clone()) {
            let _ = change::apply(&mut config.config, &history);
        }
    }
    let _ = docker_archive::parse(data);
});
