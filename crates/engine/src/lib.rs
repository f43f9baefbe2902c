//! The verbs: where images, containers, the runtime and the monitor meet. The command line and the API are thin faces
//! over this crate; it prints nothing and asks nobody.
//!
//! ```text
//! ROOT  (/var/lib/tare)                     RUN  (/run/tare)
//!   content/ ingest/ snapshots/ images/       containers/ID/   one container's live side, see `monitor`
//!                                             events/          the journal of what happens, see `events`
//!                      the store's              lock           held by the verb that changes the container
//!   init/CHAIN/        the init layers          hosts …         its /etc files
//!                                             a running step of a build has one too
//!   containers/ID/
//!     record.json      what was asked for
//!     state.json       how it is, written by its monitor
//!     upper/ work/     its writable layer
//!     log log.1 …      its output
//!   volumes/           see `volumes`
//!   networks/          see `networks`, in RUN too
//!   names/NAME         symbolic link to a container's id
//!   cache/             what builds keep, see `store` and `builder`
//! ```
//!
//! There is no daemon and no other memory than this tree: every verb starts from what is on disk, takes the locks it
//! needs and is done.

pub mod config;
pub mod containers;
pub mod events;
pub mod filter;
pub mod images;
pub mod networks;
mod settings;
pub mod steps;
pub mod system;
pub mod volumes;

use std::sync::OnceLock;

use registry::{Client, Credentials};
use settings::Settings;
use stdx::Result;
use store::Store;

pub use config::{CgroupDriver, Dirs};

/// A handle on one installation's directories.
#[derive(Debug)]
pub struct Engine {
    dirs: Dirs,
    cgroup_driver: CgroupDriver,
    store: OnceLock<Store>,
    registries: OnceLock<Client>,
}

impl Engine {
    /// An engine on `dirs`. Nothing is read or made yet.
    pub fn new(dirs: Dirs) -> Self {
        Self { dirs, cgroup_driver: CgroupDriver::default(), store: OnceLock::new(), registries: OnceLock::new() }
    }

    /// The same, with another maker of the control groups of new containers.
    pub fn with_cgroup_driver(self, cgroup_driver: CgroupDriver) -> Self {
        Self { cgroup_driver, ..self }
    }

    /// Who makes the control groups of new containers.
    pub fn cgroup_driver(&self) -> CgroupDriver {
        self.cgroup_driver
    }

    /// Where everything is.
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// The image store, opened (and made, on the first use of a data root) when it is first needed.
    pub fn store(&self) -> Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.dirs.root)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// The client of registries, with the administrator's settings and this user's credentials.
    pub fn registries(&self) -> Result<&Client> {
        if let Some(client) = self.registries.get() {
            return Ok(client);
        }
        let client = Client::new(&Settings::read()?.registry, self.credentials())?;
        Ok(self.registries.get_or_init(|| client))
    }

    /// How many bytes the cache of builds may have, by the administrator's settings.
    pub fn build_cache_limit(&self) -> Result<u64> {
        const USUAL: u64 = 20 << 30;
        let asked = Settings::read()?.build.keep_storage;
        asked.map_or(Ok(USUAL), |text| containers::options::parse::bytes("keep_storage", &text))
    }

    /// Where this user's credentials for registries are.
    pub fn credentials(&self) -> Credentials {
        Credentials::from_env(|name| std::env::var(name).ok())
    }
}
