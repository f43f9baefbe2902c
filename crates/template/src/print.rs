//! Values as Go prints them.

use serde_json::Value;

use crate::{Result, TemplateError};

/// As `{{.}}` prints it: lists in brackets, maps sorted by key.
pub(crate) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let pairs: Vec<String> = keys.iter().map(|key| format!("{key}:{}", print(&map[*key]))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

/// Fields of Docker's documents that are lists or maps in Go: without a value, they print as empty ones.
const LISTS: [&str; 16] = [
    "Binds",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Layers",
    "MaskedPaths",
    "OnBuild",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Shell",
];
const MAPS: [&str; 4] = ["ExposedPorts", "Labels", "Options", "Volumes"];

/// As Go prints a field of this name that is there and has no value.
pub(crate) fn nil(name: &str) -> &'static str {
    if LISTS.contains(&name) {
        "[]"
    } else if MAPS.contains(&name) {
        "map[]"
    } else {
        "<nil>"
    }
}

/// The most characters a field is made wide.
const MAX_WIDTH: usize = 4096;

/// `printf`: `%[flags][width][.precision]verb` with the verbs `v s d q t x X f c`, and `%%`.
pub(crate) fn printf(format: &str, arguments: &[Value]) -> Result<String> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = String::new();
        while let Some(c) = chars.peek().filter(|c| "+-# 0123456789.".contains(**c)) {
            spec.push(*c);
            chars.next();
        }
        match chars.next() {
            Some('%') => out.push('%'),
            None => out.push_str("%!(NOVERB)"),
            Some(verb) => match arguments.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&one(&spec, verb, value)?),
            },
        }
    }
    Ok(out)
}

fn one(spec: &str, verb: char, value: &Value) -> Result<String> {
    let left = spec.contains('-');
    let digits = spec.trim_start_matches(['+', '-', '#', ' ']);
    let zero = digits.starts_with('0') && !left;
    let (width, precision) =
        digits.split_once('.').map_or((digits, None), |(width, precision)| (width, Some(precision)));
    let count = |text: &str| -> Result<usize> {
        let number = if text.is_empty() { Ok(0) } else { text.parse() };
        number.ok().filter(|n| *n <= MAX_WIDTH).ok_or_else(|| TemplateError::new(format!("bad width \"{text}\"")))
    };
    let precision = precision.map(count).transpose()?;
    let wrong = || format!("%!{verb}({})", print(value));
    let text = match verb {
        'v' | 's' => {
            let text = print(value);
            precision.map_or(text.clone(), |precision| text.chars().take(precision).collect())
        }
        'd' => value.as_i64().map(|n| n.to_string()).or(value.as_u64().map(|n| n.to_string())).unwrap_or_else(wrong),
        'q' => value.as_str().map_or_else(wrong, |text| Value::from(text).to_string()),
        't' => value.as_bool().map_or_else(wrong, |is| is.to_string()),
        'x' | 'X' => {
            let text = match value {
                Value::String(text) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
                other => other.as_i64().map_or_else(wrong, |n| format!("{n:x}")),
            };
            if verb == 'X' { text.to_uppercase() } else { text }
        }
        'f' => value.as_f64().map_or_else(wrong, |n| format!("{n:.*}", precision.unwrap_or(6))),
        'c' => {
            let c = value.as_u64().and_then(|n| char::from_u32(n as u32));
            c.map_or_else(wrong, |c| c.to_string())
        }
        _ => wrong(),
    };
    let missing = count(width)?.saturating_sub(text.chars().count());
    Ok(match (left, zero && value.is_number()) {
        (true, _) => text + &" ".repeat(missing),
        (false, true) => "0".repeat(missing) + &text,
        (false, false) => " ".repeat(missing) + &text,
    })
}
