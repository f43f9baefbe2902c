use std::thread;

use oci::descriptor::media_type::OCI_MANIFEST;
use stdx::{Kind, Result};

use crate::harness::{Dir, NAME, PASSWORD, USER, by_password, by_token, client, knowing, pull, quick, reference};
use crate::testing::certificates::Authority;
use crate::testing::{Fault, Guard, Options, Server};
use crate::{Access, Client, Config, Credential, Credentials, Fetched, Which};

const BODY: &[u8] = br#"{"schemaVersion":2}"#;

fn filled(server: Server) -> Server {
    server.put_manifest(NAME, "t", OCI_MANIFEST, BODY);
    server
}

fn fetch(client: &Client, server: &Server) -> Result<Fetched> {
    client.repository(&reference(server, NAME), Access::Pull).manifest(Which::Tag("t"))
}

#[test]
fn anybody_gets_a_token_to_pull() {
    let server = filled(by_token());
    pull(&server).manifest(Which::Tag("t")).unwrap();
    let asked = server.asked("GET", "/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?service=test&scope=repository:team/app:pull");
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_token_is_used_until_it_expires() {
    let server = filled(by_token());
    let client = client(&quick());
    for _ in 0..3 {
        fetch(&client, &server).unwrap();
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fetch(&client, &server).unwrap());
        }
    });
    assert_eq!(server.asked("GET", "/token").len(), 1);
    // Only the first question of all is turned down.
    assert_eq!(server.asked("GET", "/manifests/").len(), 8);
    // Another repository needs another token, and a revoked one is replaced.
    let other = client.repository(&reference(&server, "other"), Access::Pull);
    assert_eq!(other.manifest(Which::Tag("t")).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(server.asked("GET", "/token").len(), 2);
    server.revoke_tokens();
    fetch(&client, &server).unwrap();
    assert_eq!(server.asked("GET", "/token").len(), 3);
}

#[test]
fn a_password_is_shown_to_the_token_server_and_a_token_to_the_registry() {
    let (server, dir) = (filled(by_token()), Dir::new());
    fetch(&knowing(&server, &dir), &server).unwrap();
    let asked = server.asked("GET", "/token");
    assert!(asked[0].header("authorization").unwrap().starts_with("Basic "));
    assert_eq!(asked[0].parameter("account").as_deref(), Some(USER));
    let shown = server.asked("GET", "/manifests/");
    assert_eq!(shown.last().unwrap().header("authorization"), Some("Bearer token-1"));
    // Without the right to push there is a word for it.
    let repository = client(&quick()).repository(&reference(&server, NAME), Access::Push);
    let error = repository.push_manifest(Which::Tag("x"), OCI_MANIFEST, BODY).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(
        error.to_string().ends_with("unauthorized: authentication required (hint: log in with `tare login`)"),
        "{error}"
    );
    let repository = knowing(&server, &dir).repository(&reference(&server, NAME), Access::Push);
    repository.push_manifest(Which::Tag("x"), OCI_MANIFEST, BODY).unwrap();
}

#[test]
fn an_identity_token_is_exchanged() {
    let (server, dir) = (filled(by_token()), Dir::new());
    server.set_identity_token("identity");
    let credentials = Credentials::at([dir.path("config.json")]);
    credentials.store(&server.host(), &Credential::IdentityToken("identity".into())).unwrap();
    fetch(&Client::new(&quick(), credentials.clone()).unwrap(), &server).unwrap();
    assert_eq!(server.asked("POST", "/token").len(), 1);
    credentials.store(&server.host(), &Credential::IdentityToken("stale".into())).unwrap();
    let error = fetch(&Client::new(&quick(), credentials).unwrap(), &server).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("refused to give a token for the stored login: no such login"), "{error}");
}

#[test]
fn a_registry_token_is_shown_as_it_is() {
    let (server, dir) = (filled(by_token()), Dir::new());
    let credentials = Credentials::at([dir.path("config.json")]);
    credentials.store(&server.host(), &Credential::RegistryToken("given".into())).unwrap();
    let error = fetch(&Client::new(&quick(), credentials).unwrap(), &server).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(server.asked("GET", "/manifests/").last().unwrap().header("authorization"), Some("Bearer given"));
    assert!(server.asked("", "/token").is_empty());
}

#[test]
fn basic_authorization() {
    let (server, dir) = (filled(by_password()), Dir::new());
    let client = knowing(&server, &dir);
    fetch(&client, &server).unwrap();
    fetch(&client, &server).unwrap();
    assert_eq!(server.asked("GET", "/manifests/").len(), 3);
    let error = fetch(&crate::harness::client(&quick()), &server).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("log in"), "{error}");
}

