//! Where an installation keeps its things.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stdx::{Context, Error, Result};

/// The two directories of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// What must survive a reboot.
    pub root: PathBuf,
    /// What must not.
    pub run: PathBuf,
}

impl Dirs {
    /// The directories asked for, or those of the environment (`TARE_ROOT`, `TARE_RUN`), or the usual ones. Made absolute.
    pub fn choose(root: Option<PathBuf>, run: Option<PathBuf>) -> Result<Self> {
        let pick = |asked: Option<PathBuf>, variable: &str, usual: &str| {
            let environment = || std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
            let path = asked.or_else(environment).unwrap_or_else(|| PathBuf::from(usual));
            std::path::absolute(&path).context(|| format!("cannot use directory {path:?}"))
        };
        let dirs = Self { root: pick(root, "TARE_ROOT", "/var/lib/tare")?, run: pick(run, "TARE_RUN", "/run/tare")? };
        if dirs.root == dirs.run {
            return Err(Error::invalid(format!("the data root and the run directory are both {:?}", dirs.root)));
        }
        Ok(dirs)
    }

    /// The arguments that choose the same directories.
    pub fn arguments(&self) -> Vec<OsString> {
        vec!["--root".into(), self.root.clone().into(), "--run-root".into(), self.run.clone().into()]
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// Containers that are being made or removed: garbage, if nobody is doing that.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root.join("unfinished")
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The journal of what happens. It goes with a boot, as what it tells of does.
    pub(crate) fn events(&self) -> PathBuf {
        self.run.join("events")
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// The disk side of container `id`.
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// The live side of container `id`.
    pub fn container_run(&self, id: &str) -> PathBuf {
        self.run.join("containers").join(id)
    }
}

/// Who makes the control groups of containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// The engine itself, in the file system.
    #[default]
    Cgroupfs,
    /// systemd, as transient scopes.
    Systemd,
}

impl CgroupDriver {
    /// The one asked for, or that of the environment (`TARE_CGROUP_DRIVER`), or the usual one.
    pub fn choose(asked: Option<&str>) -> Result<Self> {
        let environment = std::env::var("TARE_CGROUP_DRIVER").ok().filter(|name| !name.is_empty());
        match asked.or(environment.as_deref()) {
            None | Some("cgroupfs") => Ok(Self::Cgroupfs),
            Some("systemd") => Ok(Self::Systemd),
            Some(other) => {
                Err(Error::invalid(format!("unknown cgroup driver \"{other}\""))
                    .hint("it is \"cgroupfs\" or \"systemd\""))
            }
        }
    }
}

/// The network of containers that name none: that of the environment (`TARE_NETWORK`), or the bridge.
pub fn default_network() -> String {
    let environment = std::env::var("TARE_NETWORK").ok().filter(|name| !name.is_empty());
    environment.unwrap_or_else(|| crate::networks::DEFAULT.to_owned())
}

/// Makes a directory and its parents that others may pass through but not list: what is in them has its own modes.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .context(|| format!("cannot make directory {path:?}"))
}
