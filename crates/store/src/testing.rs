//! What this crate's tests share: scratch data roots, and archives as other engines write them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use oci::{Digest, ImageConfig};
use serde_json::{Value, json};

use crate::{Loaded, Progress, Store};

/// A directory that goes with the test.
pub(crate) struct Scratch {
    path: PathBuf,
    mounted: bool,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = PathBuf::from("/var/tmp").join(format!("tare-store-{}", stdx::id::random_hex(8)));
        fs::create_dir(&path).unwrap();
        Self { path, mounted: false }
    }

    /// A file system of its own, of so many KiB.
    pub(crate) fn small(kib: u32) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root: it mounts a small file system");
        let mut scratch = Self::new();
        let options = std::ffi::CString::new(format!("size={kib}k")).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &scratch.path, "tmpfs", flags, options.as_c_str()).unwrap();
        scratch.mounted = true;
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A store in it; unpacking layers needs root, and a test without says so by failing.
    pub(crate) fn store(&self) -> Store {
        assert!(rustix::process::geteuid().is_root(), "this test needs root: it unpacks layers");
        Store::open(&self.path.join("root")).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.mounted {
            rustix::mount::unmount(&self.path, rustix::mount::UnmountFlags::DETACH).unwrap();
        }
        stdx::remove_tree::remove_tree(&self.path).unwrap();
    }
}

impl Store {
    pub(crate) fn load_bytes(&self, archive: &[u8]) -> stdx::Result<Vec<Loaded>> {
        self.load(archive, None, &|_: Progress| {})
    }

    /// How many blobs, snapshots and ingest directories there are.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let count = |dir: &str| {
            let names = crate::gc::entries(&self.root().join(dir)).unwrap();
            names
                .into_iter()
                .map(|entry| entry.file_name())
                // Locks are not content.
                .filter(|name| name != "lock" && !name.to_string_lossy().starts_with("image-"))
                .collect::<BTreeSet<OsString>>()
                .len()
        };
        (count("content/sha256"), count("snapshots"), count("ingest"))
    }
}

/// A tar of these files; names that end in a slash are directories.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(0o755);
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The same with a link appended after the first `at` members.
pub(crate) fn tar_with_link(files: &[(&str, &[u8])], link: &str, target: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, link, target).unwrap();
    builder.into_inner().unwrap()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

/// A configuration of these layers.
pub(crate) fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let json = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
        "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let json = serde_json::to_vec(&json).unwrap();
    ImageConfig::parse(&json).unwrap();
    json
}

/// What `docker save` writes of one image.
pub(crate) fn docker_archive(names: &[&str], layers: &[&[u8]]) -> Vec<u8> {
    let config = config(layers);
    let config_name = format!("{}.json", hex(&config));
    let layer_names: Vec<String> = layers.iter().map(|layer| format!("{}/layer.tar", hex(layer))).collect();
    let manifest = json!([{"Config": config_name, "RepoTags": names, "Layers": layer_names}]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut files: Vec<(&str, &[u8])> = Vec::new();
    for (name, layer) in layer_names.iter().zip(layers) {
        if !files.iter().any(|(other, _)| other == name) {
            files.push((name, layer));
        }
    }
    files.push((&config_name, &config));
    files.push(("manifest.json", &manifest));
    tar(&files)
}

/// An OCI layout under construction.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) blobs: Vec<(String, Vec<u8>)>,
    pub(crate) manifests: Vec<Value>,
}

impl Layout {
    /// Stores a blob and describes it.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let name = format!("blobs/sha256/{}", hex(bytes));
        if !self.blobs.iter().any(|(other, _)| *other == name) {
            self.blobs.push((name, bytes.to_vec()));
        }
        json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
    }

    /// Stores an image whose one layer is transferred as `blob`.
    pub(crate) fn image(&mut self, layer: &[u8], media_type: &str, blob: &[u8]) -> Value {
        let layers = [self.blob(media_type, blob)];
        let config = self.blob("application/vnd.oci.image.config.v1+json", &config(&[layer]));
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        self.blob("application/vnd.oci.image.manifest.v1+json", &serde_json::to_vec(&manifest).unwrap())
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        let index = serde_json::to_vec(&index).unwrap();
        let mut files: Vec<(&str, &[u8])> = vec![("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)];
        files.extend(self.blobs.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        files.push(("index.json", &index));
        tar(&files)
    }
}
