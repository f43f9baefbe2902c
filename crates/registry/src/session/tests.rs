use oci::Reference;
use oci::descriptor::media_type::OCI_MANIFEST;
use stdx::{Kind, Result};

use crate::harness::{Dir, NAME, by_token, bytes, client, knowing, pull, quick, reference};
use crate::session::lead;
use crate::testing::certificates::Authority;
use crate::testing::{Fault, Options, Server};
use crate::url::Url;
use crate::{Access, Client, Config, Fetched, Which};
use std::io::Read;

const BODY: &[u8] = br#"{"schemaVersion":2}"#;

fn filled(options: Options) -> Server {
    let server = Server::with(options);
    server.put_manifest(NAME, "t", OCI_MANIFEST, BODY);
    server
}

fn fetch(client: &Client, server: &Server) -> Result<Fetched> {
    client.repository(&reference(server, NAME), Access::Pull).manifest(Which::Tag("t"))
}

#[test]
fn a_redirect_is_followed_without_credentials() {
    let (server, elsewhere, dir) = (by_token(), Server::start(), Dir::new());
    let content = bytes(3 << 20);
    let descriptor = server.put_blob(NAME, &content);
    elsewhere.put_blob("x", &content);
    let to = elsewhere.url(&format!("/v2/x/blobs/{}?signature=abc", descriptor.digest));
    let repository = knowing(&server, &dir).repository(&reference(&server, NAME), Access::Pull);
    repository.has_blob(descriptor.digest).unwrap();
    for status in [301, 302, 303, 307, 308] {
        server.fail_times(2, "GET", "/blobs/", Fault::redirect(status, to.clone()));
        // The stream that breaks begins again at the registry: a signature may be good only once.
        elsewhere.fail("GET", "/blobs/", Fault::Cut(2_000_000));
        let mut read = Vec::new();
        repository.blob(&descriptor, 0).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == content, "{status}");
    }
    let followed = elsewhere.asked("GET", "/v2/x/blobs/");
    assert_eq!(followed.len(), 10);
    assert!(followed.iter().all(|asked| asked.header("authorization").is_none()));
    assert_eq!(followed[1].header("range"), Some("bytes=2000000-"));
    assert!(server.asked("GET", "/blobs/").iter().all(|asked| asked.header("authorization").is_some()));
}

#[test]
fn redirects_that_lead_nowhere() {
    let server = filled(Options::default());
    server.fail_times(99, "GET", "/manifests/", Fault::redirect(302, "/v2/team/app/manifests/t"));
    let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
    assert!(error.to_string().ends_with("redirects more than 5 times"), "{error}");
    for to in ["", "file:///etc/passwd", "http://user:password@host/"] {
        let server = filled(Options::default());
        server.fail("GET", "/manifests/", Fault::redirect(302, to));
        let result = pull(&server).manifest(Which::Tag("t"));
        // An empty one is the place itself.
        assert_eq!(result.is_ok(), to.is_empty(), "{to}");
    }
}

#[test]
fn an_encrypted_registry_does_not_lead_to_a_plain_host() {
    let (authority, dir) = (Authority::new("test"), Dir::new());
    let identity = authority.identity(&["localhost", "127.0.0.1"]);
    let server = filled(Options { tls: Some(identity.server(None)), ..Options::default() });
    dir.write(&format!("{}/ca.crt", server.host()), &authority.pem());
    let config = Config { ca_dirs: vec![dir.as_ref().to_owned()], ..quick() };
    server.fail("GET", "/manifests/", Fault::redirect(302, "http://plain.example/"));
    let error = fetch(&client(&config), &server).unwrap_err();
    assert!(error.to_string().contains("\"http://plain.example/\", which is not encrypted"), "{error}");
}

#[test]
fn this_machine_is_spoken_to_in_tls_without_proof_or_plainly() {
    let identity = Authority::new("test").identity(&["elsewhere.example"]);
    let server = filled(Options { tls: Some(identity.server(None)), ..Options::default() });
    fetch(&client(&quick()), &server).unwrap();
    fetch(&client(&quick()), &filled(Options::default())).unwrap();
}

#[test]
fn who_has_authorities_for_a_host_wants_proof() {
    let (authority, other, dir) = (Authority::new("test"), Authority::new("other"), Dir::new());
    let config = Config { ca_dirs: vec![dir.as_ref().to_owned()], ..quick() };
    for (names, signer, words) in [
        (["127.0.0.1", "localhost"], &authority, None),
        (["127.0.0.1", "localhost"], &other, Some("invalid peer certificate: UnknownIssuer")),
        (
            ["elsewhere.example", "localhost"],
            &authority,
            Some("invalid peer certificate: certificate not valid for name"),
        ),
    ] {
        let identity = signer.identity(&names);
        let server = filled(Options { tls: Some(identity.server(None)), ..Options::default() });
        dir.write(&format!("{}/ca.crt", server.host()), &authority.pem());
        let result = fetch(&client(&config), &server);
        match words {
            None => drop(result.unwrap()),
            Some(words) => assert!(result.unwrap_err().to_string().contains(words), "{names:?}"),
        }
    }
    // A plain server is no substitute for one that proves itself.
    let server = filled(Options::default());
    dir.write(&format!("{}/ca.crt", server.host()), &authority.pem());
    assert!(fetch(&client(&config), &server).is_err());
    assert!(server.asked("", "").is_empty());
    // Unless the administrator says so.
    let config = Config { insecure: vec![server.host()], ..config };
    fetch(&client(&config), &server).unwrap();
}

