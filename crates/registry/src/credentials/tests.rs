use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;
use crate::harness::Dir;

fn at(dir: &Dir) -> Credentials {
    Credentials::at([dir.path("config.json")])
}

fn password(user: &str, password: &str) -> Credential {
    Credential::Password { user: user.into(), password: password.into() }
}

fn stored(dir: &Dir) -> Value {
    serde_json::from_slice(&fs::read(dir.path("config.json")).unwrap()).unwrap()
}

#[test]
fn dockers_file_is_understood() {
    let dir = Dir::new();
    // "user:pass:word", "hub:x"
    dir.write(
        "config.json",
        r#"{"auths": {
            "a.example": {"auth": "dXNlcjpwYXNzOndvcmQ="},
            "https://b.example:5000/v1/": {"username": "b", "password": "p"},
            "c.example": {"auth": "", "identitytoken": "id"},
            "d.example": {"registrytoken": "reg", "auth": "dXNlcjpwYXNzOndvcmQ="},
            "e.example": {},
            "f.example/team": {"auth": "dXNlcjpwYXNzOndvcmQ="},
            "https://index.docker.io/v1/": {"auth": "aHViOng="}
        }}"#,
    );
    for (registry, expected) in [
        ("a.example", Some(password("user", "pass:word"))),
        ("A.example", Some(password("user", "pass:word"))),
        ("a.example:5000", None),
        ("b.example:5000", Some(password("b", "p"))),
        ("c.example", Some(Credential::IdentityToken("id".into()))),
        ("d.example", Some(Credential::RegistryToken("reg".into()))),
        ("e.example", None),
        ("f.example", None),
        ("docker.io", Some(password("hub", "x"))),
    ] {
        assert_eq!(at(&dir).get(registry).unwrap(), expected, "{registry}");
    }
}

