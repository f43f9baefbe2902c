//! What stands between a registry and its user: credential helpers, limits, proxies, mirrors.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use e2e::registry::Secure;
use e2e::{Archive, Outcome, Tare};
use registry::testing::{Fault, Server};
use serde_json::{Value, json};

use crate::pull::serve;

/// Keeps what it is given in a file beside itself.
const HELPER: &str = r#"#!/bin/sh
kept=$(dirname "$0")/kept
case $1 in
store) cat > "$kept";;
get) read -r server
     if grep -q "\"ServerURL\":\"$server\"" "$kept" 2>/dev/null; then cat "$kept"
     else echo "credentials not found in native keychain"; exit 1; fi;;
erase) rm -f "$kept";;
esac
"#;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn credential_helpers_keep_passwords() {
    let registry = Secure::start();
    let tare = Tare::new();
    let name = format!("{}/box:v1", registry.address());
    tare.tare(["tag", "busybox", &name]).ok();
    let settings = tare.file("config.toml", format!("[registry]\nca_dirs = [{:?}]\n", registry.certs_dir()));
    let bin = tare.dir("bin");
    let program = bin.join("docker-credential-tiny");
    fs::write(&program, HELPER).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for (at, config) in
        [json!({"credsStore": "tiny"}), json!({"credHelpers": {registry.address(): "tiny"}})].iter().enumerate()
    {
        let docker = tare.dir(&format!("docker-{at}"));
        fs::write(docker.join("config.json"), config.to_string()).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = tare.command(arguments);
            command.env("TARE_CONFIG", &settings).env("DOCKER_CONFIG", &docker).env("PATH", &path);
            Outcome::of(&mut command)
        };
        run(&["push", &name]).fails(1, "log in");
        let login = run(&["login", "-u", registry.user(), "-p", registry.password(), registry.address()]);
        login.prints("Login Succeeded");
        assert!(!login.stderr().contains("unencrypted"), "{login}");
        let kept: Value = serde_json::from_slice(&fs::read(bin.join("kept")).unwrap()).unwrap();
        assert_eq!(
            kept,
            json!({"ServerURL": registry.address(), "Username": registry.user(), "Secret": registry.password()})
        );
        let file = fs::read_to_string(docker.join("config.json")).unwrap();
        assert!(!file.contains("\"auth\""), "{file}");
        run(&["push", &name]).ok();
        run(&["pull", &name]).ok();
        run(&["logout", registry.address()]).ok();
        assert!(!bin.join("kept").exists());
        run(&["pull", &name]).fails(1, "log in");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_rate_limit_is_obeyed_and_told() {
    let server = Server::start();
    let (name, _) = serve(&server, &Archive::new().file("a", b"1").finish());
    let tare = Tare::empty();
    let again = |seconds: &str| vec![("Retry-After", seconds.to_owned())];
    server.fail("GET", "/manifests/", Fault::Status(429, again("0"), String::new()));
    tare.tare(["pull", "-q", &name]).prints(&name);
    assert_eq!(server.asked("GET", "/manifests/").len(), 2);
    let body = r#"{"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}"#;
    server.fail_times(9, "GET", "/manifests/", Fault::Status(429, again("86400"), body.to_owned()));
    let told = tare.tare(["pull", &name]);
    told.fails(1, "so often: toomanyrequests: You have reached your pull rate limit");
    assert_eq!(server.asked("GET", "/manifests/").len(), 3, "a day is not waited for");
}

/// A proxy that leads everything to one address; what it was asked for.
fn proxy(to: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (to, heard) = (to.clone(), Arc::clone(&heard));
            std::thread::spawn(move || tunnel(stream, &to, &heard));
        }
    });
    (address, asked)
}

fn tunnel(mut client: TcpStream, to: &str, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    heard.lock().unwrap().push(line.trim_end().to_owned());
    while reader.read_line(&mut line)? > 2 {}
    let mut server = TcpStream::connect(to)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut back, mut into) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut back, &mut into).and_then(|_| into.shutdown(Shutdown::Both)));
    std::io::copy(&mut reader, &mut server)?;
    server.shutdown(Shutdown::Both)
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_proxy_leads_to_a_registry_without_tls_if_both_are_allowed() {
    let server = Server::start();
    serve(&server, &Archive::new().file("a", b"1").finish());
    let (proxy, asked) = proxy(server.host());
    let tare = Tare::empty();
    let name = "registry.example:5000/box:latest";
    let quick = "retries = 0\npause = 0.01\n";
    let insecure = tare.file("insecure.toml", format!("[registry]\ninsecure = [\"registry.example:5000\"]\n{quick}"));
    let strict = tare.file("strict.toml", format!("[registry]\n{quick}"));
    let pull = |settings: &str, none: &str| -> Command {
        let mut command = tare.command(["pull", "-q", name]);
        command.env("TARE_CONFIG", settings).env("NO_PROXY", none);
        command.env("HTTP_PROXY", format!("http://{proxy}")).env("https_proxy", format!("http://{proxy}"));
        command
    };
    // The server speaks no TLS.
    assert_eq!(Outcome::of(&mut pull(&strict, "")).code(), 1);
    Outcome::of(&mut pull(&insecure, "elsewhere.example")).prints(name);
    let heard = asked.lock().unwrap().clone();
    assert!(!heard.is_empty() && heard.iter().all(|line| line.contains("registry.example:5000")), "{heard:?}");
    let direct = Outcome::of(&mut pull(&insecure, "registry.example"));
    assert_eq!((direct.code(), asked.lock().unwrap().len()), (1, heard.len()), "{direct}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_mirror_is_asked_before_the_registry_and_the_registry_when_it_fails() {
    let (registry, mirror) = (Server::start(), Server::start());
    let layer = Archive::new().file("a", b"1").finish();
    let (name, path) = serve(&registry, &layer);
    serve(&mirror, &layer);
    let tare = Tare::empty();
    let (from, to) = (registry.host(), mirror.url(""));
    let settings = format!("[registry]\nretries = 0\n[registry.mirrors]\n{from:?} = [{to:?}]\n");
    let settings = tare.file("config.toml", settings);
    let pull = || Outcome::of(tare.command(["pull", "-q", &name]).env("TARE_CONFIG", &settings));
    pull().prints(&name);
    assert_eq!((registry.asked("GET", "/").len(), mirror.asked("GET", &path).len()), (0, 1));
    tare.tare(["rmi", &name]).ok();
    mirror.fail_times(9, "GET", "/", Fault::status(500));
    let outcome = pull();
    outcome.prints(&name);
    assert!(outcome.stderr().contains("WARNING"), "{outcome}");
    assert_eq!(registry.asked("GET", &path).len(), 1);
}
