//! The field's formats as types: OCI image and runtime specifications, Docker's archive, references, digests.
//! Pure: nothing here opens a file or makes a system call.

pub mod change;
pub mod descriptor;
pub mod digest;
pub mod docker_archive;
pub mod duration;
pub mod image_config;
pub mod index;
pub mod manifest;
pub mod parse_error;
pub mod platform;
pub mod reference;
pub mod runtime_spec;

pub use descriptor::Descriptor;
pub use digest::{BlobDigest, ChainId, DiffId, Digest, ImageId, Sha256};
pub use image_config::{Config, ImageConfig};
pub use index::Index;
pub use manifest::Manifest;
pub use parse_error::ParseError;
pub use platform::Platform;
pub use reference::Reference;

mod null;
