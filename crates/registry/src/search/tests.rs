use super::*;
use crate::harness::{client, quick};
use crate::testing::Server;

#[test]
fn only_docker_hub_can_be_searched() {
    assert_eq!(hub_term("busybox").unwrap(), "busybox");
    assert_eq!(hub_term("me/app").unwrap(), "me/app");
    assert_eq!(hub_term("docker.io/app").unwrap(), "app");
    for bad in ["quay.io/x", "localhost:5000/x", "localhost/x", ""] {
        assert!(hub_term(bad).is_err(), "{bad}");
    }
    let error = client(&quick()).search("quay.io/x", 25).unwrap_err().to_string();
    assert_eq!(error, "registry \"quay.io\" cannot be searched: only Docker Hub can");
    assert!(client(&quick()).search("x", 101).is_err());
}

#[test]
fn what_is_found_is_limited() {
    let server = Server::start();
    let endpoint = Endpoint::new(Host::registry(&quick(), &server.host()).unwrap());
    let found = client(&quick()).search_at(&endpoint, "a b", 3).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].name.as_str(), found[0].is_official, found[2].star_count), ("a b0", true, 2));
    assert_eq!(server.asked("GET", "/v1/search")[0].path, "/v1/search?q=a%20b&n=3");
}
