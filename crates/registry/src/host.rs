//! Which host a registry's name means, and how far it is trusted. Pure.

use std::net::IpAddr;

use stdx::{Error, Result};

use crate::url::{Scheme, Url, split_authority};
use crate::{Config, tls};

/// The host that serves `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// A host that speaks the protocol: a registry itself, or a mirror of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// The name people know it by, in messages and as the key of credentials.
    pub(crate) name: String,
    /// Where its API is: the first that answers is used.
    pub(crate) bases: Vec<Url>,
    pub(crate) is_mirror: bool,
}

impl Host {
    /// The registry that references name.
    pub(crate) fn registry(config: &Config, name: &str) -> Result<Self> {
        let authority = if name == oci::reference::DEFAULT_REGISTRY { DOCKER_HUB } else { name };
        let bases = bases(config, authority).ok_or_else(|| Error::invalid(format!("invalid registry {name:?}")))?;
        Ok(Self { name: name.to_owned(), bases, is_mirror: false })
    }

    /// The hosts that are asked before it.
    pub(crate) fn mirrors(config: &Config, registry: &str) -> Result<Vec<Self>> {
        let mirrors = config.mirrors.get(registry).into_iter().flatten();
        mirrors.map(|text| Self::mirror(config, text)).collect()
    }

    fn mirror(config: &Config, text: &str) -> Result<Self> {
        let bases = match text.contains("://") {
            true => Url::parse(text).map(|url| vec![url]),
            false => bases(config, text),
        };
        let bases = bases.ok_or_else(|| Error::invalid(format!("invalid mirror {text:?}")))?;
        Ok(Self { name: bases[0].origin.authority(), bases, is_mirror: true })
    }
}

fn bases(config: &Config, authority: &str) -> Option<Vec<Url>> {
    let secure = Url::root(Scheme::Https, authority)?;
    if tls::is_verified(config, authority) {
        return Some(vec![secure]);
    }
    Some(vec![secure, Url::root(Scheme::Http, authority)?])
}

/// Whether `HOST[:PORT]` is this machine.
pub(crate) fn is_here(authority: &str) -> bool {
    let Some((host, _)) = split_authority(authority) else { return false };
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// Whether the administrator wants nothing of this host's certificate. Names are not looked up: an answer of the
/// network must not lower what is asked of it.
pub(crate) fn is_listed(insecure: &[String], authority: &str) -> bool {
    let Some((host, _)) = split_authority(authority) else { return false };
    insecure.iter().any(|entry| {
        entry.eq_ignore_ascii_case(authority)
            || entry.eq_ignore_ascii_case(host)
            || address(host).is_some_and(|address| is_in_network(address, entry))
    })
}

/// The address that a host of a URL is, if it is not a name.
pub(crate) fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether an address lies in `ADDRESS/BITS`.
pub(crate) fn is_in_network(address: IpAddr, network: &str) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(address) & mask == u32::from(base) & mask
        }
        (IpAddr::V6(address), IpAddr::V6(base)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(address) & mask == u128::from(base) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(host: &Host) -> Vec<String> {
        host.bases.iter().map(Url::to_string).collect()
    }

    #[test]
    fn this_machine_and_what_is_named_may_be_plain() {
        let insecure = ["10.1.0.0/16", "old.example", "new.example:5000", "fd00::/8"].map(str::to_owned);
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:5000", true),
            ("127.8.9.1:5000", true),
            ("[::1]:5000", true),
            ("10.1.2.3", true),
            ("[fd12::1]", true),
            ("old.example:1", true),
            ("Old.Example", true),
            ("new.example:5000", true),
            ("new.example", false),
            ("10.2.2.3", false),
            ("128.0.0.1", false),
            ("localhost.example", false),
        ] {
            assert_eq!(is_here(host) || is_listed(&insecure, host), expected, "{host}");
        }
    }

    #[test]
    fn registries_have_addresses() {
        let config = Config::default();
        let hub = Host::registry(&config, "docker.io").unwrap();
        assert_eq!((hub.name.as_str(), shown(&hub)), ("docker.io", vec!["https://registry-1.docker.io/".to_owned()]));
        let local = Host::registry(&config, "localhost:5000").unwrap();
        assert_eq!(shown(&local), ["https://localhost:5000/", "http://localhost:5000/"]);
        assert!(Host::registry(&config, "a/b").is_err());
    }

    #[test]
    fn a_mirror_is_a_host_or_a_url() {
        let list = ["m.example:5000", "http://n.example/prefix/"].map(str::to_owned).into();
        let config = Config { mirrors: [("docker.io".to_owned(), list)].into(), ..Config::default() };
        let mirrors = Host::mirrors(&config, "docker.io").unwrap();
        assert_eq!(shown(&mirrors[0]), ["https://m.example:5000/"]);
        assert_eq!(shown(&mirrors[1]), ["http://n.example/prefix/"]);
        assert!(Host::mirrors(&config, "quay.io").unwrap().is_empty());
        let config = Config { mirrors: [("a".to_owned(), vec!["ftp://x".to_owned()])].into(), ..Config::default() };
        assert!(Host::mirrors(&config, "a").unwrap_err().to_string().contains("invalid mirror \"ftp://x\""));
    }
}
