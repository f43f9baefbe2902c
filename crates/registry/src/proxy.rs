//! Which proxy leads to a host: the environment's words, as other programs of the field read them. Pure.

use crate::host;
use crate::url::{Origin, Scheme};

/// What `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say, in capitals or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    none_for: Vec<String>,
}

impl Proxies {
    /// Reads the variables through `get`.
    pub(crate) fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let value = get(name).or_else(|| get(&name.to_ascii_lowercase()))?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let none_for = either("NO_PROXY").unwrap_or_default();
        let none_for = none_for.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        Self {
            http: either("HTTP_PROXY"),
            https: either("HTTPS_PROXY"),
            none_for: none_for.filter(|entry| !entry.is_empty()).collect(),
        }
    }

    /// The proxy for a host, if there is one to use. This machine is always asked directly.
    pub(crate) fn for_origin(&self, origin: &Origin) -> Option<&str> {
        let proxy = match origin.scheme {
            Scheme::Http => self.http.as_deref(),
            Scheme::Https => self.https.as_deref(),
        }?;
        let direct = host::is_here(&origin.host) || self.none_for.iter().any(|entry| is_exempt(entry, origin));
        (!direct).then_some(proxy)
    }
}

/// `*`, an address, a network, a domain (with everything below it), `.domain` (only what is below it); each but `*` and
/// networks with `:PORT` if only that port is meant.
fn is_exempt(entry: &str, origin: &Origin) -> bool {
    let host = origin.host.as_str();
    if entry == "*" || host::address(host).is_some_and(|address| host::is_in_network(address, entry)) {
        return true;
    }
    let entry = match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            if port.parse() != Ok(origin.port) {
                return false;
            }
            name
        }
        _ => entry,
    };
    if let (Some(address), Some(exempt)) = (host::address(host), host::address(entry)) {
        return address == exempt;
    }
    let entry = entry.strip_prefix('*').unwrap_or(entry);
    match entry.strip_prefix('.') {
        Some(_) => host.ends_with(entry),
        None => host == entry || host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::Url;

    fn proxy(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.for_origin(&Url::parse(url).unwrap().origin).map(str::to_owned)
    }

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies::from_env(|name| match name {
            "HTTPS_PROXY" => Some("http://p:1".to_owned()),
            "http_proxy" => Some("http://q:2".to_owned()),
            "NO_PROXY" => Some(no_proxy.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn each_scheme_has_its_proxy_and_this_machine_has_none() {
        let proxies = proxies("");
        assert_eq!(proxy(&proxies, "https://a.b/").as_deref(), Some("http://p:1"));
        assert_eq!(proxy(&proxies, "http://a.b/").as_deref(), Some("http://q:2"));
        for here in ["http://localhost:5000/", "https://127.0.0.1/", "https://[::1]/"] {
            assert_eq!(proxy(&proxies, here), None, "{here}");
        }
    }

    #[test]
    fn exemptions() {
        let proxies = proxies("a.example, .b.example,*.c.example ,10.0.0.0/8,192.168.1.1,d.example:5000,[fd00::1]");
        for (host, direct) in [
            ("a.example", true),
            ("x.a.example", true),
            ("xa.example", false),
            ("b.example", false),
            ("x.b.example", true),
            ("x.c.example", true),
            ("10.2.3.4:5000", true),
            ("11.2.3.4", false),
            ("192.168.1.1", true),
            ("192.168.1.2", false),
            ("d.example:5000", true),
            ("d.example", false),
            ("[fd00::1]", true),
            ("[fd00::2]", false),
            ("A.EXAMPLE", true),
        ] {
            assert_eq!(proxy(&proxies, &format!("https://{host}/")).is_none(), direct, "{host}");
        }
        assert_eq!(proxy(&super::tests::proxies("*"), "https://any/"), None);
    }
}
