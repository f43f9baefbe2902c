use super::next_link;
use crate::harness::{NAME, pull};
use crate::testing::{Fault, Options, Server};

#[test]
fn every_page_is_read() {
    let server = Server::with(Options { page: Some(2), ..Options::default() });
    for tag in ["a", "b", "c", "d", "e"] {
        server.put_manifest(NAME, tag, "", b"{}");
    }
    assert_eq!(pull(&server).tags().unwrap(), ["a", "b", "c", "d", "e"]);
    assert_eq!(server.asked("GET", "/tags/list").len(), 3);
    server.fail("GET", "last=b", Fault::Cut(3));
    assert_eq!(pull(&server).tags().unwrap().len(), 5);
}

#[test]
fn none_is_an_empty_list_and_an_unknown_repository_is_told() {
    let server = Server::start();
    server.fail("GET", "", Fault::status(200));
    server.fail("GET", "/tags/", Fault::Status(200, Vec::new(), r#"{"name":"x","tags":null}"#.to_owned()));
    assert!(pull(&server).tags().unwrap().is_empty());
    let error = pull(&server).tags().unwrap_err().to_string();
    assert!(error.ends_with("name unknown: repository name not known"), "{error}");
}

#[test]
fn a_page_that_leads_elsewhere_is_the_last_and_one_that_leads_to_itself_is_an_error() {
    let (server, elsewhere) = (Server::start(), Server::start());
    server.put_manifest(NAME, "a", "", b"{}");
    let link = |to: &str| Fault::Header("Link", format!("<{to}>; rel=\"next\""));
    server.fail("GET", "/tags/", link(&elsewhere.url("/v2/x/tags/list")));
    assert_eq!(pull(&server).tags().unwrap(), ["a"]);
    assert!(elsewhere.asked("", "").is_empty());
    server.fail_times(2000, "GET", "/tags/", link("/v2/team/app/tags/list"));
    let error = pull(&server).tags().unwrap_err().to_string();
    assert!(error.ends_with("lists tags without an end"), "{error}");
}

#[test]
fn links_to_the_next_page() {
    for (link, expected) in [
        (r#"</v2/a/tags/list?n=1&last=b>; rel="next""#, Some("/v2/a/tags/list?n=1&last=b")),
        (r#"<x>;title=y; REL = next"#, Some("x")),
        (r#"<x>; rel="prev""#, None),
        ("<x>", None),
        ("x; rel=next", None),
        ("<x; rel=next", None),
    ] {
        assert_eq!(next_link(link), expected, "{link}");
    }
}
