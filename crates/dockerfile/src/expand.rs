//! Variables in words: every substitution of the reference, quotes and escapes, and which names were asked for.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use crate::pattern::{States, Token};

/// How deep substitutions nest.
const DEPTH: usize = 64;
/// How long a text may become, in bytes.
const LENGTH: usize = 1 << 20;
/// How many steps matching patterns may take in one word: pattern tokens times characters.
const STEPS: usize = 20_000_000;

/// Expands words with the variables of one instruction.
pub struct Expander<'a> {
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

/// A word after expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// The text cut into words where white space stood outside quotes.
    pub words: Vec<String>,
    /// The names that were looked up and found.
    pub used: BTreeSet<String>,
    /// The names that were looked up and are not set.
    pub unset: BTreeSet<String>,
}

impl<'a> Expander<'a> {
    /// An expander over an escape character and the variables that are set.
    pub fn new(escape: char, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { escape, lookup }
    }

    /// Expands one argument: quotes are taken off, escapes too. The error says which substitution is wrong.
    pub fn word(&self, text: &str) -> Result<Expanded, String> {
        self.run(text, false)
    }

    /// Expands a here-document's content: quotes stay, an escape counts before `$` only.
    pub fn content(&self, text: &str) -> Result<Expanded, String> {
        self.run(text, true)
    }

    fn run(&self, text: &str, content: bool) -> Result<Expanded, String> {
        let mut run = Run {
            expander: self,
            chars: text.chars().peekable(),
            content,
            depth: 0,
            steps: 0,
            out: Expanded::default(),
        };
        let pieces = run.until(None, false)?;
        let mut out = run.out;
        out.words = cut(&pieces);
        out.text = pieces.into_iter().map(|(c, _)| c).collect();
        Ok(out)
    }
}

/// Characters, each with whether white space cuts there.
type Pieces = Vec<(char, bool)>;

fn cut(pieces: &Pieces) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    for (c, cuts) in pieces {
        if *cuts && c.is_whitespace() {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push(*c);
        }
    }
    words.extend(word);
    words
}

struct Run<'a, 'b> {
    expander: &'a Expander<'b>,
    chars: Peekable<Chars<'a>>,
    content: bool,
    depth: usize,
    steps: usize,
    out: Expanded,
}

impl Run<'_, '_> {
    /// Reads to the stop character, or to the end when there is none. A pattern keeps its escapes.
    fn until(&mut self, stop: Option<char>, pattern: bool) -> Result<Pieces, String> {
        let mut out = Pieces::new();
        while let Some(c) = self.chars.next() {
            if out.len() > LENGTH {
                return Err(format!("an expanded text holds at most {LENGTH} characters"));
            }
            match c {
                _ if Some(c) == stop => return Ok(out),
                '$' => {
                    let value = self.dollar()?;
                    out.extend(value.chars().map(|c| (c, true)));
                }
                '\'' if !self.content => self.single(&mut out)?,
                '"' if !self.content => self.double(&mut out)?,
                _ if c == self.expander.escape => self.escaped(&mut out, pattern),
                _ => out.push((c, true)),
            }
        }
        match stop {
            Some(stop) => Err(format!("syntax error: missing {stop:?} in substitution")),
            None => Ok(out),
        }
    }

    fn escaped(&mut self, out: &mut Pieces, pattern: bool) {
        if pattern || self.content && self.chars.peek() != Some(&'$') {
            out.push((self.expander.escape, false));
        }
        if !self.content || pattern || self.chars.peek() == Some(&'$') {
            out.extend(self.chars.next().map(|c| (c, false)));
        }
    }

