//! The default network: a bridge, as a person meets it who says nothing of networks. Every test has a host for itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use e2e::{Neighbour, Outcome, Tare, ip, until};

/// Addresses of a container's device.
fn address(tare: &Tare, container: &str) -> String {
    tare.inspect(container)["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_has_a_device_an_address_a_route_and_its_name() {
    let tare = Tare::on_own_host();
    let script = "ip -o -4 addr show eth0; ip route; cat /etc/hosts; hostname -i; ping -c1 -W2 172.17.0.1 >/dev/null && echo alive";
    let said = tare.tare(["run", "--rm", "-h", "boat", "busybox", "sh", "-c", script]).ok();
    for expected in ["172.17.0.2/16", "default via 172.17.0.1 dev eth0", "172.17.0.2\tboat", "\n172.17.0.2\n", "alive"]
    {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    let inside = tare.tare(["run", "--rm", "busybox", "ip", "-o", "addr", "show", "eth0"]).ok();
    assert!(!inside.contains("inet6"), "a network without IPv6 has none: {inside}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_subnet_collides_with_no_route_of_the_host() {
    let tare = Tare::on_own_host();
    ip(&["link", "add", "vpn", "type", "veth", "peer", "name", "far"]);
    ip(&["link", "set", "far", "up"]);
    ip(&["link", "set", "vpn", "up"]);
    ip(&["addr", "add", "172.17.5.1/24", "dev", "vpn"]);
    ip(&["route", "add", "172.18.0.0/15", "dev", "vpn"]);
    tare.tare(["run", "--rm", "busybox", "ip", "-4", "addr", "show", "eth0"]).says("172.20.0.2/16");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn containers_reach_each_other_and_the_world_under_the_hosts_address() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    let listener = neighbour.inside(|| TcpListener::bind((Neighbour::ADDRESS, 7000)).unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        stream.write_all(b"welcome\n").unwrap();
        from.ip().to_string()
    });
    tare.tare(["run", "--rm", "busybox", "nc", "-w", "5", Neighbour::ADDRESS, "7000"]).prints("welcome");
    assert_eq!(server.join().unwrap(), Neighbour::HOST, "the neighbour knows no way back to a container");

    tare.tare(["run", "-d", "--name", "peer", "busybox", "sleep", "1000"]).ok();
    let peer = address(&tare, "peer");
    tare.tare(["run", "--rm", "busybox", "ping", "-c1", "-W2", &peer]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_not_published_cannot_be_reached_from_outside() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    tare.tare(["run", "-d", "--name", "web", "busybox", "nc", "-l", "-p", "80", "-e", "echo", "hello"]).ok();
    let there = format!("{}:80", address(&tare, "web"));
    neighbour.inside(|| ip(&["route", "add", "172.17.0.0/16", "via", Neighbour::HOST]));
    let limit = std::time::Duration::from_secs(1);
    let outside = neighbour.inside(|| TcpStream::connect_timeout(&there.parse().unwrap(), limit));
    assert!(outside.is_err(), "a neighbour with a route got in");
    // The host itself may.
    let mut said = String::new();
    until("the container listens", || {
        TcpStream::connect(&there).is_ok_and(|mut s| s.read_to_string(&mut said).is_ok())
    });
    assert_eq!(said, "hello\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_address_stays_through_restarts_and_is_free_after_removal() {
    let tare = Tare::on_own_host();
    tare.tare(["run", "-d", "--name", "aa", "busybox", "sleep", "1000"]).ok();
    tare.tare(["run", "-d", "--name", "bb", "busybox", "sleep", "1000"]).ok();
    let (a, b) = (address(&tare, "aa"), address(&tare, "bb"));
    assert_eq!((a.as_str(), b.as_str()), ("172.17.0.2", "172.17.0.3"));
    tare.tare(["stop", "-t", "0", "aa"]).ok();
    tare.tare(["run", "-d", "--name", "cc", "busybox", "sleep", "1000"]).ok();
    assert_eq!(address(&tare, "cc"), "172.17.0.4", "the address of a container that exists is not given away");
    tare.tare(["restart", "-t", "0", "aa", "bb"]).ok();
    assert_eq!((address(&tare, "aa"), address(&tare, "bb")), (a.clone(), b));
    tare.tare(["rm", "-f", "aa"]).ok();
    tare.tare(["run", "-d", "--name", "dd", "busybox", "sleep", "1000"]).ok();
    assert_eq!(address(&tare, "dd"), a);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_that_is_started_again_by_its_policy_keeps_its_address() {
    let tare = Tare::on_own_host();
    let script = "hostname -i; test -e /once || { touch /once; exit 1; }; sleep 1000";
    tare.tare(["run", "-d", "--name", "aa", "--restart=on-failure", "busybox", "sh", "-c", script]).ok();
    until("it has started twice", || tare.tare(["logs", "aa"]).stdout().lines().count() == 2);
    tare.tare(["logs", "aa"]).prints("172.17.0.2\n172.17.0.2");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_somebody_takes_away_from_the_host_is_there_again_at_the_next_start() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    let greets = || {
        let listener = neighbour.inside(|| TcpListener::bind((Neighbour::ADDRESS, 7000)).unwrap());
        let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"welcome\n").unwrap());
        tare.tare(["run", "--rm", "busybox", "nc", "-w", "5", Neighbour::ADDRESS, "7000"]).prints("welcome");
        server.join().unwrap();
    };
    greets();
    Outcome::of(Command::new("nft").args(["flush", "ruleset"])).ok();
    greets();
    ip(&["link", "del", "tare0"]);
    greets();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_dead_monitor_leaves_nothing() {
    let tare = Tare::on_own_host();
    tare.tare(["run", "-d", "--name", "aa", "-p", "8080:80", "busybox", "sleep", "1000"]).ok();
    let id = tare.inspect("aa")["Id"].as_str().unwrap().to_owned();
    let monitor = e2e::process_field(tare.pid("aa"), "PPid:").unwrap();
    Outcome::of(Command::new("kill").args(["-9", &monitor])).ok();
    until("its devices are gone", || !ip(&["-o", "link"]).contains("master tare0"));
    tare.tare(["ps", "-a"]).says("Exited (137)");
    let rules = Outcome::of(Command::new("nft").args(["list", "table", "inet", "tare"])).ok();
    assert!(!rules.contains("8080"), "{rules}");
    tare.tare(["rm", &id]).ok();
    let leases = tare.run_dir().join("networks");
    let left: Vec<String> = e2e::names(&leases).iter().flat_map(|network| e2e::names(&leases.join(network))).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_user_namespace_goes_with_a_bridge() {
    let tare = Tare::on_own_host();
    let script = "ip -o -4 addr show eth0; ping -c1 -W2 172.17.0.1 >/dev/null && echo alive";
    let said = tare.tare(["run", "--rm", "--userns=auto", "busybox", "sh", "-c", script]).ok();
    assert!(said.contains("172.17.0.2/16") && said.contains("alive"), "{said}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_in_anothers_network_shares_its_device_and_names() {
    let tare = Tare::on_own_host();
    tare.tare(["run", "-d", "--name", "aa", "--add-host", "up:host-gateway", "busybox", "sleep", "1000"]).ok();
    let script = "hostname -i 2>/dev/null; ip -o -4 addr show eth0; cat /etc/hosts";
    let said = tare.tare(["run", "--rm", "--network=container:aa", "busybox", "sh", "-c", script]).ok();
    assert!(said.contains("172.17.0.2/16") && said.contains("172.17.0.1\tup"), "{said}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_cannot_reach_what_listens_on_the_hosts_loopback() {
    let tare = Tare::on_own_host();
    // Publishing lets the host's own packets from 127.0.0.1 into the bridge.
    tare.tare(["run", "-d", "--name", "aa", "-p", "8080:80", "--cap-add=NET_ADMIN", "busybox", "sleep", "1000"]).ok();
    let _listener = TcpListener::bind(("127.0.0.1", 7000)).unwrap();
    let steal =
        "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 172.17.0.1; nc -w 2 127.0.0.1 7000 </dev/null";
    let outcome = tare.tare(["exec", "aa", "sh", "-c", steal]);
    assert_ne!(outcome.code(), 0, "{outcome}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_filter_that_drops_what_containers_send_is_told_of() {
    let tare = Tare::on_own_host();
    let rules = "add table ip strict; add chain ip strict pass { type filter hook forward priority 0; policy drop; }";
    Outcome::of(Command::new("nft").arg(rules)).ok();
    let outcome = tare.tare(["run", "--rm", "busybox", "true"]);
    outcome.exits(0);
    assert!(outcome.stderr().contains("strict pass") && outcome.stderr().contains("tare*"), "{outcome}");
    let rules = Outcome::of(Command::new("nft").args(["list", "table", "ip", "strict"])).ok();
    assert!(!rules.contains("accept"), "the host's own tables are never edited: {rules}");
}
