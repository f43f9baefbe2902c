//! The header `WWW-Authenticate` (RFC 9110, section 11.6.1). Pure, and total: any text gives some challenges, maybe none.

/// One way in which a server may be convinced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// As it was written: `Bearer`, `Basic`.
    pub scheme: String,
    /// Names in lower case, in order.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Whether it is this scheme, in whatever case.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The first parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the challenges of one header. What cannot be understood is passed over.
pub fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = Rest(text);
    loop {
        rest.skip(|c| c == ',' || c.is_whitespace());
        if rest.0.is_empty() {
            return challenges;
        }
        let word = rest.take(is_token);
        if word.is_empty() {
            // A stray character: whatever it belongs to is lost, the next item is not.
            rest.item();
            continue;
        }
        let before = rest;
        rest.skip(char::is_whitespace);
        match (rest.0.strip_prefix('='), challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                rest = Rest(value);
                rest.skip(char::is_whitespace);
                let value = rest.value();
                challenge.parameters.push((word.to_ascii_lowercase(), value));
            }
            (Some(_), None) => rest.item(),
            (None, _) => {
                rest = before;
                challenges.push(Challenge { scheme: word.to_owned(), parameters: Vec::new() });
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        self.take(unwanted);
    }

    /// To the next comma outside quotes.
    fn item(&mut self) {
        while let Some(c) = self.0.chars().next() {
            match c {
                ',' => return,
                '"' => drop(self.quoted()),
                _ => self.0 = &self.0[c.len_utf8()..],
            }
        }
    }

    fn value(&mut self) -> String {
        if self.0.starts_with('"') {
            return self.quoted();
        }
        self.take(|c| c != ',' && !c.is_whitespace()).to_owned()
    }

    /// A quoted text, from its opening quote on; one that is not closed ends with the header.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut is_escaped = false;
        for (at, c) in self.0.char_indices().skip(1) {
            match c {
                c if is_escaped => {
                    text.push(c);
                    is_escaped = false;
                }
                '\\' => is_escaped = true,
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return text;
                }
                c => text.push(c),
            }
        }
        self.0 = "";
        text
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let one = |challenge: &Challenge| {
            let parameters: Vec<String> =
                challenge.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{}[{}]", challenge.scheme, parameters.join("; "))
        };
        parse(text).iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn headers_of_the_field() {
        for (text, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                "Bearer[realm=https://auth.docker.io/token; service=registry.docker.io; scope=repository:a/b:pull,push]",
            ),
            (r#"Basic realm="Registry Realm""#, "Basic[realm=Registry Realm]"),
            ("Basic", "Basic[]"),
            (r#"bearer Realm = "x" , SERVICE=y"#, "bearer[realm=x; service=y]"),
            (
                r#"Negotiate, Basic realm="a, b=\"c\"", Bearer realm=d"#,
                "Negotiate[] Basic[realm=a, b=\"c\"] Bearer[realm=d]",
            ),
            (r#"Bearer error="insufficient_scope",,scope="""#, "Bearer[error=insufficient_scope; scope=]"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn nonsense_gives_what_can_be_understood() {
        for (text, expected) in [
            ("", ""),
            (" , ,", ""),
            ("=x, Basic", "Basic[]"),
            ("a=b, Basic realm=x", "Basic[realm=x]"),
            (r#"Bearer realm="open"#, "Bearer[realm=open]"),
            (r#"Bearer realm="open\"#, "Bearer[realm=open]"),
            ("Bearer realm", "Bearer[] realm[]"),
            ("Bearer realm=", "Bearer[realm=]"),
            ("\"quoted, Basic\", Basic", "Basic[]"),
            ("\u{0}ü(),Basic", "Basic[]"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        let alphabet = ["Bearer", "=", "\"", "\\", ",", " ", "ü", "\u{0}", "a", "(", "\t"];
        let mut state = 1u32;
        for _ in 0..50_000 {
            let mut text = String::new();
            for _ in 0..state % 13 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text += alphabet[(state >> 16) as usize % alphabet.len()];
            }
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for challenge in parse(&text) {
                assert!(!challenge.scheme.is_empty() && challenge.scheme.chars().all(is_token), "{text:?}");
            }
        }
    }
}
