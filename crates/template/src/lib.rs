//! Go's templates (`text/template`), as `--format` takes them, over JSON.
//!
//! The language is Go's: actions between `{{` and `}}`, trim markers, pipelines, variables, `if`, `range`, `with`. The data is
//! a JSON document; a field that it has not is no value, which is false and printed as Go prints it, but for a field of the
//! document itself, which is an error: most likely it is misspelt. The functions are Go's own and Docker's.

mod eval;
mod functions;
mod lex;
mod parse;
mod print;

use std::fmt;

use serde_json::Value;

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

/// Why a template cannot be read or filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "template: {}", self.0)
    }
}

impl std::error::Error for TemplateError {}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

type Result<T> = std::result::Result<T, TemplateError>;

/// The longest template, in bytes, and how deep its parts may stand in each other.
const MAX_BYTES: usize = 64 << 10;
const MAX_DEPTH: usize = 64;

/// The longest output and the longest text on the way to it, in bytes, and the most parts that are filled in, each round of a
/// `range` anew: whoever writes the template may be somebody else than whoever fills it in.
const MAX_OUTPUT: usize = 16 << 20;
const MAX_STEPS: usize = 1_000_000;

impl Template {
    /// Reads a template. `\n` and `\t` outside of actions are a newline and a tab, as on Docker's command line.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(TemplateError::new(format!("it has more than {MAX_BYTES} bytes")));
        }
        parse::parse(&lex::lex(text)?).map(|nodes| Self { nodes })
    }

    /// Fills it in.
    pub fn render(&self, data: &Value) -> Result<String> {
        eval::render(&self.nodes, data)
    }
}

#[cfg(test)]
mod tests;
