use std::io::{Cursor, Read};
use std::sync::Mutex;

use oci::{BlobDigest, Descriptor, Digest};
use stdx::{Error, Kind, Result};

use super::*;
use crate::harness::{Dir, NAME, by_token, bytes, client, impatient, knowing, push, quick, reference};
use crate::testing::{Fault, Options, Server};
use crate::{Access, Config};

const LARGE: usize = 9 << 20;

struct Sent {
    descriptor: Descriptor,
    content: Vec<u8>,
    /// Where the bytes were asked from.
    opened: Mutex<Vec<u64>>,
}

impl Sent {
    fn new(size: usize) -> Self {
        let content = bytes(size);
        let descriptor = Descriptor::new("", BlobDigest::new(Digest::of(&content)), size as u64);
        Self { descriptor, content, opened: Mutex::default() }
    }

    fn to(&self, repository: &Repository, from: Option<&Reference>) -> Result<Pushed> {
        let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
            self.opened.lock().unwrap().push(offset);
            Ok(Box::new(Cursor::new(self.content[offset as usize..].to_vec())))
        };
        repository.push_blob(&self.descriptor, open, from, &mut |_| ())
    }

    fn opened(&self) -> Vec<u64> {
        self.opened.lock().unwrap().clone()
    }

    fn is_at(&self, server: &Server) -> bool {
        server.blob(NAME, self.descriptor.digest).is_some_and(|bytes| bytes == self.content)
    }
}

#[test]
fn a_small_blob_is_one_put_and_a_large_one_a_patch() {
    let server = Server::start();
    for (size, methods) in [(0, "HEAD POST PUT"), (1000, "HEAD POST PUT"), (LARGE, "HEAD POST PATCH PUT")] {
        let before = server.asked("", "/blobs/").len();
        let sent = Sent::new(size);
        assert_eq!(sent.to(&push(&server), None).unwrap(), Pushed::Uploaded);
        assert!(sent.is_at(&server), "{size}");
        let asked: Vec<String> = server.asked("", "/blobs/")[before..].iter().map(|a| a.method.clone()).collect();
        assert_eq!(asked.join(" "), methods);
    }
}

#[test]
fn what_is_there_is_not_sent() {
    let server = Server::start();
    let sent = Sent::new(1000);
    server.put_blob(NAME, &sent.content);
    assert_eq!(sent.to(&push(&server), None).unwrap(), Pushed::Existed);
    assert!(sent.opened().is_empty());
}

#[test]
fn what_another_repository_has_is_mounted() {
    for no_mounts in [false, true] {
        let server = Server::with(Options { no_mounts, ..Options::default() });
        let sent = Sent::new(1000);
        server.put_blob("other/app", &sent.content);
        let from = reference(&server, "other/app");
        let expected = if no_mounts { Pushed::Uploaded } else { Pushed::Mounted };
        assert_eq!(sent.to(&push(&server), Some(&from)).unwrap(), expected);
        assert!(sent.is_at(&server));
        // One session, used or not.
        assert_eq!(server.asked("POST", "").len(), 1);
    }
}

#[test]
fn a_mount_that_is_refused_is_an_upload() {
    let server = Server::start();
    let sent = Sent::new(1000);
    server.fail("POST", "mount=", Fault::status(403));
    let from = reference(&server, "other/app");
    assert_eq!(sent.to(&push(&server), Some(&from)).unwrap(), Pushed::Uploaded);
    // Another registry's repository is no place to mount from.
    let sent = Sent::new(1001);
    let elsewhere = Reference::parse("elsewhere.example/a").unwrap();
    sent.to(&push(&server), Some(&elsewhere)).unwrap();
    assert_eq!(server.asked("POST", "mount=").len(), 1);
}

#[test]
fn a_mount_asks_for_the_right_to_read_the_other_repository() {
    let (server, dir) = (by_token(), Dir::new());
    let sent = Sent::new(1000);
    server.put_blob("other/app", &sent.content);
    let from = reference(&server, "other/app");
    let repository = knowing(&server, &dir).repository(&reference(&server, NAME), Access::Push);
    assert_eq!(sent.to(&repository, Some(&from)).unwrap(), Pushed::Mounted);
    let scopes = server.asked("GET", "/token").last().unwrap().path.clone();
    assert!(scopes.contains("repository:team/app:pull,push&scope=repository:other/app:pull"), "{scopes}");
}

