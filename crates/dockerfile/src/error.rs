//! Where something stands in a Dockerfile, and what is wrong there.

use std::fmt;

/// Lines of a Dockerfile, counted from 1, and the column of the first character, counted from 1 in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The line an instruction begins on.
    pub first: usize,
    /// The last line that belongs to it, continuations and here-documents included.
    pub last: usize,
    /// Where its keyword begins on the first line.
    pub column: usize,
}

/// What is wrong with a Dockerfile, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The lines it is about.
    pub span: Span,
    /// What is wrong, in words.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// The lines around the fault as a reader sees them, the faulty ones marked; `name` is what the file is called.
    pub fn excerpt(&self, name: &str, source: &str) -> String {
        let rule = "-".repeat(20);
        let mut out = format!("{name}:{}\n{rule}\n", self.span.first);
        let around = self.span.first.saturating_sub(2)..self.span.last.saturating_add(2);
        for (index, line) in source.lines().enumerate().skip(around.start).take(around.len()) {
            let number = index + 1;
            let mark = if (self.span.first..=self.span.last).contains(&number) { ">>>" } else { "   " };
            out.push_str(format!("{number:4} | {mark} {line}").trim_end());
            out.push('\n');
        }
        out.push_str(&rule);
        out.push('\n');
        out
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dockerfile line {}, column {}: {}", self.span.first, self.span.column, self.message)
    }
}

impl std::error::Error for ParseError {}

/// The candidate nearest to `word` as a suggestion in brackets; empty when none is near.
pub(crate) fn suggestion(word: &str, candidates: &[&str]) -> String {
    let near = candidates.iter().map(|candidate| (distance(word, candidate), candidate)).min();
    match near {
        Some((steps, candidate)) if steps <= 2 && steps < candidate.len() => format!(" (did you mean {candidate}?)"),
        _ => String::new(),
    }
}

/// How many single letters must change to make one word the other; letters in another order are one change, and long
/// words are never near.
fn distance(left: &str, right: &str) -> usize {
    if left.len() > 64 {
        return usize::MAX;
    }
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    if sorted(left.chars().flat_map(char::to_lowercase)) == sorted(right.iter().copied()) {
        return 1;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, l) in left.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, r) in right.iter().enumerate() {
            let changed = diagonal + usize::from(l != *r);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

fn sorted(letters: impl Iterator<Item = char>) -> Vec<char> {
    let mut letters: Vec<char> = letters.collect();
    letters.sort_unstable();
    letters
}
