//! `--dry-run`: what `create` and `start` would decide. Nothing is made and nobody is asked but this machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci::runtime_spec::Spec;
use stdx::{Error, Result, id};

use crate::Engine;
use crate::containers::options::{MountKind, Options, User};
use crate::containers::record::Record;
use crate::containers::{create, names, prepare, spec, userns};
use crate::images;
use crate::volumes::{self, Source};

/// A container that is not made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What would be written down. The id is drawn, and another one would be drawn for the container.
    pub record: Record,
    /// What its first process would be made from.
    pub spec: Spec,
    /// Names of volumes that would be made.
    pub new_volumes: Vec<String>,
}

/// Decides everything about a container. The image has to be here: nothing is pulled.
///
/// Errors are those that `create` and `start` would have, as far as they can be seen before anything is done.
pub fn plan(engine: &Engine, options: Options) -> Result<Plan> {
    create::check(&options)?;
    let (image, defaults) = images::resolve(engine, &options.image, options.platform.as_deref())?;
    let process = create::decide_process(&options, &defaults)?;
    let id = id::random_hex(32);
    let name = match &options.name {
        Some(name) if names::holder(engine, name)?.is_some() => {
            return Err(Error::conflict(format!("the name \"{name}\" is already in use")).hint("choose another name"));
        }
        Some(name) => name.clone(),
        None => "(a name is drawn)".into(),
    };
    let user_range = match options.namespaces.user {
        User::Auto => Some(userns::allocate(engine)?),
        User::Host => None,
    };
    let mounts = create::decide_mounts(engine, &options, &defaults)?;
    let cgroup_driver = engine.cgroup_driver();
    let mut record = Record { id, name, created: Timestamp::now(), image, process, options, user_range, cgroup_driver };
    record.options.mounts = mounts;
    create::check_cgroup(&record)?;
    let (sources, new_volumes) = sources(engine, &mut record)?;
    let run_dir = engine.dirs().container_run(&record.id);
    let facts = prepare::gather(engine, &record, (&run_dir, prepare::hostname(&record)), sources)?;
    let spec = spec::build(&record, &facts)?;
    Ok(Plan { record, spec, new_volumes })
}

/// How the volumes are mounted or would be; names are drawn for those without.
fn sources(engine: &Engine, record: &mut Record) -> Result<(BTreeMap<String, Source>, Vec<String>)> {
    let (mut sources, mut new) = (BTreeMap::new(), Vec::new());
    for mount in &mut record.options.mounts {
        let MountKind::Volume { name, .. } = &mut mount.kind else { continue };
        let name = name.get_or_insert_with(|| id::random_hex(32));
        let source = match volumes::source(engine, name) {
            Err(error) if error.kind() == stdx::Kind::NotFound => {
                new.push(name.clone());
                Source::Directory(volumes::data_path(engine, name))
            }
            source => source?,
        };
        sources.insert(name.clone(), source);
    }
    Ok((sources, new))
}
