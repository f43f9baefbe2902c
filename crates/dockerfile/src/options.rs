//! The `--flags` of an instruction: each known by name, given once, with the value its type wants.

use crate::error::suggestion;

/// Flags as `(name, value)`; a flag without `=` has no value.
pub(crate) struct Options {
    given: Vec<(String, Option<String>)>,
}

impl Options {
    /// Refuses a flag the instruction does not have.
    pub(crate) fn new(words: &[String], known: &[&str]) -> Result<Self, String> {
        let mut given = Vec::new();
        for word in words {
            let body = word.strip_prefix("--").unwrap_or(word);
            let (name, value) = body.split_once('=').map_or((body, None), |(n, v)| (n, Some(v.to_owned())));
            if !known.contains(&name) {
                let near = suggestion(name, known).replace("mean ", "mean --");
                return Err(format!("unknown flag: --{name}{near}"));
            }
            given.push((name.to_owned(), value));
        }
        Ok(Self { given })
    }

    /// The value of a flag that is given at most once.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, String> {
        let mut values = self.many(name)?;
        if values.len() > 1 {
            return Err(format!("duplicate flag specified: --{name}"));
        }
        Ok(values.pop())
    }

    /// The values of a flag that may be repeated.
    pub(crate) fn many(&self, name: &str) -> Result<Vec<String>, String> {
        let values = self.given.iter().filter(|(given, _)| given == name);
        values.map(|(_, value)| value.clone().ok_or_else(|| format!("missing a value on flag: --{name}"))).collect()
    }

    /// A switch: `--name`, `--name=true`, `--name=false`.
    pub(crate) fn switch(&self, name: &str) -> Result<Option<bool>, String> {
        let mut values = self.given.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_deref());
        let first = values.next();
        if values.next().is_some() {
            return Err(format!("duplicate flag specified: --{name}"));
        }
        match first {
            None => Ok(None),
            Some(None | Some("true")) => Ok(Some(true)),
            Some(Some("false")) => Ok(Some(false)),
            Some(Some(other)) => Err(format!("expecting boolean value for flag --{name}, not: {other}")),
        }
    }
}