#[test]
fn a_broken_upload_goes_on_where_it_broke() {
    let server = Server::start();
    let sent = Sent::new(LARGE);
    server.fail("PATCH", "", Fault::CutUpload(5_000_000));
    server.fail("PATCH", "", Fault::CutUpload(1_000_000));
    let mut progress = Vec::new();
    let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
        sent.opened.lock().unwrap().push(offset);
        Ok(Box::new(Cursor::new(sent.content[offset as usize..].to_vec())))
    };
    let pushed = push(&server).push_blob(&sent.descriptor, open, None, &mut |count| progress.push(count)).unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert!(sent.is_at(&server));
    assert_eq!(sent.opened(), [0, 5_000_000, 6_000_000]);
    assert_eq!(progress.last(), Some(&(LARGE as u64)));
    assert!(progress.len() > 10, "{progress:?}");
    let ranges: Vec<_> =
        server.asked("PATCH", "").iter().map(|a| a.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some(format!("5000000-{}", LARGE - 1)), Some(format!("6000000-{}", LARGE - 1))]);
}

#[test]
fn an_upload_that_the_registry_forgot_begins_again() {
    let server = Server::start();
    let sent = Sent::new(LARGE);
    server.fail("PATCH", "", Fault::CutUpload(5_000_000));
    server.fail("GET", "/uploads/", Fault::status(404));
    sent.to(&push(&server), None).unwrap();
    assert!(sent.is_at(&server));
    assert_eq!(sent.opened(), [0, 0]);
    assert_eq!(server.asked("POST", "").len(), 2);
}

#[test]
fn an_upload_whose_confirmation_was_lost_is_not_sent_again() {
    let server = Server::start();
    for size in [1000, LARGE] {
        let sent = Sent::new(size);
        server.fail("PUT", "", Fault::Drop);
        assert_eq!(sent.to(&push(&server), None).unwrap(), Pushed::Uploaded);
        assert_eq!(sent.opened(), [0], "{size}");
        assert!(sent.is_at(&server));
    }
}

#[test]
fn a_registry_that_does_not_say_how_much_it_has_is_asked_again() {
    let server = Server::start();
    let sent = Sent::new(LARGE);
    server.fail("PATCH", "", Fault::CutUpload(5_000_000));
    server.fail("GET", "/uploads/", Fault::status(503));
    server.fail("GET", "/uploads/", Fault::Drop);
    sent.to(&push(&server), None).unwrap();
    assert_eq!(sent.opened(), [0, 5_000_000]);
}

#[test]
fn a_registry_that_confirms_late_or_not_at_all() {
    let server = Server::start();
    let sent = Sent::new(LARGE);
    server.fail("PUT", "", Fault::status(503));
    sent.to(&push(&server), None).unwrap();
    assert!(sent.is_at(&server));

    let sent = Sent::new(LARGE + 1);
    server.fail("PATCH", "", Fault::Stall(0));
    let config = Config { commit_timeout: std::time::Duration::from_millis(300), ..impatient() };
    sent.to(&client(&config).repository(&reference(&server, NAME), Access::Push), None).unwrap();
    assert!(sent.is_at(&server));
}

#[test]
fn what_breaks_again_and_again_is_told() {
    let server = Server::start();
    let sent = Sent::new(LARGE);
    server.fail_times(99, "PATCH", "", Fault::CutUpload(0));
    let config = Config { retries: 2, ..quick() };
    let error = sent.to(&client(&config).repository(&reference(&server, NAME), Access::Push), None).unwrap_err();
    assert!(error.to_string().contains("in 3 attempts: cannot reach"), "{error}");
}

#[test]
fn a_refused_upload_is_told_and_cancelled() {
    let server = Server::start();
    let sent = Sent::new(LARGE);
    let body = r#"{"errors":[{"code":"DENIED","message":"quota exceeded"}]}"#;
    server.fail("PATCH", "", Fault::Status(403, Vec::new(), body.to_owned()));
    let error = sent.to(&push(&server), None).unwrap_err();
    assert!(error.to_string().contains("refused to take blob"), "{error}");
    assert!(error.to_string().ends_with("denied: quota exceeded"), "{error}");
    assert_eq!(server.asked("DELETE", "/uploads/").len(), 1);
}

