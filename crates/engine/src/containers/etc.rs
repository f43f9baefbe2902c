//! A container's `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`: files of its own, mounted over the image's, so
//! that they never become part of an image.

use std::fs;
use std::path::Path;

use stdx::{Context, Result};

use crate::containers::options::{Network, Options};

/// The three files, in the container's run directory and inside.
pub(crate) const FILES: [(&str, &str); 3] =
    [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")];

/// Writes the files into `dir`.
pub(crate) fn write(dir: &Path, options: &Options, hostname: &str) -> Result<()> {
    let host = options.namespaces.network == Network::Host;
    let host_file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let hosts = if host { host_file("/etc/hosts") } else { hosts(hostname) };
    let contents = [
        ("hosts", with_extra_hosts(hosts, &options.extra_hosts)),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", resolv_conf(&host_file("/etc/resolv.conf"), options)),
    ];
    contents.iter().try_for_each(|(name, text)| {
        let path = dir.join(name);
        fs::write(&path, text).context(|| format!("cannot write {path:?}"))
    })
}

fn hosts(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
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
fn resolv_conf(host: &str, options: &Options) -> String {
    let dns = &options.dns;
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
    use crate::containers::options::Dns;

    #[test]
    fn asked_for_names_replace_the_hosts() {
        let dns = Dns { servers: vec!["1.2.3.4".into()], search: vec![".".into()], options: Vec::new() };
        let options = Options { dns, ..Options::default() };
        let text = resolv_conf("# c\nnameserver 9.9.9.9\nsearch x\noptions edns0\n", &options);
        assert_eq!(text, "# c\noptions edns0\nnameserver 1.2.3.4\n");
        assert_eq!(with_extra_hosts("a".into(), &[("n".into(), "::1".into())]), "a\n::1\tn\n");
    }
}
