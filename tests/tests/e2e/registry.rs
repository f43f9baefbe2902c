//! The registry client against the field's own registry.

use std::io::{Cursor, Read};
use std::sync::Mutex;
use std::time::Duration;

use e2e::registry::{Plain, Secure};
use oci::descriptor::media_type;
use oci::{BlobDigest, Descriptor, Digest, Reference};
use registry::{Access, Client, Config, Credentials, Pushed, Repository, Which};

fn config() -> Config {
    Config { ca_dirs: Vec::new(), pause: Duration::from_millis(10), ..Config::default() }
}

fn repository(client: &Client, address: &str, path: &str) -> Repository {
    client.repository(&Reference::parse(&format!("{address}/{path}")).unwrap(), Access::Push)
}

fn push(repository: &Repository, content: &[u8], from: Option<&Reference>) -> (Descriptor, Pushed) {
    let digest = BlobDigest::new(Digest::of(content));
    let descriptor = Descriptor::new(media_type::OCI_LAYER, digest, content.len() as u64);
    let open = |offset: u64| -> stdx::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(content[usize::try_from(offset).unwrap()..].to_vec())))
    };
    let pushed = repository.push_blob(&descriptor, open, from, &mut |_| ()).unwrap();
    (descriptor, pushed)
}

fn manifest(config: &Descriptor) -> Vec<u8> {
    let json = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [],
    });
    json.to_string().into_bytes()
}

/// Everything there is to do with an honest registry.
fn round_trip(client: &Client, address: &str) {
    let first = repository(client, address, "team/app");
    let small = b"{}".to_vec();
    let large: Vec<u8> = (0..10u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for content in [&small, &large] {
        let (descriptor, pushed) = push(&first, content, None);
        assert_eq!(pushed, Pushed::Uploaded);
        assert_eq!(push(&first, content, None).1, Pushed::Existed);
        for offset in [0, content.len() / 2] {
            let mut read = Vec::new();
            first.blob(&descriptor, offset as u64).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == content[offset..]);
        }
    }
    let from = Reference::parse(&format!("{address}/team/app")).unwrap();
    assert_eq!(push(&repository(client, address, "other"), &large, Some(&from)).1, Pushed::Mounted);
    let bytes = manifest(&push(&first, &small, None).0);
    let digest = first.push_manifest(Which::Tag("v1"), media_type::OCI_MANIFEST, &bytes).unwrap();
    let fetched = first.manifest(Which::Tag("v1")).unwrap();
    assert_eq!((fetched.bytes, fetched.descriptor.digest), (bytes, digest));
    assert_eq!(first.exists_manifest(Which::Digest(digest)).unwrap().unwrap().size, fetched.descriptor.size);
    assert_eq!(first.exists_manifest(Which::Tag("v2")).unwrap(), None);
    assert_eq!(first.tags().unwrap(), ["v1"]);
}

#[test]
fn an_open_registry_on_this_machine() {
    let registry = Plain::start();
    round_trip(&Client::new(&config(), Credentials::none()).unwrap(), registry.address());
    assert!(registry.data_dir().join("docker/registry/v2/repositories/team/app").is_dir());
}

#[test]
fn an_encrypted_registry_with_a_password() {
    let registry = Secure::start();
    let config = Config { ca_dirs: vec![registry.certs_dir()], ..config() };
    let anybody = Client::new(&config, Credentials::none()).unwrap();
    let error = anybody.ping(registry.address()).unwrap_err().to_string();
    assert!(error.contains("log in"), "{error}");
    let (user, password) = (registry.user(), registry.password());
    assert!(anybody.login(registry.address(), user, "wrong").is_err());
    let credential = anybody.login(registry.address(), user, password).unwrap();
    let credentials = Credentials::at([registry.data_dir().with_file_name("login/config.json")]);
    credentials.store(registry.address(), &credential).unwrap();
    round_trip(&Client::new(&config, credentials).unwrap(), registry.address());
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (registry, other) = (Secure::start(), Secure::start());
    let dir = registry.certs_dir();
    std::fs::copy(other.ca(), dir.join(registry.address()).join("ca.crt")).unwrap();
    let client = Client::new(&Config { ca_dirs: vec![dir], ..config() }, Credentials::none()).unwrap();
    let error = client.login(registry.address(), registry.user(), registry.password()).unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate") && error.contains("ca.crt"), "{error}");
}

#[test]
fn an_upload_that_was_interrupted_is_made_whole() {
    let registry = Plain::start();
    let client = Client::new(&config(), Credentials::none()).unwrap();
    let repository = repository(&client, registry.address(), "team/app");
    let content = vec![7; 12 << 20];
    let descriptor = Descriptor::new("", BlobDigest::new(Digest::of(&content)), content.len() as u64);
    // The source fails in the middle, once, and the connection with it. This registry drops what it has of an upload
    // that was cut within a request; others go on.
    let opened = Mutex::new(Vec::new());
    let open = |offset: u64| -> stdx::Result<Box<dyn Read + Send>> {
        let mut opened = opened.lock().unwrap();
        opened.push(offset);
        let rest = content[usize::try_from(offset).unwrap()..].to_vec();
        if opened.len() > 1 {
            return Ok(Box::new(Cursor::new(rest)));
        }
        Ok(Box::new(Cursor::new(rest[..5 << 20].to_vec()).chain(Broken)))
    };
    assert_eq!(repository.push_blob(&descriptor, open, None, &mut |_| ()).unwrap(), Pushed::Uploaded);
    assert_eq!(opened.into_inner().unwrap().len(), 2);
    assert_eq!(repository.blob_bytes(&descriptor, 12 << 20).unwrap(), content);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    }
}