#[test]
fn a_wrong_password_is_told_once() {
    let dir = Dir::new();
    for (server, words) in [(by_password(), "authentication required"), (by_token(), "incorrect username or password")]
    {
        let credentials = Credentials::at([dir.path("config.json")]);
        let wrong = Credential::Password { user: USER.into(), password: "secret".into() };
        credentials.store(&server.host(), &wrong).unwrap();
        let error = fetch(&Client::new(&quick(), credentials).unwrap(), &server).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        // Again and again would lock the account.
        assert!(server.asked("GET", "").iter().filter(|asked| asked.header("authorization").is_some()).count() <= 1);
    }
}

#[test]
fn a_token_server_that_fails_in_passing_is_asked_again() {
    let server = filled(by_token());
    server.fail("GET", "/token", Fault::status(503));
    server.fail("GET", "/token", Fault::Drop);
    server.fail("GET", "/token", Fault::Cut(3));
    pull(&server).manifest(Which::Tag("t")).unwrap();
}

#[test]
fn a_token_that_pleases_nobody_is_not_fetched_for_ever() {
    let server = filled(by_token());
    server.fail_times(99, "GET", "/token", Fault::Status(200, Vec::new(), r#"{"token":"x"}"#.to_owned()));
    let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(server.asked("GET", "/token").len(), 1);
}

#[test]
fn hostile_tokens_are_refused() {
    let server = filled(by_token());
    for (body, words) in [
        (r#"{"token":"a\r\nX-Evil: b"}"#.to_owned(), "strange characters"),
        (format!(r#"{{"token":"{}"}}"#, "a".repeat(60_000)), "too long"),
        (r#"{"token":""}"#.to_owned(), "without a token"),
        ("[]".to_owned(), "invalid JSON"),
        ("nonsense".to_owned(), "invalid JSON"),
        (" ".repeat(2 << 20), "more than 1048576 bytes"),
    ] {
        server.fail("GET", "/token", Fault::Status(200, Vec::new(), body));
        let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_token_server_is_a_url_and_no_less_encrypted_than_the_registry() {
    let server_of = |realm: String, tls| {
        let guard = Guard::Token { user: USER.into(), password: PASSWORD.into() };
        Server::with(Options { guard, realm: Some(realm), tls, ..Options::default() })
    };
    for realm in ["file:///etc/passwd", "", "auth.example/token", "https://user@auth.example/token"] {
        let error = pull(&server_of(realm.to_owned(), None)).manifest(Which::Tag("t")).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("which is no URL"), "{error}");
    }
    let (elsewhere, dir) = (by_token(), Dir::new());
    let tls = Authority::new("test").identity(&["127.0.0.1"]).server(None);
    let server = server_of(elsewhere.url("/token"), Some(tls));
    let error = fetch(&knowing(&server, &dir), &server).unwrap_err();
    assert!(error.to_string().contains("which is not encrypted"), "{error}");
    assert!(elsewhere.asked("", "").is_empty());
}

#[test]
fn a_way_that_is_not_known_is_named() {
    let server = Server::start();
    let headers = vec![("WWW-Authenticate", "Negotiate".to_owned())];
    server.fail("GET", "/manifests/", Fault::Status(401, headers, String::new()));
    let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("\"Negotiate\""), "{error}");
    server.fail_times(9, "GET", "/manifests/", Fault::status(401));
    let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
    assert!(error.to_string().ends_with("401 unauthorized (hint: log in with `tare login`)"), "{error}");
}

#[test]
fn a_helper_that_fails_does_not_keep_from_pulling() {
    let (server, dir) = (filled(by_token()), Dir::new());
    dir.write("config.json", r#"{"credsStore": "tare-no-such-helper"}"#);
    let credentials = Credentials::at([dir.path("config.json")]);
    let client = Client::new(&Config { ..quick() }, credentials).unwrap();
    fetch(&client, &server).unwrap();
    let notes = client.take_notes();
    assert_eq!(
        notes,
        ["cannot run credential helper \"docker-credential-tare-no-such-helper\": no such file or directory"]
    );
    let repository = client.repository(&reference(&server, "new"), Access::Push);
    let pushed = repository.push_manifest(Which::Tag("t"), OCI_MANIFEST, BODY);
    assert!(pushed.is_err());
}
