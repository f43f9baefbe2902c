//! From text to words.

use crate::{Result, TemplateError};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Text(String),
    /// `{{` and `}}`.
    Open,
    Close,
    /// `.`, `.a`, and a further `.b` right behind something.
    Dot,
    Field(String),
    Chain(String),
    /// `$`, `$name`.
    Variable(String),
    /// A function or a keyword.
    Word(String),
    String(String),
    Number(String),
    Pipe,
    Declare,
    Assign,
    Comma,
    LeftParen,
    RightParen,
}

/// Cuts a template into words.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while !rest.is_empty() || tokens.is_empty() {
        let (before, action) = match rest.split_once("{{") {
            Some((before, action)) => (before, Some(action)),
            None => (rest, None),
        };
        let mut before = if trim { before.trim_start() } else { before };
        let trims_before = action.is_some_and(|action| action.starts_with('-') && begins_with_space(&action[1..]));
        if trims_before {
            before = before.trim_end();
        }
        if !before.is_empty() {
            tokens.push(Token::Text(before.replace("\\n", "\n").replace("\\t", "\t")));
        }
        let Some(action) = action else { break };
        let action = if trims_before { &action[1..] } else { action };
        (rest, trim) = lex_action(action, &mut tokens)?;
    }
    Ok(tokens)
}

fn begins_with_space(text: &str) -> bool {
    text.starts_with(char::is_whitespace)
}

/// One action up to its `}}`. Gives what follows, and whether the space there is to be trimmed.
fn lex_action<'a>(action: &'a str, tokens: &mut Vec<Token>) -> Result<(&'a str, bool)> {
    let comment = action.trim_start();
    if let Some(comment) = comment.strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").ok_or_else(|| TemplateError::new("a comment has no end"))?;
        let after = after.trim_start();
        if let Some(rest) = after.strip_prefix("-}}") {
            return Ok((rest, true));
        }
        let rest = after.strip_prefix("}}").ok_or_else(|| TemplateError::new("a comment has an action to itself"))?;
        return Ok((rest, false));
    }
    tokens.push(Token::Open);
    let mut rest = action;
    loop {
        let spaced = begins_with_space(rest);
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("}}") {
            tokens.push(Token::Close);
            return Ok((after, false));
        }
        if let Some(after) = rest.strip_prefix("-}}").filter(|_| spaced) {
            tokens.push(Token::Close);
            return Ok((after, true));
        }
        let behind = tokens.last().is_some_and(|last| {
            matches!(last, Token::Field(_) | Token::Chain(_) | Token::Variable(_) | Token::RightParen)
        });
        rest = lex_word(rest, tokens)?;
        if behind && !spaced {
            if let Some(Token::Field(name)) = tokens.last_mut() {
                let name = std::mem::take(name);
                tokens.pop();
                tokens.push(Token::Chain(name));
            }
        }
    }
}

fn lex_word<'a>(rest: &'a str, tokens: &mut Vec<Token>) -> Result<&'a str> {
    let first = rest.chars().next().ok_or_else(|| TemplateError::new("an action has no end: \"}}\" is missing"))?;
    let name = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut take = |len: usize, token: Token| {
        tokens.push(token);
        Ok(&rest[len..])
    };
    match first {
        '|' => take(1, Token::Pipe),
        ',' => take(1, Token::Comma),
        '(' => take(1, Token::LeftParen),
        ')' => take(1, Token::RightParen),
        ':' if rest.starts_with(":=") => take(2, Token::Declare),
        '=' => take(1, Token::Assign),
        '"' => {
            let end = end_of_string(rest)?;
            // JSON's escapes are Go's, but for a few that nobody types on a command line.
            let text = serde_json::from_str(&rest[..end]);
            take(end, Token::String(text.map_err(|_| TemplateError::new(format!("bad string {}", &rest[..end])))?))
        }
        '`' => {
            let end = rest[1..].find('`').ok_or_else(|| TemplateError::new("a string has no end"))?;
            take(end + 2, Token::String(rest[1..=end].to_owned()))
        }
        '.' => match name(&rest[1..]) {
            0 => take(1, Token::Dot),
            len => take(len + 1, Token::Field(rest[1..=len].to_owned())),
        },
        '$' => {
            let len = name(&rest[1..]);
            take(len + 1, Token::Variable(rest[1..=len].to_owned()))
        }
        '0'..='9' | '-' | '+' => {
            let len = 1 + rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len() - 1);
            take(len, Token::Number(rest[..len].to_owned()))
        }
        c if c.is_alphabetic() || c == '_' => {
            let len = name(rest);
            take(len, Token::Word(rest[..len].to_owned()))
        }
        other => Err(TemplateError::new(format!("unexpected {other:?} in an action"))),
    }
}

/// Behind the closing quote of a string that begins here.
fn end_of_string(text: &str) -> Result<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(at + 1),
            '\n' => break,
            _ => {}
        }
    }
    Err(TemplateError::new("a string has no end"))
}
