//! The few URLs this protocol needs: `http` and `https`, with everything that could mislead refused.

use std::fmt;

/// How bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A host to talk to: credentials for one are never sent to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// Lower case; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// `HOST[:PORT]`, the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            return self.host.clone();
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// An absolute URL without user information and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) origin: Origin,
    /// Begins with `/`.
    path: String,
    query: Option<String>,
}

const LONGEST: usize = 16 << 10;

impl Url {
    /// Reads an absolute URL; `None` if it is anything else than a plain `http` or `https` one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Self::after_scheme(scheme, rest)
    }

    /// The root of `HOST[:PORT]`.
    pub(crate) fn root(scheme: Scheme, authority: &str) -> Option<Self> {
        if authority.contains(['/', '?', '#']) {
            return None;
        }
        Self::after_scheme(scheme, authority)
    }

    fn after_scheme(scheme: Scheme, rest: &str) -> Option<Self> {
        let rest = rest.split('#').next()?;
        if rest.len() > LONGEST || !rest.bytes().all(is_plain) {
            return None;
        }
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(at);
        let (host, port) = split_authority(authority)?;
        let origin =
            Origin { scheme, host: host.to_ascii_lowercase(), port: port.unwrap_or_else(|| scheme.default_port()) };
        let (path, query) = split_query(tail);
        Some(Self { origin, path: if path.is_empty() { "/".to_owned() } else { path.to_owned() }, query })
    }

    /// Where a `Location` or a `Link` of this URL's answer leads (RFC 3986, section 5.2, without dot segments, which
    /// no registry sends).
    pub(crate) fn join(&self, to: &str) -> Option<Self> {
        let to = to.split('#').next()?;
        if to.len() > LONGEST || !to.bytes().all(is_plain) {
            return None;
        }
        if to.contains("://") && !to.starts_with(['/', '?']) {
            return Self::parse(to);
        }
        if let Some(rest) = to.strip_prefix("//") {
            return Self::after_scheme(self.origin.scheme, rest);
        }
        let (path, query) = split_query(to);
        let path = match path {
            "" => self.path.clone(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("{}/{path}", self.path.rsplit_once('/').map_or("", |(dir, _)| dir)),
        };
        Some(Self { origin: self.origin.clone(), path, query })
    }

    /// The same with this below its path.
    pub(crate) fn below(&self, path: &str) -> Self {
        Self { path: format!("{}{path}", self.path.trim_end_matches('/')), query: None, ..self.clone() }
    }

    /// The same with one more parameter; what may not stand in a query is escaped.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let pair = format!("{name}={}", escape(value));
        let query = match self.query.as_deref() {
            None | Some("") => pair,
            Some(query) => format!("{query}&{pair}"),
        };
        Self { query: Some(query), ..self.clone() }
    }

    /// Without the query, which may hold a signature that is nobody's business.
    pub(crate) fn shown(&self) -> String {
        Self { query: None, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.origin.scheme.name(), self.origin.authority(), self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

/// `name=value&…` of a form, escaped.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    pairs.join("&")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte as char),
            // Legal in a query, and some token servers compare scopes before they unescape them.
            b':' | b'/' | b',' => escaped.push(byte as char),
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`')
}

fn split_query(text: &str) -> (&str, Option<String>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (text, None),
    }
}

/// Host and port. User information is refused: it makes a URL look as if it led elsewhere.
pub(crate) fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            rest[..end].parse::<std::net::Ipv6Addr>().ok()?;
            (&text[..end + 2], &rest[end + 1..])
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if host.is_empty() || (!host.starts_with('[') && !is_name(host)) {
        return None;
    }
    match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some((host, Some(digits.parse().ok()?))),
        None if port.is_empty() => Some((host, None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        for (text, shown) in [
            ("https://a.b/c?d=e#f", "https://a.b/c?d=e"),
            ("HTTP://A.b:80", "http://a.b/"),
            ("http://a.b:443/", "http://a.b:443/"),
            ("https://[::1]:5000/x", "https://[::1]:5000/x"),
            ("https://a?b", "https://a/?b"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_misleads_is_refused() {
        for bad in [
            "",
            "a",
            "file:///etc/passwd",
            "ftp://a/",
            "https://",
            "https:///x",
            "https://user@a/",
            "https://user:password@a/",
            "https://a b/",
            "https://a/\r\nX: y",
            "https://a:/",
            "https://a:99999/",
            "https://a:+1/",
            "https://[::1/",
            "https://[x]/",
            "https://a\\b/",
            "https://é/",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_location_is_followed_from_where_it_was_given() {
        let base = Url::parse("https://a:5000/v2/x/uploads/?y=z").unwrap();
        for (to, lead) in [
            ("/p?q=r", "https://a:5000/p?q=r"),
            ("u?s", "https://a:5000/v2/x/uploads/u?s"),
            ("?n=1", "https://a:5000/v2/x/uploads/?n=1"),
            ("//b/c", "https://b/c"),
            ("http://c/", "http://c/"),
            ("/p?back=http://c/", "https://a:5000/p?back=http://c/"),
        ] {
            assert_eq!(base.join(to).unwrap().to_string(), lead, "{to}");
        }
        for bad in ["file:///x", "//u@b/", "javascript://x", "/a b", "/a\nb"] {
            assert_eq!(base.join(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn parameters_are_escaped() {
        let url = Url::parse("https://a/?x").unwrap().with("scope", "repository:a/b:pull,push").with("q", "a b&c=ü");
        assert_eq!(url.to_string(), "https://a/?x&scope=repository:a/b:pull,push&q=a%20b%26c%3D%C3%BC");
        assert_eq!(url.shown(), "https://a/");
    }
}
