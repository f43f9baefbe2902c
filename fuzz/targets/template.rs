//! Templates of `--format`: whatever is read is filled in, or refused in words, in time and space that have limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use template::Template;

fuzz_target!(|text: &str| {
    let data = serde_json::json!({
        "Name": "web", "Count": 3, "Up": true, "None": null, "List": ["a", "b"], "Map": {"k": {"v": 1}},
    });
    if let Ok(template) = Template::parse(text) {
        let _ = template.render(&data);
    }
});
