//! Containers find each other by name.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{Neighbour, Outcome, Tare, ip, until};

fn sleeper(tare: &Tare, name: &str, options: &[&str]) {
    let arguments = ["run", "-d", "--name", name].into_iter().chain(options.iter().copied());
    tare.tare(arguments.chain(["busybox", "sleep", "1000"])).ok();
}

/// What `name` leads to, asked by a container: its last address.
fn look_up(tare: &Tare, from: &str, name: &str) -> Option<String> {
    let outcome = tare.tare(["exec", from, "nslookup", name]);
    let said = outcome.stdout();
    let address = said.lines().filter_map(|line| line.strip_prefix("Address: ")).next_back();
    (outcome.code() == 0).then(|| address.unwrap_or_default().to_owned())
}

/// The processes of the resolver: the one that keeps it, and itself.
fn resolvers(tare: &Tare) -> Vec<u32> {
    let is_one = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"serve\0"));
    tare.processes().into_iter().filter(is_one).collect()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_name_an_alias_and_an_id_lead_to_a_container_in_the_same_network() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    tare.tare(["network", "create", "--subnet=10.6.0.0/24", "red"]).ok();
    sleeper(&tare, "web", &["--network=blue", "--network-alias=www"]);
    sleeper(&tare, "db", &["--network=blue"]);
    sleeper(&tare, "far", &["--network=red"]);
    let id = tare.inspect("web")["Id"].as_str().unwrap()[..12].to_owned();
    for name in ["web", "WWW", "web.blue", &id] {
        assert_eq!(look_up(&tare, "db", name).as_deref(), Some("10.5.0.2"), "{name}");
    }
    tare.tare(["exec", "db", "nslookup", "10.5.0.2"]).says("name = web.blue");
    assert_eq!(look_up(&tare, "far", "web"), None);

    tare.tare(["network", "connect", "--alias=guest", "blue", "far"]).ok();
    assert_eq!(look_up(&tare, "far", "web").as_deref(), Some("10.5.0.2"));
    assert_eq!(look_up(&tare, "db", "guest").as_deref(), Some("10.5.0.4"));
    tare.tare(["network", "disconnect", "blue", "far"]).ok();
    assert_eq!(look_up(&tare, "db", "guest"), None);

    tare.tare(["rename", "web", "site"]).ok();
    assert_eq!(look_up(&tare, "db", "site").as_deref(), Some("10.5.0.2"));
    assert_eq!(look_up(&tare, "db", "web"), None);
    tare.tare(["rm", "-f", "site"]).ok();
    until("the name is nobody's", || look_up(&tare, "db", "site").is_none());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_that_joins_later_learns_names() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    sleeper(&tare, "plain", &[]);
    sleeper(&tare, "web", &["--network=blue"]);
    assert!(!tare.tare(["exec", "plain", "cat", "/etc/resolv.conf"]).ok().contains("127.0.0.11"));
    tare.tare(["network", "connect", "blue", "plain"]).ok();
    assert_eq!(look_up(&tare, "plain", "web").as_deref(), Some("10.5.0.2"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn other_names_are_asked_of_servers_but_not_from_an_internal_network() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    let server = neighbour.inside(|| UdpSocket::bind((Neighbour::ADDRESS, 53)).unwrap());
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    // It answers every question with the question itself, and no such name.
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            ASKED.fetch_add(1, Ordering::SeqCst);
            buffer[2] |= 0x80;
            buffer[3] = buffer[3] & 0xf0 | 3;
            let _ = server.send_to(&buffer[..len], from);
        }
    });
    tare.tare(["network", "create", "blue"]).ok();
    tare.tare(["network", "create", "--internal", "vault"]).ok();
    let ask = |network: &str| {
        let begin = Instant::now();
        let words =
            ["run", "--rm", "--network", network, "--dns", Neighbour::ADDRESS, "busybox", "nslookup", "example.com"];
        let outcome = tare.tare(words);
        assert!(outcome.stdout().contains("NXDOMAIN") || outcome.stderr().contains("NXDOMAIN"), "{outcome}");
        begin.elapsed()
    };
    ask("blue");
    let asked = ASKED.load(Ordering::SeqCst);
    assert!(asked > 0, "nobody was asked");
    assert!(ask("vault") < Duration::from_secs(10), "who is in an internal network does not wait");
    assert_eq!(ASKED.load(Ordering::SeqCst), asked, "a name has left the internal network");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_dead_resolver_is_back_within_a_second_and_one_that_nobody_needs_is_gone() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    sleeper(&tare, "web", &["--network=blue"]);
    sleeper(&tare, "db", &["--network=blue"]);
    let before = resolvers(&tare);
    assert_eq!(before.len(), 1, "one for all");
    Outcome::of(Command::new("kill").args(["-9", &before[0].to_string()])).ok();
    let begin = Instant::now();
    until("names are back", || look_up(&tare, "db", "web").as_deref() == Some("10.5.0.2"));
    assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
    assert_ne!(resolvers(&tare), before);
    tare.tare(["rm", "-f", "web", "db"]).ok();
    until("the resolver is gone", || resolvers(&tare).is_empty());
    until("its sockets keep no device", || !ip(&["-o", "link"]).contains("master tare-"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_container_may_have_a_server_of_names_itself() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    sleeper(&tare, "dns", &["--network=blue"]);
    let bind = || (UdpSocket::bind("0.0.0.0:53").is_ok(), std::net::TcpListener::bind("0.0.0.0:53").is_ok());
    assert_eq!(e2e::in_network_of(tare.pid("dns"), bind), (true, true));
    assert_eq!(look_up(&tare, "dns", "dns").as_deref(), Some("10.5.0.2"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_hundred_containers_started_four_at_a_time_have_addresses_and_names_of_their_own() {
    const ALL: usize = 100;
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|number| *number < ALL) {
                    sleeper(&tare, &format!("box{number}"), &["--network=blue"]);
                }
            });
        }
    });
    let script = format!("for n in $(seq 0 {}); do nslookup box$n | tail -n +3 | grep Address:; done", ALL - 1);
    let found = tare.tare(["exec", "box0", "sh", "-c", &script]).ok();
    let addresses: std::collections::BTreeSet<&str> = found.lines().collect();
    assert_eq!((found.lines().count(), addresses.len()), (ALL, ALL), "{found}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn who_comes_and_goes_leaves_nothing() {
    let tare = Tare::on_own_host();
    tare.tare(["network", "create", "--subnet=10.5.0.0/24", "blue"]).ok();
    sleeper(&tare, "web", &[]);
    let rules = || Outcome::of(Command::new("nft").args(["list", "table", "inet", "tare"])).ok();
    let before = rules();
    for _ in 0..50 {
        tare.tare(["network", "connect", "blue", "web"]).ok();
        tare.tare(["network", "disconnect", "blue", "web"]).ok();
    }
    assert_eq!(rules(), before);
    until("its devices are gone", || !ip(&["-o", "link"]).contains("master tare-"));
    let id = tare.tare(["network", "inspect", "-f", "{{.Id}}", "blue"]).ok();
    assert_eq!(e2e::names(&tare.run_dir().join("networks").join(id.trim())), [""; 0]);
}