    fn single(&mut self, out: &mut Pieces) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => out.push((c, false)),
                None => return Err("unexpected end of statement while looking for matching single-quote".to_owned()),
            }
        }
    }

    fn double(&mut self, out: &mut Pieces) -> Result<(), String> {
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('$') => {
                    let value = self.dollar()?;
                    out.extend(value.chars().map(|c| (c, false)));
                }
                Some(c) if c == self.expander.escape => {
                    match self.chars.next_if(|next| matches!(next, '"' | '$') || *next == c) {
                        Some(next) => out.push((next, false)),
                        None => out.push((c, false)),
                    }
                }
                Some(c) => out.push((c, false)),
                None => return Err("unexpected end of statement while looking for matching double-quote".to_owned()),
            }
        }
    }

    fn dollar(&mut self) -> Result<String, String> {
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braces();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(self.lookup(&name).unwrap_or_default())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_ascii_alphabetic() || *c == '_' => {}
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.chars.next_if(char::is_ascii_digit) {
                    name.push(c);
                }
                return name;
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                name.extend(self.chars.next());
                return name;
            }
            _ => return name,
        }
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    fn lookup(&mut self, name: &str) -> Option<String> {
        let value = (self.expander.lookup)(name);
        let seen = if value.is_some() { &mut self.out.used } else { &mut self.out.unset };
        seen.insert(name.to_owned());
        value
    }

    fn braces(&mut self) -> Result<String, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("substitutions nest at most {DEPTH} deep"));
        }
        let name = self.name();
        if name.is_empty() {
            return Err("syntax error: bad substitution".to_owned());
        }
        let value = match self.chars.next() {
            Some('}') => Ok(self.lookup(&name).unwrap_or_default()),
            Some(':') => match self.chars.next() {
                Some(operator @ ('+' | '-' | '?')) => self.choose(&name, operator, true),
                Some(c) => Err(format!("unsupported modifier (:{c}) in substitution")),
                None => Err("syntax error: missing '}' in substitution".to_owned()),
            },
            Some(operator @ ('+' | '-' | '?')) => self.choose(&name, operator, false),
            Some(side @ ('#' | '%')) => self.trim(&name, side),
            Some('/') => self.replace(&name),
            Some(c) => Err(format!("unsupported modifier ({c}) in substitution")),
            None => Err("syntax error: missing '}' in substitution".to_owned()),
        };
        self.depth -= 1;
        value
    }

    fn text(&mut self, stop: char, pattern: bool) -> Result<String, String> {
        Ok(self.until(Some(stop), pattern)?.into_iter().map(|(c, _)| c).collect())
    }

    fn choose(&mut self, name: &str, operator: char, empty_is_unset: bool) -> Result<String, String> {
        let word = self.text('}', false)?;
        // A name with a default is not missed when it is unset.
        let value = (self.expander.lookup)(name);
        if value.is_some() {
            self.out.used.insert(name.to_owned());
        }
        let value = value.filter(|value| !empty_is_unset || !value.is_empty());
        match (operator, value) {
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) if word.is_empty() && empty_is_unset => Err(format!("{name}: not allowed to be empty")),
            (_, None) if word.is_empty() => Err(format!("{name}: not allowed to be unset")),
            (_, None) => Err(format!("{name}: {word}")),
        }
    }

    fn trim(&mut self, name: &str, side: char) -> Result<String, String> {
        let longest = self.chars.next_if_eq(&side).is_some();
        let mut tokens = tokens(&self.text('}', true)?, self.expander.escape);
        let mut value: Vec<char> = self.lookup(name).unwrap_or_default().chars().collect();
        let from_end = side == '%';
        if from_end {
            tokens.reverse();
            value.reverse();
        }
        let length = self.longest(&tokens, &value, !longest)?.unwrap_or(0);
        let mut rest = value.split_off(length);
        if from_end {
            rest.reverse();
        }
        Ok(rest.into_iter().collect())
    }

    fn replace(&mut self, name: &str) -> Result<String, String> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let tokens = tokens(&self.text('/', true)?, self.expander.escape);
        let replacement = self.text('}', false)?;
        let value: Vec<char> = self.lookup(name).unwrap_or_default().chars().collect();
        let mut out = String::new();
        let mut at = 0;
        let mut replaced = false;
        while at < value.len() {
            let matched = if replaced && !all { None } else { self.longest(&tokens, &value[at..], false)? };
            match matched.filter(|length| *length > 0) {
                Some(length) => {
                    out.push_str(&replacement);
                    at += length;
                    replaced = true;
                }
                None => {
                    out.push(value[at]);
                    at += 1;
                }
            }
            if out.len() > LENGTH {
                return Err(format!("an expanded text holds at most {LENGTH} characters"));
            }
        }
        Ok(out)
    }

    /// How much of the beginning of a text the pattern matches: the most, or the least.
    fn longest(&mut self, tokens: &[Token], text: &[char], least: bool) -> Result<Option<usize>, String> {
        let mut states = States::new(tokens, false);
        let mut found = states.accepts().then_some(0);
        for (index, c) in text.iter().enumerate() {
            if found.is_some() && least {
                break;
            }
            self.steps += tokens.len() + 1;
            if self.steps > STEPS {
                return Err("a pattern takes too many steps".to_owned());
            }
            states.step(*c);
            if states.dead() {
                break;
            }
            if states.accepts() {
                found = Some(index + 1);
            }
        }
        Ok(found)
    }
}

