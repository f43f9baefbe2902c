//! How the text after a keyword is cut into words, flags, pairs and here-document marks.

use crate::instruction::Heredoc;

/// Words at white space; quotes and escapes keep their characters and hold white space together.
pub(crate) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c.is_whitespace() && quote.is_none() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && (c == '\'' || c == '"') {
            quote = Some(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The `--flags` at the start, quotes and escapes taken off, and the text that follows them.
pub(crate) fn flags(text: &str) -> (Vec<String>, &str) {
    let mut rest = text.trim_start();
    let mut flags = Vec::new();
    while rest.starts_with("--") {
        let (flag, after) = flag(rest);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    (flags, rest.trim_end())
}

fn flag(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && (c == '\'' || c == '"') {
            quote = Some(c);
        } else if quote.is_none() && c.is_whitespace() {
            return (word, &text[at..]);
        } else if c == '\\' {
            word.extend(chars.next().map(|(_, next)| next));
        } else {
            word.push(c);
        }
    }
    (word, "")
}

/// The here-documents a line announces, in order and still empty.
pub(crate) fn heredocs(text: &str, escape: char) -> Vec<Heredoc> {
    split(text, escape).iter().filter_map(|word| heredoc(word)).collect()
}

/// A word of the form `[fd]<<[-]NAME`; a quoted name keeps its content from being expanded.
pub(crate) fn heredoc(word: &str) -> Option<Heredoc> {
    let mark = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (mark, strip_tabs) = mark.strip_prefix('-').map_or((mark, false), |rest| (rest, true));
    let name: String = mark.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect();
    let plain = !name.is_empty() && !name.contains(['<', '>']);
    plain.then(|| Heredoc { expand: name.len() == mark.len(), name, strip_tabs, content: String::new() })
}
