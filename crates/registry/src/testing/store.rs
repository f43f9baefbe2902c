//! What a server has: everything in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use oci::{BlobDigest, Digest};

#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) bytes: Arc<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeMap<BlobDigest, Arc<Vec<u8>>>,
    manifests: BTreeMap<BlobDigest, Manifest>,
    tags: BTreeMap<String, BlobDigest>,
}

#[derive(Debug, Default)]
struct Content {
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<usize, Vec<u8>>,
    last_upload: usize,
}

#[derive(Debug, Default)]
pub(super) struct Store(Mutex<Content>);

impl Store {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no thread panics with the lock held")
    }

    pub(super) fn put_blob(&self, repository: &str, bytes: Vec<u8>) -> BlobDigest {
        let digest = BlobDigest::new(Digest::of(&bytes));
        let mut content = self.content();
        content.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest, Arc::new(bytes));
        digest
    }

    pub(super) fn blob(&self, repository: &str, digest: BlobDigest) -> Option<Arc<Vec<u8>>> {
        self.content().repositories.get(repository)?.blobs.get(&digest).cloned()
    }

    /// Makes a blob of another repository one of this.
    pub(super) fn mount(&self, repository: &str, digest: BlobDigest, from: &str) -> bool {
        let Some(bytes) = self.blob(from, digest) else { return false };
        let mut content = self.content();
        content.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest, bytes);
        true
    }

    pub(super) fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> BlobDigest {
        let digest = BlobDigest::new(Digest::of(&bytes));
        let mut content = self.content();
        let repository = content.repositories.entry(repository.to_owned()).or_default();
        repository.manifests.insert(digest, Manifest { media_type: media_type.to_owned(), bytes: Arc::new(bytes) });
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest);
        }
        digest
    }

    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        let content = self.content();
        let repository = content.repositories.get(repository)?;
        let digest = reference.parse().ok().or_else(|| repository.tags.get(reference).copied())?;
        repository.manifests.get(&digest).cloned()
    }

    pub(super) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        Some(self.content().repositories.get(repository)?.tags.keys().cloned().collect())
    }

    pub(super) fn begin_upload(&self) -> usize {
        let mut content = self.content();
        content.last_upload += 1;
        let id = content.last_upload;
        content.uploads.insert(id, Vec::new());
        id
    }

    /// How much of an upload is there.
    pub(super) fn upload_length(&self, id: usize) -> Option<usize> {
        self.content().uploads.get(&id).map(Vec::len)
    }

    pub(super) fn extend_upload(&self, id: usize, bytes: &[u8]) -> Option<usize> {
        let mut content = self.content();
        let upload = content.uploads.get_mut(&id)?;
        upload.extend_from_slice(bytes);
        Some(upload.len())
    }

    pub(super) fn take_upload(&self, id: usize) -> Option<Vec<u8>> {
        self.content().uploads.remove(&id)
    }
}
