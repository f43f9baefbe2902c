//! Networks of the user's own: made, listed, joined, left, removed.

use std::net::TcpStream;
use std::time::Duration;

use e2e::{Neighbour, Outcome, Tare, ip, until};

fn address_in(tare: &Tare, container: &str, network: &str) -> String {
    let networks = tare.inspect(container)["NetworkSettings"]["Networks"].clone();
    networks[network]["IPAddress"].as_str().unwrap_or_default().to_owned()
}

fn sleeper(tare: &Tare, name: &str, options: &[&str]) {
    let arguments = ["run", "-d", "--name", name].into_iter().chain(options.iter().copied());
    tare.tare(arguments.chain(["busybox", "sleep", "1000"])).ok();
}

fn pings(tare: &Tare, from: &str, to: &str) -> bool {
    tare.tare(["exec", from, "ping", "-c1", "-W1", to]).code() == 0
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_network_is_made_shown_and_removed() {
    let tare = Tare::on_own_host();
    let id = tare
        .tare([
            "network",
            "create",
            "--label",
            "a=b",
            "--subnet",
            "10.5.0.0/16",
            "--ip-range",
            "10.5.7.0/24",
            "--gateway",
            "10.5.0.9",
            "--aux-address",
            "printer=10.5.7.0",
            "blue",
        ])
        .ok();
    assert_eq!(id.trim().len(), 64);
    let shown: serde_json::Value = serde_json::from_str(&tare.tare(["network", "inspect", "blue"]).ok()).unwrap();
    let config = &shown[0]["IPAM"]["Config"][0];
    assert_eq!((&config["Subnet"], &config["Gateway"]), (&"10.5.0.0/16".into(), &"10.5.0.9".into()));
    sleeper(&tare, "aa", &["--network=blue"]);
    assert_eq!(address_in(&tare, "aa", "blue"), "10.5.7.1", "the first of the range that is not reserved");
    assert!(pings(&tare, "aa", "10.5.0.9"));
    let shown: serde_json::Value = serde_json::from_str(&tare.tare(["network", "inspect", id.trim()]).ok()).unwrap();
    let member = shown[0]["Containers"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&member["Name"], &member["IPv4Address"]), (&"aa".into(), &"10.5.7.1/16".into()));
    tare.tare(["network", "ls", "-q", "--filter", "label=a=b"]).prints(&id.trim()[..12]);
    tare.tare(["network", "ls", "--format", "{{.Name}} {{.Driver}}", "-f", "name=blue"]).prints("blue bridge");
    tare.tare(["network", "rm", "blue"]).fails(1, "container aa is joined to it");
    tare.tare(["rm", "-f", "aa"]).ok();
    tare.tare(["network", "rm", "blue"]).prints("blue");
    tare.tare(["network", "rm", "blue"]).fails(1, "no such network: blue");
    assert!(!ip(&["-o", "link"]).contains("tare-"), "its bridge is gone");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn networks_do_not_reach_each_other_unless_both_are_open() {
    let tare = Tare::on_own_host();
    for (name, isolate) in [("red", "true"), ("blue", "true"), ("open1", "false"), ("open2", "false")] {
        tare.tare(["network", "create", "-o", &format!("isolate={isolate}"), name]).ok();
        sleeper(&tare, &format!("in-{name}"), &["--network", name]);
    }
    let address = |name: &str| address_in(&tare, &format!("in-{name}"), name);
    sleeper(&tare, "beside", &["--network=red"]);
    assert!(pings(&tare, "beside", &address("red")));
    assert!(!pings(&tare, "in-red", &address("blue")));
    assert!(!pings(&tare, "in-open1", &address("blue")));
    assert!(pings(&tare, "in-open1", &address("open2")));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_internal_network_has_no_way_out_and_none_in() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    tare.tare(["network", "create", "--internal", "--subnet=10.5.0.0/24", "inner"]).ok();
    sleeper(&tare, "aa", &["--network=inner"]);
    sleeper(&tare, "bb", &["--network=inner", "--cap-add=NET_ADMIN"]);
    assert!(pings(&tare, "aa", &address_in(&tare, "bb", "inner")));
    tare.tare(["exec", "bb", "ip", "route"]).prints("10.5.0.0/24 dev eth0 scope link  src 10.5.0.3");
    // Whoever sets a route by force gets no further.
    tare.tare(["exec", "bb", "ip", "route", "add", "default", "via", "10.5.0.1"]).ok();
    assert!(!pings(&tare, "bb", Neighbour::ADDRESS));
    neighbour.inside(|| ip(&["route", "add", "10.5.0.0/24", "via", Neighbour::HOST]));
    let limit = Duration::from_millis(500);
    assert!(
        neighbour
            .inside(|| TcpStream::connect_timeout(&"10.5.0.2:80".parse().unwrap(), limit))
            .is_err_and(|error| { error.kind() == std::io::ErrorKind::TimedOut })
    );
    tare.tare(["run", "--rm", "--network=inner", "-p", "80:80", "busybox", "true"]).fails(125, "reached from outside");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn containers_of_a_network_can_be_kept_apart() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "hotel"]).ok();
    sleeper(&tare, "aa", &["--network=hotel"]);
    sleeper(&tare, "bb", &["--network=hotel"]);
    let gateway = tare.inspect("aa")["NetworkSettings"]["Networks"]["hotel"]["Gateway"].as_str().unwrap().to_owned();
    assert!(pings(&tare, "aa", &gateway));
    assert!(!pings(&tare, "aa", &address_in(&tare, "bb", "hotel")));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_running_container_joins_and_leaves() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    sleeper(&tare, "aa", &[]);
    sleeper(&tare, "bb", &["--network=blue"]);
    let b = address_in(&tare, "bb", "blue");
    assert!(!pings(&tare, "aa", &b));
    tare.tare(["network", "connect", "--ip=10.5.0.77", "blue", "aa"]).ok();
    assert!(pings(&tare, "aa", &b));
    assert_eq!(address_in(&tare, "aa", "blue"), "10.5.0.77");
    tare.tare(["exec", "aa", "ip", "-o", "-4", "addr", "show", "eth1"]).says("10.5.0.77/24");
    tare.tare(["network", "connect", "blue", "aa"]).fails(1, "joined to network blue already");
    tare.tare(["restart", "-t", "0", "aa"]).ok();
    assert_eq!(address_in(&tare, "aa", "blue"), "10.5.0.77", "what was joined stays joined");
    tare.tare(["network", "disconnect", "blue", "aa"]).ok();
    assert!(!pings(&tare, "aa", &b));
    tare.tare(["network", "disconnect", "blue", "aa"]).fails(1, "not joined to network blue");
    // Its own address is free again.
    tare.tare(["run", "--rm", "--network=blue", "--ip=10.5.0.77", "busybox", "hostname", "-i"]).prints("10.5.0.77");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_is_in_several_networks_with_addresses_of_its_choice() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    tare.tare(["network", "create", "--subnet=10.6.0.0/24", "red"]).ok();
    let options = [
        "--network=blue",
        "--ip=10.5.0.9",
        "--mac-address=02:11:22:33:44:55",
        "--link-local-ip=169.254.7.7",
        "--network=name=red,ip=10.6.0.9",
    ];
    sleeper(&tare, "aa", &options);
    let shown = tare.tare(["exec", "aa", "ip", "-o", "addr"]).ok();
    for expected in ["10.5.0.9/24", "169.254.7.7/16", "10.6.0.9/24"] {
        assert!(shown.contains(expected), "no {expected} in {shown}");
    }
    tare.tare(["exec", "aa", "cat", "/sys/class/net/eth0/address"]).prints("02:11:22:33:44:55");
    tare.tare(["run", "--rm", "--network=blue", "--ip=10.5.0.9", "busybox", "true"]).fails(125, "in use by container");
    tare.tare(["run", "--rm", "--network=blue", "--ip=10.7.0.9", "busybox", "true"]).fails(125, "cannot be given");
    tare.tare(["run", "--rm", "--network=blue", "--network=none", "busybox", "true"]).fails(125, "goes with no other");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn ipv6_leads_out_and_in() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    tare.tare(["network", "create", "--ipv6", "six"]).ok();
    let options = [
        "run",
        "-d",
        "--name=web",
        "--network=six",
        "-p",
        "8080:80",
        "busybox",
        "nc",
        "-ll",
        "-p",
        "80",
        "-e",
        "echo",
        "hello",
    ];
    tare.tare(options).ok();
    tare.tare(["exec", "web", "ping", "-6", "-c1", "-W2", Neighbour::ADDRESS6]).ok();
    let there = format!("[{}]:8080", Neighbour::HOST6);
    let says = || {
        use std::io::Read;
        let mut said = String::new();
        let stream = TcpStream::connect_timeout(&there.parse().unwrap(), Duration::from_secs(2));
        let _ = stream.map(|mut stream| stream.read_to_string(&mut said));
        said
    };
    until("the server answers", || neighbour.inside(says) == "hello\n");
    assert_eq!(says(), "hello\n", "from the host");
    tare.tare(["port", "web"]).prints("80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_macvlan_network_stands_on_a_device_of_the_host() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    tare.tare(["network", "create", "-d", "macvlan", "lan"]).fails(1, "-o parent=");
    let lan = ["network", "create", "-d", "macvlan", "-o", "parent=near", "--subnet=10.10.0.0/24", "lan"];
    tare.tare(lan).ok();
    neighbour.inside(|| ip(&["addr", "add", "10.10.0.1/24", "dev", "far"]));
    tare.tare(["run", "--rm", "--network=lan", "busybox", "ping", "-c1", "-W2", "10.10.0.1"]).ok();
    tare.tare(["network", "create", "-d", "macvlan", "-o", "parent=nope", "--subnet=10.11.0.0/24", "other"]).ok();
    tare.tare(["run", "--rm", "--network=other", "busybox", "true"]).fails(125, "no device \"nope\"");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_size_of_packets_and_the_name_of_the_bridge_can_be_chosen() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "-o", "mtu=1234", "-o", "name=blue0", "blue"]).ok();
    tare.tare(["run", "--rm", "--network=blue", "busybox", "cat", "/sys/class/net/eth0/mtu"]).prints("1234");
    assert!(ip(&["link", "show", "blue0"]).contains("mtu 1234"));
    tare.tare(["network", "create", "-o", "name=blue0", "red"]).fails(1, "network blue has the device");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn hostile_words_are_refused() {
    let tare = Tare::on_own_host();
    for name in ["../x", "a/b", ".x", "", "a b", "-x"] {
        let outcome = tare.tare(["network", "create", "--", name]);
        assert_eq!(outcome.code(), 1, "{outcome}");
    }
    for name in ["bridge", "host", "none", "default", "container"] {
        tare.tare(["network", "create", name]).fails(1, "reserved");
    }
    tare.tare(["network", "create", "--subnet=10.5.0.0/16", "one"]).ok();
    tare.tare(["network", "create", "--subnet=10.5.7.0/24", "two"]).fails(1, "overlaps 10.5.0.0/16 of network one");
    tare.tare(["network", "create", "--subnet=10.5.7.1/24", "two"]).fails(1, "should be \"10.5.7.0/24\"");
    tare.tare(["network", "create", "--subnet=10.6.0.0/31", "two"]).fails(1, "prefix");
    tare.tare(["network", "create", "--gateway=10.9.9.9", "two"]).fails(1, "in no subnet");
    tare.tare(["network", "create", "-o", "mtu=0", "two"]).fails(1, "mtu");
    tare.tare(["network", "create", "-o", "name=a/../b", "two"]).fails(1, "device");
    tare.tare(["network", "create", "-o", "x=y", "two"]).fails(1, "x=y");
    tare.tare(["network", "create", "one"]).fails(1, "already exists");
    for network in ["../one", "a/b", "name=one,alias=../x", "nope"] {
        let outcome = tare.tare(["run", "--rm", "--network", network, "busybox", "true"]);
        assert_eq!(outcome.code(), 125, "{outcome}");
    }
    Neighbour::new();
    tare.tare(["network", "create", "--subnet=10.9.0.0/16", "two"]).fails(1, "this host has a route");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn prune_takes_what_no_container_is_in() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "used"]).ok();
    tare.tare(["network", "create", "idle"]).ok();
    tare.tare(["create", "--network=used", "busybox", "true"]).ok();
    tare.tare(["network", "prune", "-f"]).prints("Deleted Networks:\nidle");
    tare.tare(["system", "prune", "-f"]).says("used");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_check_finds_and_removes_what_was_left() {
    let tare = Tare::on_own_host();
    sleeper(&tare, "aa", &[]);
    let id = tare.tare(["network", "inspect", "-f", "{{.Id}}", "bridge"]).ok();
    let leases = tare.run_dir().join("networks").join(id.trim());
    std::os::unix::fs::symlink("f".repeat(64), leases.join("172.17.9.9")).unwrap();
    ip(&["link", "add", "tare0badcafe", "type", "veth", "peer", "name", "far"]);
    ip(&["link", "set", "tare0badcafe", "master", "tare0"]);
    let found = tare.tare(["system", "check"]);
    assert!(found.stdout().contains("172.17.9.9") && found.stdout().contains("tare0badcafe"), "{found}");
    Outcome::of(tare.command(["system", "check", "--repair"]).env("LC_ALL", "C"));
    tare.tare(["system", "check"]).ok();
    assert_eq!(e2e::names(&leases), ["172.17.0.2"]);
    assert!(!ip(&["-o", "link"]).contains("tare0badcafe"));
    assert!(pings(&tare, "aa", "172.17.0.1"), "what is in use stays");
}
