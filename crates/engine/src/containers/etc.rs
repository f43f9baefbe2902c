//! A container's `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`: files of its own, mounted over the image's, so
//! that they never become part of an image.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use network::Live;
use stdx::{Context, Error, Result};

use crate::Engine;
use crate::containers::find;
use crate::containers::options::{Dns, HOST_GATEWAY, Network, Options};
use crate::containers::record::Record;

/// The three files, in the container's run directory and inside.
pub(crate) const FILES: [(&str, &str); 3] =
    [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")];

/// Where systemd's resolver writes what it asks, for those who cannot ask it.
const BEHIND_THE_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// Writes the files into `dir`. `live` is how the container is joined to networks.
pub(crate) fn write(engine: &Engine, dir: &Path, record: &Record, hostname: &str, live: Option<&Live>) -> Result<()> {
    let options = &record.options;
    let host_file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (hosts, resolv) = match &options.namespaces.network {
        Network::Host => (host_file("/etc/hosts"), host_file("/etc/resolv.conf")),
        // Who shares a network shares its names.
        Network::Container(other) => {
            let other = engine.dirs().container_run(&find::find(engine, other)?.record.id);
            let file = |name| other.join(name).to_string_lossy().into_owned();
            (host_file(&file("hosts")), host_file(&file("resolv.conf")))
        }
        Network::None => (hosts(hostname, &[]), host_file("/etc/resolv.conf")),
        Network::Joined(_) => {
            let endpoints = live.map_or(&[][..], |live| &live.endpoints);
            let addresses: Vec<IpAddr> = endpoints
                .iter()
                .flat_map(|endpoint| [endpoint.address(false), endpoint.address(true)])
                .flatten()
                .collect();
            let resolv = if live.is_some_and(|live| live.has_names) {
                ask_the_resolver(&host_file("/etc/resolv.conf"))
            } else {
                let host = reachable(&host_file("/etc/resolv.conf"));
                host.or_else(|| reachable(&host_file(BEHIND_THE_STUB))).unwrap_or_default()
            };
            (hosts(hostname, &addresses), resolv)
        }
    };
    let mut dns = options.dns.clone();
    if live.is_some_and(|live| live.has_names) {
        // The resolver asks them.
        dns.servers.clear();
    }
    let contents = [
        ("hosts", with_extra_hosts(hosts, &extra_hosts(options, live)?)),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", resolv_conf(&resolv, &dns)),
    ];
    contents.iter().try_for_each(|(name, text)| {
        let path = dir.join(name);
        fs::write(&path, text).context(|| format!("cannot write {path:?}"))
    })
}

/// A container's own name is that of its addresses; one that has none is there for itself.
fn hosts(hostname: &str, addresses: &[IpAddr]) -> String {
    let alone = if addresses.is_empty() { format!(" {hostname}") } else { String::new() };
    let mut text = format!(
        "127.0.0.1\tlocalhost{alone}\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    );
    text.extend(addresses.iter().map(|address| format!("{address}\t{hostname}\n")));
    text
}

/// The host's file without name servers that only the host itself reaches; `None` if there is no other.
fn reachable(resolv_conf: &str) -> Option<String> {
    let server = |line: &str| line.strip_prefix("nameserver").and_then(|rest| rest.trim().parse::<IpAddr>().ok());
    let is_local = |line: &&str| server(line).is_some_and(|address| address.is_loopback());
    let text: String = resolv_conf.lines().filter(|line| !is_local(line)).flat_map(|line| [line, "\n"]).collect();
    text.lines().any(|line| server(line).is_some()).then_some(text)
}

/// The host's search domains, and the resolver for a server; it knows names without a dot.
fn ask_the_resolver(host: &str) -> String {
    let search = host.lines().filter(|line| line.starts_with("search") || line.starts_with("domain"));
    let search: String = search.flat_map(|line| [line, "\n"]).collect();
    format!("{search}nameserver {}\noptions ndots:0\n", network::dns::ADDRESS)
}

/// The host's own address stands for [`HOST_GATEWAY`].
fn extra_hosts(options: &Options, live: Option<&Live>) -> Result<Vec<(String, String)>> {
    let gateway = || {
        let mut endpoints = live.iter().flat_map(|live| &live.endpoints);
        let gateway = endpoints.find_map(|endpoint| endpoint.gateway(false).or_else(|| endpoint.gateway(true)));
        let gateway = gateway.or_else(|| (options.namespaces.network == Network::Host).then(|| [127, 0, 0, 1].into()));
        gateway.ok_or_else(|| Error::invalid(format!("a container without a network has no {HOST_GATEWAY}")))
    };
    let resolve = |(name, address): &(String, String)| {
        let address = if address == HOST_GATEWAY { gateway()?.to_string() } else { address.clone() };
        Ok((name.clone(), address))
    };
    options.extra_hosts.iter().map(resolve).collect()
}

fn with_extra_hosts(mut hosts: String, extra: &[(String, String)]) -> String {
    if !hosts.is_empty() && !hosts.ends_with('\n') {
        hosts.push('\n');
    }
    for (name, address) in extra {
        hosts.push_str(&format!("{address}\t{name}\n"));
    }
    hosts
}

/// The host's file, with what was asked for in place of what it says.
fn resolv_conf(host: &str, dns: &Dns) -> String {
    let replaced = |line: &str| match line.split_ascii_whitespace().next() {
        Some("nameserver") => !dns.servers.is_empty(),
        Some("search" | "domain") => !dns.search.is_empty(),
        Some("options") => !dns.options.is_empty(),
        _ => false,
    };
    let mut text: String = host.lines().filter(|line| !replaced(line)).flat_map(|line| [line, "\n"]).collect();
    text.extend(dns.servers.iter().map(|server| format!("nameserver {server}\n")));
    // "." alone asks for no search at all.
    if !dns.search.is_empty() && dns.search != ["."] {
        text.push_str(&format!("search {}\n", dns.search.join(" ")));
    }
    if !dns.options.is_empty() {
        text.push_str(&format!("options {}\n", dns.options.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_for_names_replace_the_hosts() {
        let dns = Dns { servers: vec!["1.2.3.4".into()], search: vec![".".into()], options: Vec::new() };
        let text = resolv_conf("# c\nnameserver 9.9.9.9\nsearch x\noptions edns0\n", &dns);
        assert_eq!(text, "# c\noptions edns0\nnameserver 1.2.3.4\n");
        assert_eq!(with_extra_hosts("a".into(), &[("n".into(), "::1".into())]), "a\n::1\tn\n");
    }

    #[test]
    fn name_servers_of_the_host_alone_are_left_out() {
        assert_eq!(reachable("nameserver 127.0.0.53\nsearch x\n"), None);
        let text = "nameserver 127.0.0.1\nnameserver ::1\nnameserver 9.9.9.9\nsearch x\n";
        assert_eq!(reachable(text).unwrap(), "nameserver 9.9.9.9\nsearch x\n");
    }
}
