use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use stdx::Kind;

use super::*;
use crate::harness::{Dir, PASSWORD, USER, by_password, by_token, client, quick};
use crate::testing::certificates::Authority;
use crate::testing::{Fault, Options, Server};

#[test]
fn a_registry_answers_and_another_thing_does_not() {
    let server = Server::start();
    client(&quick()).ping(&server.host()).unwrap();
    server.fail_times(2, "GET", "/v2/", Fault::status(404));
    let error = client(&quick()).ping(&server.host()).unwrap_err().to_string();
    assert!(error.contains("has no version 2 of the protocol"), "{error}");
    // What a server says to plain HTTP that wants TLS, which failed.
    server.fail_times(9, "GET", "/v2/", Fault::status(400));
    let error = client(&quick()).ping(&server.host()).unwrap_err().to_string();
    assert!(error.starts_with("cannot reach"), "{error}");
    let gone = server.host();
    drop(server);
    let error = client(&quick()).ping(&gone).unwrap_err().to_string();
    assert_eq!(error, format!("cannot reach \"{gone}\": connection refused"));
}

#[test]
fn a_host_that_does_not_exist_is_told() {
    let error = client(&quick()).ping("no-such-host.invalid").unwrap_err().to_string();
    assert!(error.starts_with("cannot reach \"no-such-host.invalid\": "), "{error}");
}

#[test]
fn a_login_is_verified_before_it_is_worth_anything() {
    for server in [by_password(), by_token()] {
        let client = client(&quick());
        let credential = client.login(&server.host(), USER, PASSWORD).unwrap();
        assert_eq!(credential, Credential::Password { user: USER.into(), password: PASSWORD.into() });
        let error = client.login(&server.host(), USER, "wrong").unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[test]
fn a_login_may_bring_a_token_to_keep_instead_of_the_password() {
    let server = by_token();
    server.set_identity_token("identity");
    let client = client(&quick());
    let credential = client.login(&server.host(), USER, PASSWORD).unwrap();
    assert_eq!(credential, Credential::IdentityToken("identity".into()));
    let asked = server.asked("GET", "/token");
    assert_eq!(asked[0].parameter("offline_token").as_deref(), Some("true"));
    assert_eq!(asked[0].parameter("account").as_deref(), Some(USER));
}

#[test]
fn a_token_server_that_knows_only_forms() {
    let server = by_token();
    server.fail("GET", "/token", Fault::status(405));
    client(&quick()).login(&server.host(), USER, PASSWORD).unwrap();
    assert_eq!(server.asked("POST", "/token").len(), 1);
}

/// A proxy that connects one client to `to`, whatever it asks for, and returns what it asked for.
fn proxy(to: String) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let proxy = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let mut head = BufReader::new(&client);
        let mut asked = String::new();
        while !asked.ends_with("\r\n\r\n") {
            head.read_line(&mut asked).unwrap();
        }
        (&client).write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let server = TcpStream::connect(to).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| drop(io::copy(&mut &client, &mut &server)));
            let _ = io::copy(&mut &server, &mut &client);
            let _ = client.shutdown(std::net::Shutdown::Both);
            let _ = server.shutdown(std::net::Shutdown::Both);
        });
        asked
    });
    (address, proxy)
}

#[test]
fn a_registry_behind_a_proxy() {
    let (authority, dir) = (Authority::new("test"), Dir::new());
    let tls = authority.identity(&["registry.invalid"]).server(None);
    let server = Server::with(Options { tls: Some(tls), ..Options::default() });
    dir.write("registry.invalid/ca.crt", &authority.pem());
    let config = Config { ca_dirs: vec![dir.as_ref().to_owned()], ..quick() };
    let (address, proxy) = proxy(server.host());
    let proxies = Proxies::from_env(|name| (name == "HTTPS_PROXY").then(|| format!("http://me:secret@{address}")));
    let client = Client::through(&config, Credentials::none(), proxies);
    client.ping("registry.invalid").unwrap();
    drop((client, server));
    let asked = proxy.join().unwrap();
    assert!(asked.starts_with("CONNECT registry.invalid:443 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("Basic bWU6c2VjcmV0"), "{asked}");
}

#[test]
fn a_proxy_that_is_not_there_is_told() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxies = Proxies::from_env(|name| (name == "HTTPS_PROXY").then(|| format!("http://{gone}")));
    let client = Client::through(&quick(), Credentials::none(), proxies);
    let error = client.ping("registry.invalid").unwrap_err().to_string();
    assert_eq!(error, "cannot reach \"registry.invalid\" through a proxy: connection refused");
}