#[test]
fn a_registry_that_takes_no_large_requests_gets_smaller_ones() {
    let options = Options { largest_request: Some(40 << 20), smallest_chunk: Some(1 << 20), ..Options::default() };
    let server = Server::with(options);
    let sent = Sent::new(70 << 20);
    sent.to(&push(&server), None).unwrap();
    assert!(sent.is_at(&server));
    let ranges: Vec<_> =
        server.asked("PATCH", "").iter().filter_map(|a| a.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["0-33554431", "33554432-67108863", "67108864-73400319"]);
}

#[test]
fn bytes_that_end_early_or_cannot_be_had_are_nobodys_fault_but_ours() {
    let server = Server::start();
    let sent = Sent::new(1000);
    let short = |_: u64| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(vec![0; 10]))) };
    let error = push(&server).push_blob(&sent.descriptor, short, None, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("ends 990 bytes early"), "{error}");
    let missing = |_: u64| -> Result<Box<dyn Read + Send>> { Err(Error::not_found("no such layer")) };
    let error = push(&server).push_blob(&sent.descriptor, missing, None, &mut |_| ()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, "no such layer"));
    let other = |_: u64| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(vec![0; 1000]))) };
    let error = push(&server).push_blob(&sent.descriptor, other, None, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("digest invalid"), "{error}");
}

#[test]
fn credentials_do_not_follow_an_upload_to_another_host() {
    let (server, elsewhere, dir) = (by_token(), Server::start(), Dir::new());
    let sent = Sent::new(1000);
    let location = elsewhere.url("/v2/x/blobs/uploads/7?signature=abc");
    let accepted = Fault::Status(202, vec![("Location", location)], String::new());
    server.fail("HEAD", "", Fault::status(404));
    server.fail("POST", "/uploads/", accepted);
    let repository = knowing(&server, &dir).repository(&reference(&server, NAME), Access::Push);
    elsewhere.fail("PUT", "", Fault::status(201));
    // The first question of all brings no token; let it be another one.
    let _ = repository.tags();
    sent.to(&repository, None).unwrap();
    let put = &elsewhere.asked("PUT", "")[0];
    assert_eq!(put.header("authorization"), None);
    assert!(put.path.starts_with("/v2/x/blobs/uploads/7?signature=abc&digest=sha256:"), "{}", put.path);
}

#[test]
fn a_location_that_is_no_url_is_refused() {
    let server = Server::start();
    for (location, words) in [
        ("", "does not say where to upload to"),
        ("file:///etc/passwd", "which is no URL"),
        ("https://user@host/", "which is no URL"),
    ] {
        server.fail("POST", "", Fault::Header("Location", location.to_owned()));
        let error = Sent::new(10).to(&push(&server), None).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_token_that_expires_on_the_way_is_renewed() {
    let (server, dir) = (by_token(), Dir::new());
    let sent = Sent::new(LARGE);
    let repository = knowing(&server, &dir).repository(&reference(&server, NAME), Access::Push);
    sent.to(&repository, None).unwrap();
    server.revoke_tokens();
    let sent = Sent::new(LARGE + 1);
    sent.to(&repository, None).unwrap();
    assert!(sent.is_at(&server));
}

#[test]
fn how_much_arrived() {
    assert_eq!(arrived("0-99"), Some(100));
    assert_eq!(arrived("bytes=0-99"), Some(100));
    assert_eq!(arrived("0-0"), Some(0));
    for bad in ["", "0", "5-99", "0-x", "0-18446744073709551615", "-"] {
        assert_eq!(arrived(bad), None, "{bad}");
    }
}

#[test]
fn who_refuses_a_large_blob_is_heard_before_it_is_sent() {
    let server = Server::start();
    let sent = Sent::new(LARGE);
    let sent_to = Mutex::new(0);
    let open = |_: u64| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(sent.content.clone()))) };
    server.fail("PATCH", "", Fault::status(403));
    let pushed = push(&server).push_blob(&sent.descriptor, open, None, &mut |count| *sent_to.lock().unwrap() = count);
    assert_eq!(pushed.unwrap_err().kind(), Kind::Denied);
    assert_eq!(*sent_to.lock().unwrap(), 0);
}