#[test]
fn a_client_shows_its_certificate() {
    let (authority, dir) = (Authority::new("test"), Dir::new());
    let tls = authority.identity(&["127.0.0.1"]).server(Some(&authority));
    let server = filled(Options { tls: Some(tls), ..Options::default() });
    dir.write(&format!("{}/ca.crt", server.host()), &authority.pem());
    let config = Config { ca_dirs: vec![dir.as_ref().to_owned()], retries: 0, ..quick() };
    assert!(fetch(&client(&config), &server).is_err());
    let own = authority.identity(&["client"]);
    dir.write(&format!("{}/client.cert", server.host()), &own.certificate_pem());
    let error = fetch(&client(&config), &server).unwrap_err();
    assert!(error.to_string().contains("client.key"), "{error}");
    dir.write(&format!("{}/client.key", server.host()), &own.key_pem());
    fetch(&client(&config), &server).unwrap();
    dir.write(&format!("{}/bad.crt", server.host()), "nothing");
    assert!(fetch(&client(&config), &server).unwrap_err().to_string().contains("no certificate in"));
}

#[test]
fn another_machine_does_not_lead_to_this_one() {
    let context = client(&quick()).context;
    let remote = Url::parse("https://registry.example/v2/").unwrap();
    let local = Url::parse("http://127.0.0.1:5000/v2/").unwrap();
    for (from, to, expected) in [
        (&remote, "https://cdn.example/x", Ok("https://cdn.example/x")),
        (&remote, "https://localhost/x", Err("which is this machine")),
        (&remote, "http://127.0.0.1:2375/x", Err("which is this machine")),
        (&remote, "http://cdn.example/x", Err("which is not encrypted")),
        (&remote, "x\n", Err("which is no URL")),
        (&local, "http://localhost:9000/x", Ok("http://localhost:9000/x")),
    ] {
        assert_eq!(lead(&context, from, to).map(|url| url.to_string()), expected.map(str::to_owned), "{to}");
    }
}

fn mirrored(mirrors: &[&Server], registry: &Server) -> Client {
    let list = mirrors.iter().map(|mirror| mirror.url("/prefix")).collect();
    client(&Config { mirrors: [(registry.host(), list)].into(), ..quick() })
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_last() {
    let (first, second) = (Server::start(), filled(Options::default()));
    let registry = filled(Options::default());
    let client = mirrored(&[&first, &second], &registry);
    fetch(&client, &registry).unwrap();
    assert_eq!(first.asked("GET", "/prefix/v2/team/app/manifests/t").len(), 1);
    assert_eq!(second.asked("GET", "/manifests/").len(), 1);
    assert!(registry.asked("", "").is_empty());
    assert!(client.take_notes().is_empty());
    // What only the registry knows.
    client.repository(&reference(&registry, NAME), Access::Pull).tags().unwrap();
    client.repository(&reference(&registry, NAME), Access::Push).manifest(Which::Tag("t")).unwrap();
    assert_eq!(registry.asked("GET", "/v2/team/app/").len(), 2);
}

#[test]
fn a_mirror_that_fails_is_told_and_one_that_is_gone_is_asked_once() {
    let (broken, gone, registry) = (Server::start(), Server::start(), filled(Options::default()));
    broken.fail_times(99, "GET", "", Fault::status(500));
    let client = mirrored(&[&gone, &broken], &registry);
    let gone_host = gone.host();
    drop(gone);
    fetch(&client, &registry).unwrap();
    fetch(&client, &registry).unwrap();
    let notes = client.take_notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!(
        notes[0],
        format!("mirror \"{gone_host}\" is passed over: cannot reach \"{gone_host}\": connection refused")
    );
    assert!(notes[1].contains("failed to give manifest"), "{notes:?}");
    assert_eq!(broken.asked("GET", "/manifests/").len(), 2);
    let given_up: Vec<bool> =
        client.context.endpoints(&registry.host()).unwrap().iter().map(|endpoint| endpoint.is_gone()).collect();
    assert_eq!(given_up, [true, false, false]);
}

#[test]
fn a_blob_that_breaks_at_a_mirror_comes_from_the_registry() {
    let (mirror, registry) = (Server::start(), Server::start());
    let content = bytes(3 << 20);
    let descriptor = mirror.put_blob(NAME, &content);
    registry.put_blob(NAME, &content);
    mirror.fail("GET", "/blobs/", Fault::Cut(1_000_000));
    mirror.fail_times(99, "GET", "/blobs/", Fault::status(500));
    let client = mirrored(&[&mirror], &registry);
    let mut reader = client.repository(&reference(&registry, NAME), Access::Pull).blob(&descriptor, 0).unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == content);
    assert_eq!(reader.resumed_at(), [1_000_000]);
    assert_eq!(client.take_notes().len(), 1);
}

#[test]
fn an_invalid_registry_or_mirror_is_told() {
    let config = Config { mirrors: [("a.example".to_owned(), vec!["::".to_owned()])].into(), ..quick() };
    let repository = client(&config).repository(&Reference::parse("a.example/x").unwrap(), Access::Pull);
    let error = repository.tags().unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Invalid, "invalid mirror \"::\""));
}
