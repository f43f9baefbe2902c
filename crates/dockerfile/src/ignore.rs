//! `.dockerignore`: which paths of a build context are left out.

use crate::LIMIT;
use crate::pattern::{Token, path_tokens, whole};

/// The rules of an ignore file, in order: the last that matches a path decides.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    keep: bool,
    tokens: Vec<Token>,
}

/// The names an ignore file may have beside a Dockerfile, the one that wins first.
pub fn ignore_names(dockerfile: &str) -> [String; 2] {
    [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()]
}

impl Ignore {
    /// Reads an ignore file: a pattern a line, `#` comments, `!` for exceptions. The error says which line is malformed.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.len() > LIMIT {
            return Err(format!("an ignore file holds at most {LIMIT} bytes"));
        }
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let mut rules = Vec::new();
        for (index, line) in source.lines().enumerate() {
            if !line.starts_with('#') {
                rules.extend(Rule::parse(line).map_err(|fault| format!("line {}: {fault}", index + 1))?);
            }
        }
        Ok(Self { rules })
    }

    /// The same from patterns given one by one, as `--exclude` does.
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let rules: Result<Vec<_>, _> = patterns.into_iter().map(Rule::parse).collect();
        Ok(Self { rules: rules?.into_iter().flatten().collect() })
    }

    /// Whether a path (relative, `/` between names) is left out: by itself, or with a directory above it.
    pub fn excludes(&self, path: &str) -> bool {
        self.rules.iter().fold(false, |out, rule| if rule.covers(path) { !rule.keep } else { out })
    }

    /// Whether a walk may pass over this directory: it is left out and no exception can reach below it.
    pub fn skips_directory(&self, path: &str) -> bool {
        self.excludes(path) && !self.rules.iter().any(|rule| rule.keep && rule.reaches_below(path))
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Option<Self>, String> {
        let line = line.trim();
        let (keep, pattern) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
        if keep && pattern.is_empty() {
            return Err("an exception \"!\" names no pattern".to_owned());
        }
        let pattern = clean(pattern);
        if pattern.is_empty() {
            return Ok(None);
        }
        let mut tokens = path_tokens(&pattern, true)?;
        // "**/name" is also a name at the top: the separator after a leading "**" is part of what "**" takes.
        tokens = fold_deep(&tokens);
        Ok(Some(Self { keep, tokens }))
    }

    fn covers(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| self.matches(&path[..end]))
    }

    fn matches(&self, path: &str) -> bool {
        whole(&self.tokens, path) || self.tokens.first() == Some(&Token::Deep) && self.matches_top(path)
    }

    fn matches_top(&self, path: &str) -> bool {
        matches!(self.tokens.get(1), Some(Token::Literal('/'))) && whole(&self.tokens[2..], path)
    }

    /// Whether a path under `directory` can match. Only a literal beginning is looked at, so it errs towards walking.
    fn reaches_below(&self, directory: &str) -> bool {
        let literal: String = self.tokens.iter().map_while(Token::literal).collect();
        let below = format!("{directory}/");
        literal.starts_with(&below) || below.starts_with(&literal) && literal.chars().count() < self.tokens.len()
    }
}

impl Token {
    fn literal(&self) -> Option<char> {
        match self {
            Self::Literal(c) => Some(*c),
            _ => None,
        }
    }
}

/// `a/**` matches what is below `a`; repeated `**` are one.
fn fold_deep(tokens: &[Token]) -> Vec<Token> {
    let mut folded: Vec<Token> = Vec::new();
    for token in tokens {
        if *token != Token::Deep || folded.last() != Some(&Token::Deep) {
            folded.push(token.clone());
        }
    }
    folded
}

/// The pattern without empty and `.` parts, with `..` taken back, and without a slash at either end.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(rules: &str, path: &str) -> bool {
        Ignore::parse(rules).unwrap().excludes(path)
    }

    #[test]
    fn the_last_matching_rule_decides() {
        assert!(excluded("*.md\n!README.md", "a.md"));
        assert!(!excluded("*.md\n!README.md", "README.md"));
        assert!(excluded("!README.md\n*.md", "README.md"));
    }

    #[test]
    fn a_rule_covers_what_is_below() {
        assert!(excluded("/node_modules/", "node_modules/a/b"));
        assert!(!excluded("node_modules", "src/node_modules"));
        assert!(!excluded("*/temp*", "temp"));
        assert!(excluded("*/temp*", "a/temporary/file"));
    }

    #[test]
    fn two_stars_cross_separators() {
        assert!(excluded("**/*.o", "a.o"));
        assert!(excluded("**/*.o", "a/b/c.o"));
        assert!(excluded("a/**", "a/b/c"));
        assert!(!excluded("a/**", "a"));
    }

    #[test]
    fn comments_marks_and_spaces() {
        assert!(!excluded("\u{feff}# a\n\n", "# a"));
        assert!(excluded("\u{feff}  a  \r\n", "a"));
        assert!(excluded("./x/../a", "a"));
        assert!(Ignore::parse("!").is_err());
        assert_eq!(Ignore::parse("ok\n[a").unwrap_err(), "line 2: malformed pattern \"[a\"");
    }

    #[test]
    fn a_directory_is_skipped_unless_an_exception_reaches_it() {
        let ignore = Ignore::parse("a\n!a/keep\nb").unwrap();
        assert!(!ignore.skips_directory("a"));
        assert!(ignore.skips_directory("b"));
        assert!(ignore.skips_directory("a/other"));
        assert!(!Ignore::parse("*\n!**/x").unwrap().skips_directory("a"));
    }
}
