//! `update`: other limits for a container, now and for its next starts.

use monitor::restart::Policy;
use oci::runtime_spec::{BlockIo, Cpu, Memory, Resources};
use stdx::{Context, Error, Result};

use crate::containers::record::Record;
use crate::containers::{Container, create, spec};
use crate::{Engine, events};

/// What to change; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    pub resources: Resources,
    /// `--cpus`, in billionths of a CPU.
    pub nano_cpus: Option<i64>,
    pub restart: Option<Policy>,
}

/// Changes a container. Gives warnings: what was asked for and cannot be had here.
pub fn update(engine: &Engine, container: &Container, changes: &Changes) -> Result<Vec<String>> {
    let what = || format!("cannot update container {}", container.record.name);
    let _lock = container.record.lock(engine)?;
    let gone = || Error::not_found(format!("no such container: {}", container.record.name));
    let now = Container::load_locked(engine, &container.record.id)?.ok_or_else(gone)?;
    let mut record = now.record.clone();
    let changes = decide(&record, changes)?;
    merge(&mut record, &changes);
    let warnings = match now.is_alive() {
        true => runtime::cgroup::at(&record.cgroup())?.update(&spec::with_cpus(&changes.resources, changes.nano_cpus)),
        false => Ok(Vec::new()),
    };
    let warnings = warnings.context(what)?;
    // Written when the kernel has agreed: what is recorded is what is so.
    record.save(&engine.dirs().container(&record.id))?;
    tell_monitor(engine, &record, changes.restart)?;
    events::of_container(engine, &record, "update");
    Ok(warnings)
}

/// A monitor reads its policy again when its program has ended.
fn tell_monitor(engine: &Engine, record: &Record, restart: Option<Policy>) -> Result<()> {
    let dir = engine.dirs().container_run(&record.id);
    let (Some(policy), Ok(mut config)) = (restart, monitor::Config::load(&dir)) else { return Ok(()) };
    config.restart.policy = policy;
    config.save(&dir)
}

fn decide(record: &Record, changes: &Changes) -> Result<Changes> {
    let mut changes = changes.clone();
    let options = &record.options;
    if options.auto_remove && changes.restart.is_some_and(|policy| policy != Policy::No) {
        return Err(Error::conflict("a container that is removed at its end cannot have a restart policy"));
    }
    let cpu = options.resources.cpu.clone().unwrap_or_default();
    let by_quota = changes.resources.cpu.as_ref().is_some_and(|cpu| cpu.quota.is_some() || cpu.period.is_some());
    if by_quota && options.nano_cpus.is_some() && changes.nano_cpus.is_none() {
        return Err(Error::conflict("conflicting options: the container has --cpus, so no CPU period or quota"));
    }
    if changes.nano_cpus.is_some() && (cpu.quota.is_some() || cpu.period.is_some()) {
        return Err(Error::conflict("conflicting options: the container has a CPU period or quota, so no --cpus"));
    }
    if let Some(memory) = &mut changes.resources.memory {
        create::check_least_memory(memory.limit.unwrap_or_default())?;
        let old = options.resources.memory.clone().unwrap_or_default();
        let doubled = old.limit.is_some() && old.swap == old.limit.and_then(|limit| limit.checked_mul(2));
        // Swap that followed the memory limit, or had none to follow, goes on following it.
        if memory.swap.is_none() && (doubled || old.swap.is_none()) {
            memory.swap = memory.limit.filter(|&limit| limit > 0).and_then(|limit| limit.checked_mul(2));
        }
        let (limit, swap) = (memory.limit.or(old.limit), memory.swap.or(old.swap));
        if let (Some(limit), Some(swap)) = (limit, swap) {
            if swap >= 0 && limit > swap {
                return Err(Error::invalid("the memory limit is larger than that of memory and swap together")
                    .hint("give --memory-swap too"));
            }
        }
    }
    Ok(changes)
}

fn merge(record: &mut Record, changes: &Changes) {
    let options = &mut record.options;
    options.nano_cpus = changes.nano_cpus.or(options.nano_cpus);
    options.restart = changes.restart.unwrap_or(options.restart);
    let Resources { cpu, memory, pids, block_io, .. } = changes.resources.clone();
    let resources = &mut options.resources;
    resources.pids = pids.or(resources.pids.take());
    if let Some(new) = cpu {
        let old = resources.cpu.take().unwrap_or_default();
        resources.cpu = Some(Cpu {
            shares: new.shares.or(old.shares),
            quota: new.quota.or(old.quota),
            period: new.period.or(old.period),
            realtime_runtime: new.realtime_runtime.or(old.realtime_runtime),
            realtime_period: new.realtime_period.or(old.realtime_period),
            cpus: new.cpus.or(old.cpus.clone()),
            mems: new.mems.or(old.mems.clone()),
            ..old
        });
    }
    if let Some(new) = memory {
        let old = resources.memory.take().unwrap_or_default();
        resources.memory = Some(Memory {
            limit: new.limit.or(old.limit),
            reservation: new.reservation.or(old.reservation),
            swap: new.swap.or(old.swap),
            kernel: new.kernel.or(old.kernel),
            ..old
        });
    }
    if let Some(new) = block_io {
        let old = resources.block_io.take().unwrap_or_default();
        resources.block_io = Some(BlockIo { weight: new.weight.or(old.weight), ..old });
    }
}
