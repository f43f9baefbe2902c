//! `host`: the host's own root filesystem as an image, for a container without any download.
//!
//! Its one layer is `/`, read-only below a writable layer. Mounts below `/` are not part of it. The layer is alive: what
//! the host changes while a container runs may or may not be seen inside, which the kernel leaves open, so it is for
//! trying things and for sandboxes, not for long services. The container sees the host's files, secrets included.

use std::path::PathBuf;

use oci::image_config::Config as ImageDefaults;

use crate::Engine;

/// How it is called, and no other image.
pub const NAME: &str = "host";

/// Where engines keep the layers of other containers.
const OTHERS: [&str; 5] =
    ["/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/run/containerd", "/run/docker"];

/// What runs if nothing else is asked for.
pub(crate) fn defaults() -> ImageDefaults {
    ImageDefaults { cmd: Some(vec!["sh".into()]), ..ImageDefaults::default() }
}

/// What is hidden inside: our own directories and those of other engines, where they exist.
pub(crate) fn hidden(engine: &Engine) -> Vec<PathBuf> {
    let own = [engine.dirs().root.clone(), engine.dirs().run.clone()];
    let others = OTHERS.iter().map(PathBuf::from);
    own.into_iter().chain(others).filter(|path| path.is_dir()).collect()
}
