//! How the program is scheduled (config.md, "Linux Process": `scheduler`, `ioPriority`, `execCPUAffinity`; config-linux.md,
//! "Personality").

use oci::runtime_spec::{
    IoPriorityClass, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode, Personality, PersonalityDomain, Process,
    Scheduler, SchedulerFlag, SchedulerPolicy,
};
use rustix::io::Errno;
use stdx::{Context, Error, Result};
use sys::sched::{self, Scheduling};

/// Step 9, while there are still the rights for it.
pub(crate) fn apply(process: &Process) -> Result<()> {
    if let Some(scheduler) = &process.scheduler {
        let set = sched::set_scheduling(&attributes(scheduler)).context(|| "cannot set the scheduler".into());
        set.map_err(|error| match error.errno() {
            Some(Errno::PERM) => error.hint("process scheduler can't be used together with AllowedCPUs"),
            _ => error,
        })?;
    }
    if let Some(io) = &process.io_priority {
        let class = match io.class {
            IoPriorityClass::Realtime => 1,
            IoPriorityClass::BestEffort => 2,
            IoPriorityClass::Idle => 3,
        };
        let priority = u32::try_from(io.priority).ok().filter(|priority| *priority < 8);
        let priority =
            priority.ok_or_else(|| Error::invalid(format!("invalid IO priority {}: 0 to 7", io.priority)))?;
        sched::set_io_priority(class, priority).context(|| "cannot set the IO priority".into())?;
    }
    Ok(())
}

/// Sets on which memory nodes the process's memory is to lie (config-linux.md, "Memory policy").
pub(crate) fn set_memory_policy(policy: Option<&MemoryPolicy>) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    let mode = match policy.mode {
        MemoryPolicyMode::Default => 0,
        MemoryPolicyMode::Preferred => 1,
        MemoryPolicyMode::Bind => 2,
        MemoryPolicyMode::Interleave => 3,
        MemoryPolicyMode::Local => 4,
        MemoryPolicyMode::PreferredMany => 5,
        MemoryPolicyMode::WeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlag| match flag {
        MemoryPolicyFlag::StaticNodes => 1 << 15,
        MemoryPolicyFlag::RelativeNodes => 1 << 14,
        MemoryPolicyFlag::NumaBalancing => 1 << 13,
    };
    let flags = policy.flags.iter().map(flag).fold(0, |bits, bit| bits | bit);
    let nodes = if policy.nodes.is_empty() { Vec::new() } else { numbers(&policy.nodes, "memory nodes")? };
    let set = sched::set_memory_policy(mode | flags, &nodes);
    set.context(|| format!("cannot set the memory policy {:?} on nodes \"{}\"", policy.mode, policy.nodes)).map_err(
        |error| match error.errno() {
            Some(Errno::INVAL) => error.hint("this kernel may be too old for it, or have no such node"),
            _ => error,
        },
    )
}

/// Sets the execution domain, where one is asked for.
pub(crate) fn set_personality(personality: Option<&Personality>) -> Result<()> {
    let Some(personality) = personality else { return Ok(()) };
    if let Some(flag) = personality.flags.first() {
        return Err(Error::unsupported(format!("personality flag \"{flag}\" is not supported")));
    }
    let domain = match personality.domain {
        PersonalityDomain::Linux => 0,
        PersonalityDomain::Linux32 => 8,
    };
    sched::set_personality(domain).context(|| "cannot set the personality".into())
}

/// Restricts the process to a list of CPUs such as `0-3,7`; an empty one changes nothing.
pub(crate) fn set_affinity(list: &str) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    sched::set_affinity(&numbers(list, "CPUs")?).context(|| format!("cannot run on CPUs \"{list}\""))
}

/// Lets the process run on every CPU that its control groups allow, whatever its creator was bound to.
pub(crate) fn reset_affinity() {
    // An old kernel or a sandbox that refuses: it runs where its creator did.
    let _ = sched::reset_affinity();
}

/// On which CPUs this process may run, as a mask.
pub(crate) fn affinity() -> String {
    sched::affinity().map_or_else(|errno| errno.to_string(), |mask| format!("{mask:#x}"))
}

fn numbers(list: &str, of: &str) -> Result<Vec<usize>> {
    const MAX: usize = 1 << 16;
    let bad = || Error::invalid(format!("invalid list of {of} \"{list}\""));
    let mut all = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&cpu| cpu < MAX).ok_or_else(bad);
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(bad());
        }
        all.extend(first..=last);
    }
    Ok(all)
}

fn attributes(scheduler: &Scheduler) -> Scheduling {
    let flag = |flag: &SchedulerFlag| match flag {
        SchedulerFlag::ResetOnFork => 0x01,
        SchedulerFlag::Reclaim => 0x02,
        SchedulerFlag::DlOverrun => 0x04,
        SchedulerFlag::KeepPolicy => 0x08,
        SchedulerFlag::KeepParams => 0x10,
        SchedulerFlag::UtilClampMin => 0x20,
        SchedulerFlag::UtilClampMax => 0x40,
    };
    Scheduling {
        policy: match scheduler.policy {
            SchedulerPolicy::Other => 0,
            SchedulerPolicy::Fifo => 1,
            SchedulerPolicy::Rr => 2,
            SchedulerPolicy::Batch => 3,
            SchedulerPolicy::Iso => 4,
            SchedulerPolicy::Idle => 5,
            SchedulerPolicy::Deadline => 6,
        },
        flags: scheduler.flags.iter().map(flag).fold(0, |bits, bit| bits | bit),
        nice: scheduler.nice.unwrap_or(0),
        priority: scheduler.priority.and_then(|priority| u32::try_from(priority).ok()).unwrap_or(0),
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_of_numbers() {
        assert_eq!(super::numbers("0-2,5", "CPUs").unwrap(), [0, 1, 2, 5]);
        for bad in ["", "x", "2-1", "1-", "99999999"] {
            assert!(super::numbers(bad, "CPUs").is_err(), "{bad}");
        }
    }
}