#[test]
fn what_is_missing_or_broken() {
    let dir = Dir::new();
    assert_eq!(at(&dir).get("a").unwrap(), None);
    dir.write("config.json", " \n");
    assert_eq!(at(&dir).get("a").unwrap(), None);
    for (text, words) in [
        ("{", "is invalid"),
        (r#"{"auths": {"a": {"auth": "!!"}}}"#, "no usable credentials for \"a\""),
        (r#"{"auths": {"a": {"auth": "YQ=="}}}"#, "has no colon"),
        (r#"{"auths": {"a": {"auth": "//8="}}}"#, "is not text"),
        (r#"{"credHelpers": {"a": "../evil"}}"#, "invalid credential helper"),
    ] {
        dir.write("config.json", text);
        let error = at(&dir).get("a").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_login_keeps_what_else_is_in_the_file() {
    let dir = Dir::new();
    dir.write(
        "config.json",
        r#"{"psFormat": "x", "auths": {"b": {"auth": "x"}, "https://a/v1/": {}}, "proxies": {"default": {}}}"#,
    );
    let path = at(&dir).store("a", &password("u", "p")).unwrap();
    assert_eq!(path, Some(dir.path("config.json")));
    let expected =
        json!({"psFormat": "x", "auths": {"b": {"auth": "x"}, "a": {"auth": "dTpw"}}, "proxies": {"default": {}}});
    assert_eq!(stored(&dir), expected);
    let mode = fs::metadata(dir.path("config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(at(&dir).erase("a").unwrap());
    assert!(!at(&dir).erase("a").unwrap());
    assert_eq!(stored(&dir)["auths"], json!({"b": {"auth": "x"}}));
    assert_eq!(at(&dir).store("docker.io", &Credential::IdentityToken("t".into())).unwrap(), path);
    assert_eq!(stored(&dir)["auths"]["https://index.docker.io/v1/"], json!({"identitytoken": "t"}));
}

#[test]
fn a_new_file_and_its_directory_are_private_and_a_link_stays_one() {
    let dir = Dir::new();
    let path = dir.path("home/.docker/config.json");
    Credentials::at([path.clone()]).store("a", &password("u", "p")).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::os::unix::fs::symlink(&path, dir.path("config.json")).unwrap();
    at(&dir).store("b", &password("u", "p")).unwrap();
    assert!(fs::symlink_metadata(dir.path("config.json")).unwrap().is_symlink());
    assert_eq!(Credentials::at([path]).get("b").unwrap(), Some(password("u", "p")));
}

#[test]
fn logins_at_the_same_time_do_not_lose_each_other() {
    let dir = Dir::new();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let credentials = at(&dir);
            scope.spawn(move || credentials.store(&format!("host{number}"), &password("u", "p")).unwrap());
        }
    });
    assert_eq!(stored(&dir)["auths"].as_object().unwrap().len(), 16);
}

#[test]
fn the_environment_says_where() {
    let dir = Dir::new();
    let home = dir.path("home").to_str().unwrap().to_owned();
    let env = |pairs: &[(&str, String)]| {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        Credentials::from_env(move |name| pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()))
    };
    let credential = password("u", "p");
    let only_home = env(&[("HOME", home.clone())]);
    let path = only_home.store("a", &credential).unwrap().unwrap();
    assert_eq!(path, dir.path("home/.docker/config.json"));
    // tare's own file goes first, once there is one.
    dir.write("home/.config/tare/config.json", "{}");
    let path = env(&[("HOME", home.clone())]).store("b", &credential).unwrap().unwrap();
    assert_eq!(path, dir.path("home/.config/tare/config.json"));
    assert_eq!(env(&[("HOME", home.clone())]).get("a").unwrap(), Some(credential.clone()));
    let docker = dir.path("docker").to_str().unwrap().to_owned();
    let chosen = env(&[("HOME", home), ("DOCKER_CONFIG", docker)]);
    assert_eq!(chosen.get("a").unwrap(), None);
    assert_eq!(chosen.store("a", &credential).unwrap().unwrap(), dir.path("docker/config.json"));
    let error = env(&[]).store("a", &credential).unwrap_err().to_string();
    assert!(error.contains("no place to keep credentials"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let shown = format!("{:?} {:?}", password("u", "secret"), Credential::IdentityToken("secret".into()));
    assert!(!shown.contains("secret"), "{shown}");
}

/// A helper that keeps one secret in a file of its directory.
const HELPER: &str = r#"#!/bin/sh
dir=$(dirname "$0")
case $1 in
  store) cat > "$dir/kept" ;;
  erase) rm -f "$dir/kept" ;;
  get) read -r key
    [ "$key" = loud ] && { yes | head -c 1000000; exit 0; }
    [ "$key" = broken ] && { echo "the keychain is locked"; exit 1; }
    [ "$key" = nonsense ] && { echo "hello"; exit 0; }
    if [ -e "$dir/kept" ]; then cat "$dir/kept"; else echo "credentials not found in native keychain"; exit 1; fi ;;
esac
"#;

#[test]
fn helpers_keep_secrets() {
    let dir = Dir::new();
    let path = dir.write("bin/docker-credential-test", HELPER);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |verb: &str, key: &str| helper::run(path.to_str().unwrap(), "test", verb, key.as_bytes());
    let credential = |key: &str| helper::answer("test", run("get", key)?);
    assert_eq!(credential("a").unwrap(), None);
    let message = helper::message("a", &password("u", "p")).unwrap();
    run("store", std::str::from_utf8(&message).unwrap()).unwrap();
    assert_eq!(credential("a").unwrap(), Some(password("u", "p")));
    let message = helper::message("a", &Credential::IdentityToken("t".into())).unwrap();
    run("store", std::str::from_utf8(&message).unwrap()).unwrap();
    assert_eq!(credential("a").unwrap(), Some(Credential::IdentityToken("t".into())));
    run("erase", "a").unwrap();
    assert_eq!(credential("a").unwrap(), None);
    for (key, words) in [
        ("loud", "says more than 262144 bytes"),
        ("broken", "failed to get: the keychain is locked"),
        ("nonsense", "answered with invalid JSON"),
    ] {
        let error = credential(key).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_login_goes_to_the_helper_that_is_named() {
    let dir = Dir::new();
    dir.write("config.json", r#"{"credHelpers": {"a": "tare-no-such-helper"}, "auths": {"b": {"auth": "dTpw"}}}"#);
    let error = at(&dir).store("a", &password("u", "p")).unwrap_err().to_string();
    assert!(error.contains("docker-credential-tare-no-such-helper"), "{error}");
    // Nothing is left in plain text of what was meant for a helper.
    assert_eq!(stored(&dir)["auths"], json!({"b": {"auth": "dTpw"}}));
    assert_eq!(at(&dir).get("b").unwrap(), Some(password("u", "p")));
}
