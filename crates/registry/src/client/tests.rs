use stdx::Kind;

use super::*;
use crate::harness::{PASSWORD, USER, by_password, by_token, client, quick};
use crate::testing::{Fault, Server};

#[test]
fn a_registry_answers_and_another_thing_does_not() {
    let server = Server::start();
    client(&quick()).ping(&server.host()).unwrap();
    server.fail_times(2, "GET", "/v2/", Fault::status(404));
    let error = client(&quick()).ping(&server.host()).unwrap_err().to_string();
    assert!(error.contains("has no version 2 of the protocol"), "{error}");
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
