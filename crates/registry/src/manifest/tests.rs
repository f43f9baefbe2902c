use oci::descriptor::media_type;
use oci::{BlobDigest, Digest};
use stdx::Kind;

use super::*;
use crate::Access;
use crate::harness::{NAME, client, pull, push, quick, reference};
use crate::testing::{Fault, Server};

const BODY: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}"#;
const PLAIN: &str = r#"{"schemaVersion":2,"layers":[]}"#;

fn digest(text: &str) -> BlobDigest {
    BlobDigest::new(Digest::of(text.as_bytes()))
}

fn server() -> Server {
    let server = Server::start();
    server.put_manifest(NAME, "v1", media_type::OCI_MANIFEST, BODY.as_bytes());
    server
}

#[test]
fn a_manifest_comes_by_tag_and_by_digest() {
    let server = server();
    for which in [Which::Tag("v1"), Which::Digest(digest(BODY))] {
        let fetched = pull(&server).manifest(which).unwrap();
        assert_eq!(fetched.bytes, BODY.as_bytes());
        assert_eq!(fetched.descriptor, Descriptor::new(media_type::OCI_MANIFEST, digest(BODY), BODY.len() as u64));
    }
    let accept = server.asked("GET", "/manifests/v1")[0].header("accept").unwrap().to_owned();
    for wanted in
        [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_INDEX, media_type::DOCKER_MANIFEST]
    {
        assert!(accept.contains(wanted), "{accept}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let server = server();
    let error = pull(&server).manifest(Which::Tag("v2")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let host = server.host();
    assert_eq!(
        error.to_string(),
        format!("registry \"{host}\" has no manifest \"{host}/team/app:v2\": manifest unknown")
    );
}

#[test]
fn other_bytes_than_the_digest_says_are_refused() {
    let server = server();
    for which in [Which::Tag("v1"), Which::Digest(digest(BODY))] {
        server.fail("GET", "/manifests/", Fault::WrongByte);
        let error = pull(&server).manifest(which).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("has digest sha256:"), "{error}");
    }
    // A registry that lies about the digest of a tag, and one that gives another manifest than was asked for.
    server.fail("GET", "/manifests/", Fault::Header("Docker-Content-Digest", digest("x").to_string()));
    assert_eq!(pull(&server).manifest(Which::Tag("v1")).unwrap_err().kind(), Kind::Corrupt);
    server.fail("GET", "/manifests/", Fault::Status(200, Vec::new(), PLAIN.to_owned()));
    assert_eq!(pull(&server).manifest(Which::Digest(digest(BODY))).unwrap_err().kind(), Kind::Corrupt);
    // One of an algorithm that says nothing here is passed over.
    server.fail("GET", "/manifests/", Fault::Header("Docker-Content-Digest", format!("sha512:{}", "a".repeat(128))));
    pull(&server).manifest(Which::Tag("v1")).unwrap();
}

#[test]
fn the_media_type_is_what_the_document_says() {
    let server = Server::start();
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    for (content_type, body, expected) in [
        ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", PLAIN, media_type::OCI_MANIFEST),
        ("Application/vnd.docker.distribution.manifest.v2+JSON", PLAIN, media_type::DOCKER_MANIFEST),
        ("application/json", BODY, media_type::OCI_MANIFEST),
        ("text/plain", PLAIN, media_type::OCI_MANIFEST),
        ("", index, media_type::OCI_INDEX),
    ] {
        server.put_manifest(NAME, "t", content_type, body.as_bytes());
        assert_eq!(pull(&server).manifest(Which::Tag("t")).unwrap().descriptor.media_type, expected, "{content_type}");
    }
    for (content_type, body, kind, words) in [
        (media_type::OCI_INDEX, BODY, Kind::Corrupt, "and the registry says"),
        (media_type::OCI_MANIFEST, "[]", Kind::Corrupt, "is no JSON"),
        (media_type::OCI_MANIFEST, "nonsense", Kind::Corrupt, "is no JSON"),
        ("", r#"{"schemaVersion":1}"#, Kind::Unsupported, "schema 1"),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", PLAIN, Kind::Unsupported, "schema 1"),
        ("", r#"{"mediaType":"application/x"}"#, Kind::Unsupported, "which is not an image"),
    ] {
        server.put_manifest(NAME, "t", content_type, body.as_bytes());
        let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_tag_leads_nowhere_else() {
    let server = server();
    for tag in ["", "..", "../../other/manifests/t", "a?b", "a b", "ü"] {
        assert_eq!(pull(&server).manifest(Which::Tag(tag)).unwrap_err().kind(), Kind::Invalid, "{tag:?}");
        let pushed = push(&server).push_manifest(Which::Tag(tag), media_type::OCI_MANIFEST, BODY.as_bytes());
        assert_eq!(pushed.unwrap_err().kind(), Kind::Invalid, "{tag:?}");
    }
    assert!(server.asked("", "").is_empty());
}

#[test]
fn a_manifest_has_a_largest_size() {
    let server = Server::start();
    let body = format!("{PLAIN}{}", " ".repeat((4 << 20) - PLAIN.len()));
    server.put_manifest(NAME, "t", media_type::OCI_MANIFEST, body.as_bytes());
    pull(&server).manifest(Which::Tag("t")).unwrap();
    server.put_manifest(NAME, "t", media_type::OCI_MANIFEST, format!("{body} ").as_bytes());
    let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
    server.fail("GET", "/manifests/", Fault::EndlessBody);
    let error = pull(&server).manifest(Which::Tag("t")).unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
}

#[test]
fn a_look_costs_no_body() {
    let server = server();
    let repository = pull(&server);
    let found = repository.exists_manifest(Which::Tag("v1")).unwrap().unwrap();
    assert_eq!(found, Descriptor::new(media_type::OCI_MANIFEST, digest(BODY), BODY.len() as u64));
    assert_eq!(repository.exists_manifest(Which::Tag("v2")).unwrap(), None);
    assert_eq!(server.asked("GET", "/manifests/").len(), 0);
    // A registry from before the header was required.
    server.fail("HEAD", "/manifests/", Fault::Header("Docker-Content-Digest", String::new()));
    assert_eq!(repository.exists_manifest(Which::Tag("v1")).unwrap().unwrap(), found);
    assert_eq!(server.asked("GET", "/manifests/").len(), 1);
}

#[test]
fn a_manifest_is_written_as_it_is() {
    let server = Server::start();
    let pushed = push(&server).push_manifest(Which::Tag("new"), media_type::OCI_MANIFEST, BODY.as_bytes()).unwrap();
    assert_eq!(pushed, digest(BODY));
    let (bytes, content_type) = server.manifest(NAME, "new").unwrap();
    assert_eq!((bytes.as_slice(), content_type.as_str()), (BODY.as_bytes(), media_type::OCI_MANIFEST));
    push(&server).push_manifest(Which::Digest(digest(PLAIN)), media_type::OCI_MANIFEST, PLAIN.as_bytes()).unwrap();
    assert!(server.manifest(NAME, &digest(PLAIN).to_string()).is_some());
    let wrong = push(&server).push_manifest(Which::Digest(digest("x")), media_type::OCI_MANIFEST, PLAIN.as_bytes());
    assert_eq!(wrong.unwrap_err().kind(), Kind::Invalid);
    server.fail("PUT", "", Fault::Header("Docker-Content-Digest", digest("x").to_string()));
    let lied = push(&server).push_manifest(Which::Tag("new"), media_type::OCI_MANIFEST, BODY.as_bytes());
    assert_eq!(lied.unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn a_refusal_is_told_in_the_registrys_words() {
    let server = server();
    let body = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    server.fail("PUT", "", Fault::Status(403, Vec::new(), body.to_owned()));
    let error = push(&server).push_manifest(Which::Tag("v1"), media_type::OCI_MANIFEST, BODY.as_bytes()).unwrap_err();
    let host = server.host();
    assert_eq!(
        error.to_string(),
        format!(
            "registry \"{host}\" refused to take manifest \"{host}/team/app:v1\": \
             denied: requested access to the resource is denied"
        )
    );
    assert_eq!(error.kind(), Kind::Denied);
}

#[test]
fn a_failure_in_passing_is_asked_again_and_a_lasting_one_told() {
    let server = server();
    server.fail("GET", "/manifests/", Fault::status(503));
    server.fail("GET", "/manifests/", Fault::Drop);
    server.fail("GET", "/manifests/", Fault::Cut(10));
    pull(&server).manifest(Which::Tag("v1")).unwrap();
    server.fail_times(99, "GET", "/manifests/", Fault::status(500));
    let before = server.asked("GET", "/manifests/").len();
    let error = pull(&server).manifest(Which::Tag("v1")).unwrap_err();
    assert!(error.to_string().contains("failed to give manifest"), "{error}");
    assert!(error.to_string().ends_with("500 internal server error"), "{error}");
    assert_eq!(server.asked("GET", "/manifests/").len() - before, 6);
}

#[test]
fn a_rate_limit_is_obeyed_or_told() {
    let server = server();
    let after = |seconds: &str| vec![("Retry-After", seconds.to_owned())];
    server.fail("GET", "/manifests/", Fault::Status(429, after("1"), String::new()));
    let started = std::time::Instant::now();
    pull(&server).manifest(Which::Tag("v1")).unwrap();
    assert!(started.elapsed().as_millis() >= 1000, "{:?}", started.elapsed());

    let mut headers = after("3600");
    headers.push(("RateLimit-Limit", "100;w=21600".to_owned()));
    headers.push(("RateLimit-Remaining", "0;w=21600".to_owned()));
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    server.fail("GET", "/manifests/", Fault::Status(429, headers, body.to_owned()));
    let error = pull(&server).manifest(Which::Tag("v1")).unwrap_err();
    let host = server.host();
    assert_eq!(
        error.to_string(),
        format!(
            "registry \"{host}\" refused to give manifest \"{host}/team/app:v1\" so often: toomanyrequests: You have \
             reached your pull rate limit (hint: it may be asked again in 3600 s; the limit is 100 requests in 21600 s, \
             0 left)"
        )
    );
}

#[test]
fn a_connection_serves_many_requests_and_threads() {
    let server = server();
    let client = client(&quick());
    let repository = client.repository(&reference(&server, NAME), Access::Pull);
    for _ in 0..20 {
        repository.manifest(Which::Tag("v1")).unwrap();
    }
    // One more finds out whether the host speaks TLS.
    assert_eq!(server.connections(), 2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| drop(repository.manifest(Which::Tag("v1")).unwrap())));
        }
    });
    assert!(server.connections() <= 5, "{}", server.connections());
}
