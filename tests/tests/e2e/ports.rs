//! Ports of the host that lead to containers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use e2e::{Neighbour, Outcome, Tare, until};

/// What a server at `address` says.
fn says(address: &str) -> String {
    let limit = Duration::from_secs(2);
    let stream = TcpStream::connect_timeout(&address.parse().unwrap(), limit);
    let mut said = String::new();
    if let Ok(mut stream) = stream {
        stream.set_read_timeout(Some(limit)).unwrap();
        let _ = stream.read_to_string(&mut said);
    }
    said
}

/// A container that greets everybody who connects to its port 80.
fn greeter(tare: &Tare, options: &[&str]) {
    let arguments = ["run", "-d", "--name", "web"].into_iter().chain(options.iter().copied());
    tare.tare(arguments.chain(["busybox", "nc", "-ll", "-p", "80", "-e", "echo", "hello"])).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_published_port_is_reached_from_everywhere() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    greeter(&tare, &["-p", "8080:80"]);
    until("the server listens", || says("127.0.0.1:8080") == "hello\n");
    assert_eq!(says("10.9.0.1:8080"), "hello\n", "from the host by another of its addresses");
    assert_eq!(neighbour.inside(|| says("10.9.0.1:8080")), "hello\n", "from a neighbour");
    let other = tare.tare(["run", "--rm", "busybox", "nc", "-w", "2", "10.9.0.1", "8080"]).ok();
    assert_eq!(other, "hello\n", "from another container");
    tare.tare(["exec", "web", "nc", "-w", "2", "172.17.0.1", "8080"]).prints("hello");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_server_sees_where_its_clients_are() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    tare.tare(["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "1000"]).ok();
    let listener = e2e::in_network_of(tare.pid("web"), || TcpListener::bind("0.0.0.0:80").unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let from = stream.peer_addr().unwrap().ip().to_string();
            (&stream).write_all(from.as_bytes()).unwrap();
        }
    });
    assert_eq!(neighbour.inside(|| says("10.9.0.1:8080")), Neighbour::ADDRESS);
    let other = tare.tare(["run", "--rm", "busybox", "nc", "-w", "2", "172.17.0.2", "80"]).ok();
    assert_eq!(other, "172.17.0.3");
    let other = tare.tare(["run", "--rm", "busybox", "nc", "-w", "2", "10.9.0.1", "8080"]).ok();
    assert_eq!(other, "172.17.0.3", "by the host's port");
    assert_eq!(says("127.0.0.1:8080"), "172.17.0.1", "the host");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn udp_is_published_too() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    tare.tare(["run", "-d", "--name", "dns", "-p", "5353:53/udp", "busybox", "sleep", "1000"]).ok();
    let server = e2e::in_network_of(tare.pid("dns"), || UdpSocket::bind("0.0.0.0:53").unwrap());
    let client = neighbour.inside(|| UdpSocket::bind("10.9.0.2:0").unwrap());
    let mut buffer = [0; 16];
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(e2e::PATIENCE)).unwrap();
    }
    client.connect("10.9.0.1:5353").unwrap();
    client.send(b"ping").unwrap();
    let (len, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from), (&b"ping"[..], client.local_addr().unwrap()));
    server.send_to(b"pong", from).unwrap();
    let len = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"pong");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_address_of_the_host_is_published_alone() {
    let tare = Tare::on_own_host();
    let neighbour = Neighbour::new();
    greeter(&tare, &["-p", "127.0.0.1:8080:80"]);
    until("the server listens", || says("127.0.0.1:8080") == "hello\n");
    assert_eq!(neighbour.inside(|| says("10.9.0.1:8080")), "");
    tare.tare(["port", "web"]).prints("80/tcp -> 127.0.0.1:8080");
    tare.tare(["run", "-d", "-p", "10.1.1.1:80:80", "busybox", "true"]).fails(125, "10.1.1.1:80/tcp");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn ports_are_chosen_counted_and_shown() {
    let tare = Tare::on_own_host();
    let options = ["-p", "8000-8002:80-82", "-p", "0:90/udp", "-p", "8100-8109:91", "--expose", "92", "-P"];
    greeter(&tare, &options);
    tare.tare(["port", "web", "81"]).prints("0.0.0.0:8001");
    tare.tare(["port", "web", "91/tcp"]).prints("0.0.0.0:8100");
    let free: u16 = tare.tare(["port", "web", "92"]).ok().trim().rsplit(':').next().unwrap().parse().unwrap();
    assert!(free > 1024, "{free}");
    tare.tare(["port", "web", "93"]).fails(1, "port 93 of container web is not published");
    let shown = tare.tare(["ps", "--format", "{{.Ports}}"]).ok();
    assert!(shown.contains("0.0.0.0:8000-8002->80-82/tcp") && shown.contains("->90/udp"), "{shown}");
    let container = tare.inspect("web");
    let ports = &container["NetworkSettings"]["Ports"];
    assert_eq!(ports["81/tcp"][0]["HostPort"], "8001");
    assert_eq!(ports["81/tcp"][0]["HostIp"], "0.0.0.0");
    assert_eq!(container["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "8000");
    assert!(container["Config"]["ExposedPorts"]["92/tcp"].is_object());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_conflict_names_who_has_the_port() {
    let tare = Tare::on_own_host();
    greeter(&tare, &["-p", "8080:80"]);
    tare.tare(["run", "--rm", "-p", "8080:80", "busybox", "true"]).fails(125, "container web has it");
    tare.tare(["run", "--rm", "-p", "127.0.0.1:8080:80", "busybox", "true"]).fails(125, "container web has it");
    assert!(TcpListener::bind("0.0.0.0:8080").is_err(), "the port is really taken");
    let _other = TcpListener::bind("127.0.0.1:9090").unwrap();
    tare.tare(["run", "--rm", "-p", "9090:80", "busybox", "true"]).fails(125, "another program of this host has it");
    tare.tare(["run", "--rm", "-p", "8080:80/udp", "busybox", "true"]).exits(0);
    // A choice of ports goes past those that are taken.
    tare.tare(["run", "-d", "--name", "next", "-p", "8080-8089:80", "busybox", "sleep", "1000"]).ok();
    tare.tare(["port", "next", "80"]).prints("0.0.0.0:8081");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_port_is_free_when_its_container_has_ended() {
    let tare = Tare::on_own_host();
    greeter(&tare, &["-p", "8080:80"]);
    until("the server listens", || says("127.0.0.1:8080") == "hello\n");
    tare.tare(["stop", "-t", "0", "web"]).ok();
    let rules = || Outcome::of(Command::new("nft").args(["list", "table", "inet", "tare"])).ok();
    until("the port leads nowhere", || !rules().contains("8080"));
    until("the port is free", || TcpListener::bind("0.0.0.0:8080").is_ok());
    tare.tare(["start", "web"]).ok();
    until("the server listens again", || says("127.0.0.1:8080") == "hello\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_port_stays_while_a_policy_starts_its_container_again() {
    let tare = Tare::on_own_host();
    let script = "test -e /once || { touch /once; exit 1; }; nc -ll -p 80 -e echo hello";
    tare.tare(["run", "-d", "--name", "web", "--restart=always", "-p", "0:80", "busybox", "sh", "-c", script]).ok();
    let port = tare.tare(["port", "web", "80"]).ok();
    let address = port.trim().replace("0.0.0.0", "127.0.0.1");
    until("the server listens", || says(&address) == "hello\n");
    tare.tare(["port", "web", "80"]).prints(port.trim());
    assert_eq!(tare.inspect("web")["RestartCount"], 1);
    assert!(TcpListener::bind(port.trim()).is_err(), "the port is still taken");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn ports_need_a_network_to_be_published_in() {
    let tare = Tare::on_own_host();
    tare.tare(["run", "--rm", "--network=none", "-p", "80", "busybox", "true"])
        .fails(125, "published ports and no network");
    tare.tare(["run", "--rm", "-p", "80:80:80:80", "busybox", "true"]).fails(125, "published port");
    tare.tare(["run", "--rm", "-p", "99999:80", "busybox", "true"]).fails(125, "65535");
}
