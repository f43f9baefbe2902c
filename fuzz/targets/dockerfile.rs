//! Dockerfiles and ignore files as strangers write them: read or refused, every place inside the file, and no word that
//! runs away when its variables are put in.

#![no_main]

use dockerfile::{Dockerfile, Expander, Ignore, matches_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.lines().count().max(1);
    match Dockerfile::parse(text) {
        Ok(file) => {
            let instructions = file.stages.iter().flat_map(|stage| &stage.instructions);
            assert!(instructions.map(|i| i.span).all(|span| span.first <= span.last && span.last <= lines));
            file.warnings();
        }
        Err(error) => drop((error.excerpt("Dockerfile", text), error.to_string())),
    }
    let value = |name: &str| (name.len() < 3).then(|| text.chars().take(64).collect::<String>());
    let _ = Expander::new('\\', &value).word(text);
    let _ = Expander::new('`', &value).content(text);
    let _ = matches_path(text, "a/b");
    if let Ok(ignore) = Ignore::parse(text) {
        // A directory that is passed over hides nothing that an exception brings back.
        assert!(!ignore.skips_directory("a") || ignore.excludes("a/b"));
    }
});