/// The steps of a shell pattern: `*`, `?`, escapes; everything else is itself.
fn tokens(pattern: &str, escape: char) -> Vec<Token> {
    let mut chars = pattern.chars();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Many,
            '?' => Token::One,
            _ if c == escape => Token::Literal(chars.next().unwrap_or(escape)),
            _ => Token::Literal(c),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str) -> Option<String> {
        let value = match name {
            "s" => "foobarbaz",
            "e" => "",
            "v" => "value",
            "w" => "two words",
            "g" => "a*b*c",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn every_form_of_the_reference() {
        let cases = [
            ("$v", "value"),
            ("${v}_x", "value_x"),
            ("$u", ""),
            ("${e:-w}|${u:-w}|${v:-w}", "w|w|value"),
            ("${e-w}|${u-w}|${v-w}", "|w|value"),
            ("${e:+w}|${u:+w}|${v:+w}", "||w"),
            ("${e+w}|${u+w}|${v+w}", "w||w"),
            ("${v:?no}|${e?no}", "value|"),
            ("${s#f*b}|${s##f*b}", "arbaz|az"),
            ("${s%b*}|${s%%b*}", "foobar|foo"),
            ("${s/ba/fo}|${s//ba/fo}", "fooforbaz|fooforfoz"),
            ("${s//b?/}", "foorz"),
            ("${g#a\\*}|${g//\\*/-}", "b*c|a-b-c"),
            ("${s#x}|${s%x}|${s/x/y}", "foobarbaz|foobarbaz|foobarbaz"),
            ("${u:-${e:-${v}}}", "value"),
            ("${u:-'}'}", "}"),
            ("\\$v \\${v}", "$v ${v}"),
            ("'$v' \"$v\" \"\\$v\" \"a\\b\"", "$v value $v a\\b"),
            ("$ a$", "$ a$"),
            ("a\\", "a"),
            ("é$v", "évalue"),
        ];
        for (text, expected) in cases {
            assert_eq!(Expander::new('\\', &set).word(text).map(|e| e.text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn faults_are_named() {
        let cases = [
            ("${v", "syntax error: missing '}' in substitution"),
            ("${}", "syntax error: bad substitution"),
            ("${v:x}", "unsupported modifier (:x) in substitution"),
            ("${v^}", "unsupported modifier (^) in substitution"),
            ("${e:?}", "e: not allowed to be empty"),
            ("${u?}", "u: not allowed to be unset"),
            ("${u?say why}", "u: say why"),
            ("'a", "unexpected end of statement while looking for matching single-quote"),
            ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ];
        for (text, expected) in cases {
            assert_eq!(Expander::new('\\', &set).word(text), Err(expected.to_owned()), "{text}");
        }
        let deep = "${u:-".repeat(100);
        assert_eq!(Expander::new('\\', &set).word(&deep), Err("substitutions nest at most 64 deep".to_owned()));
    }

    #[test]
    fn words_are_cut_outside_quotes() {
        let words = |text| Expander::new('\\', &set).word(text).unwrap().words;
        assert_eq!(words("$w \"$w\" a\\ b ''"), ["two", "words", "two words", "a b"]);
        assert_eq!(words("  "), Vec::<String>::new());
    }

    #[test]
    fn names_asked_for_are_told() {
        let expanded = Expander::new('\\', &set).word("$v ${u} ${x:-1}").unwrap();
        assert_eq!(expanded.used.into_iter().collect::<Vec<_>>(), ["v"]);
        assert_eq!(expanded.unset.into_iter().collect::<Vec<_>>(), ["u"]);
    }

    #[test]
    fn content_keeps_its_quotes() {
        let expanded = Expander::new('\\', &set).content("\"$v\" '$v' \\$v \\n").unwrap();
        assert_eq!(expanded.text, "\"value\" 'value' $v \\n");
    }
}
