//! Patterns over paths and over text. Both run in time proportional to pattern times text, whatever the pattern.

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Literal(char),
    /// Any one character; never a separator in a path.
    One,
    /// Any characters; never a separator in a path.
    Many,
    /// `**`: any characters, separators too.
    Deep,
    /// `[a-z]`, `[^a-z]`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Whether the whole path matches a COPY source pattern: `*`, `?`, `[…]` and escapes, none across a `/`.
/// A malformed pattern is an error in words.
pub fn matches_path(pattern: &str, path: &str) -> Result<bool, String> {
    Ok(whole(&path_tokens(pattern, false)?, path))
}

/// The steps of a path pattern; with `deep`, `**` crosses separators.
pub(crate) fn path_tokens(pattern: &str, deep: bool) -> Result<Vec<Token>, String> {
    let malformed = || format!("malformed pattern {pattern:?}");
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' if deep && chars.next_if_eq(&'*').is_some() => Token::Deep,
            '*' => Token::Many,
            '?' => Token::One,
            '[' => class(&mut chars).ok_or_else(malformed)?,
            '\\' => Token::Literal(chars.next().ok_or_else(malformed)?),
            _ => Token::Literal(c),
        });
    }
    Ok(tokens)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '\\' => chars.next(),
        '-' | ']' => None,
        c => Some(c),
    }
}

impl Token {
    fn takes(&self, c: char, paths: bool) -> bool {
        match self {
            Self::Literal(l) => *l == c,
            Self::One | Self::Many => !paths || c != '/',
            Self::Deep => true,
            Self::Class { negated, ranges } => {
                (!paths || c != '/') && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }

    fn repeats(&self) -> bool {
        matches!(self, Self::Many | Self::Deep)
    }
}

/// Whether the tokens match all of a path.
pub(crate) fn whole(tokens: &[Token], path: &str) -> bool {
    let mut set = States::new(tokens, true);
    for c in path.chars() {
        set.step(c);
        if set.dead() {
            return false;
        }
    }
    set.accepts()
}

/// The positions in a pattern that a text read so far can stand at.
pub(crate) struct States<'a> {
    tokens: &'a [Token],
    at: Vec<bool>,
    paths: bool,
}

impl<'a> States<'a> {
    pub(crate) fn new(tokens: &'a [Token], paths: bool) -> Self {
        let mut states = Self { tokens, at: vec![false; tokens.len() + 1], paths };
        states.at[0] = true;
        states.skip_repeats();
        states
    }

    pub(crate) fn step(&mut self, c: char) {
        let mut next = vec![false; self.at.len()];
        for (index, token) in self.tokens.iter().enumerate() {
            if self.at[index] && token.takes(c, self.paths) {
                next[if token.repeats() { index } else { index + 1 }] = true;
            }
        }
        self.at = next;
        self.skip_repeats();
    }

    fn skip_repeats(&mut self) {
        for (index, token) in self.tokens.iter().enumerate() {
            if self.at[index] && token.repeats() {
                self.at[index + 1] = true;
            }
        }
    }

    pub(crate) fn dead(&self) -> bool {
        !self.at.contains(&true)
    }

    pub(crate) fn accepts(&self) -> bool {
        self.at.last() == Some(&true)
    }
}
