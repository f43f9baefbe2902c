//! From bytes to logical lines: directives, comments, continuations and here-documents.

use crate::instruction::Heredoc;
use crate::words;
use crate::{LIMIT, ParseError, Span};

/// The parser directives at the top of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The frontend the author asks for; accepted and not fetched.
    pub syntax: Option<String>,
    /// The escape character: `\` or a backtick.
    pub escape: char,
    /// The checks to skip or to treat as errors, as written.
    pub check: Option<String>,
}

/// One instruction's text with its continuations joined.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) span: Span,
    pub(crate) heredocs: Vec<Heredoc>,
}

/// Splits a file into its directives and its instructions.
pub(crate) fn split(source: &str) -> Result<(Directives, Vec<Line>), ParseError> {
    if source.len() > LIMIT {
        return Err(ParseError::new(Span::default(), format!("a Dockerfile holds at most {LIMIT} bytes")));
    }
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let raw: Vec<&str> = source.split_inclusive('\n').collect();
    let directives = directives(&raw)?;
    let mut reader = Reader { raw: &raw, next: 0, escape: directives.escape };
    let mut lines = Vec::new();
    while let Some(line) = reader.line()? {
        lines.push(line);
    }
    Ok((directives, lines))
}

fn directives(raw: &[&str]) -> Result<Directives, ParseError> {
    let mut found = Directives { syntax: None, escape: '\\', check: None };
    let mut seen = Vec::new();
    for (index, line) in raw.iter().enumerate() {
        let Some((key, value)) = directive(line) else { break };
        let span = Span { first: index + 1, last: index + 1, column: 1 };
        if seen.contains(&key) {
            return Err(ParseError::new(span, format!("only one {key} parser directive can be used")));
        }
        match key.as_str() {
            "syntax" => found.syntax = Some(value.to_owned()),
            "check" => found.check = Some(value.to_owned()),
            _ => found.escape = escape_character(value).ok_or_else(|| invalid_escape(span, value))?,
        }
        seen.push(key);
    }
    Ok(found)
}

fn escape_character(value: &str) -> Option<char> {
    match value {
        "\\" => Some('\\'),
        "`" => Some('`'),
        _ => None,
    }
}

fn invalid_escape(span: Span, value: &str) -> ParseError {
    ParseError::new(span, format!("invalid escape character {value:?}: must be ` or \\"))
}

/// A comment that is a known directive; keys in any case.
fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let key = key.trim().to_ascii_lowercase();
    let known = matches!(key.as_str(), "syntax" | "escape" | "check");
    (known && !value.trim().is_empty()).then(|| (key, value.trim()))
}

struct Reader<'a> {
    raw: &'a [&'a str],
    next: usize,
    escape: char,
}

impl<'a> Reader<'a> {
    fn raw_line(&mut self) -> Option<&'a str> {
        let line = self.raw.get(self.next)?;
        self.next += 1;
        Some(line)
    }

    fn line(&mut self) -> Result<Option<Line>, ParseError> {
        while let Some(raw) = self.raw_line() {
            let first = self.next;
            let line = raw.trim_end_matches(['\r', '\n']);
            let start = line.trim_start();
            let column = line.chars().count() - start.chars().count() + 1;
            if start.starts_with('#') {
                continue;
            }
            let (part, more) = self.continuation(start);
            if part.is_empty() && !more {
                continue;
            }
            let mut text = part.to_owned();
            if more {
                self.continued(&mut text);
            }
            if text.trim().is_empty() {
                continue;
            }
            let mut span = Span { first, last: self.next, column };
            let heredocs = self.heredocs(&text, span)?;
            span.last = self.next;
            return Ok(Some(Line { text, span, heredocs }));
        }
        Ok(None)
    }

    /// The lines that follow an escaped end of line; comments and empty lines among them do not end the instruction.
    fn continued(&mut self, text: &mut String) {
        while let Some(raw) = self.raw_line() {
            let line = raw.trim_end_matches(['\r', '\n']);
            let start = line.trim_start();
            if start.is_empty() || start.starts_with('#') {
                continue;
            }
            let (part, more) = self.continuation(line);
            text.push_str(part);
            if !more {
                return;
            }
        }
    }

    /// The line without its escaped end, and whether it has one. A doubled escape character ends nothing.
    fn continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        match line.trim_end_matches([' ', '\t']).strip_suffix(self.escape) {
            Some(part) if !part.ends_with(self.escape) => (part, true),
            _ => (line, false),
        }
    }

    fn heredocs(&mut self, text: &str, span: Span) -> Result<Vec<Heredoc>, ParseError> {
        if !may_hold_heredocs(text) {
            return Ok(Vec::new());
        }
        let mut heredocs = words::heredocs(text, self.escape);
        for heredoc in &mut heredocs {
            self.content(heredoc, span)?;
        }
        Ok(heredocs)
    }

    fn content(&mut self, heredoc: &mut Heredoc, span: Span) -> Result<(), ParseError> {
        while let Some(raw) = self.raw_line() {
            let line = if heredoc.strip_tabs { raw.trim_start_matches('\t') } else { raw };
            if line.trim_end_matches(['\r', '\n']) == heredoc.name {
                return Ok(());
            }
            heredoc.content.push_str(line);
        }
        Err(ParseError::new(span, format!("unterminated here-document {:?}", heredoc.name)))
    }
}

/// Whether the instruction, or the one its ONBUILD defers, takes here-documents.
fn may_hold_heredocs(text: &str) -> bool {
    let keyword = |word: &&str| ["ADD", "COPY", "RUN"].iter().any(|known| word.eq_ignore_ascii_case(known));
    let mut words = text.split_whitespace().skip_while(|word| word.eq_ignore_ascii_case("ONBUILD"));
    text.contains("<<") && words.next().is_some_and(|word| keyword(&word))
}
