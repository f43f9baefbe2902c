//! Which namespaces are new, which are joined, and who does it when.
//!
//! | kind | new | joined |
//! |---|---|---|
//! | user, mount, network, uts, ipc, pid | by `clone3`, the user namespace first, so that it owns the others | by init, before it mounts; pid by the creator, for its child; user by a child that clones init, so that it owns the new ones |
//! | cgroup | by init, once it is in its groups: they become the root of its view | by init |
//! | time | by the creator, for its child, since offsets can be written only while nobody is inside | by the creator |

use std::fs::File;
use std::os::fd::OwnedFd;

use oci::runtime_spec::{Linux, NamespaceType, TimeOffset, TimeOffsets};
use stdx::{Context, Error, Result};
use sys::namespace::{self, flag};

/// The namespaces of a container to be.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// `CLONE_NEW*` bits for `clone3`.
    pub(crate) clone: u64,
    /// Init makes itself a cgroup namespace.
    pub(crate) new_cgroup: bool,
    /// The creator makes a time namespace for its child.
    new_time: bool,
    offsets: TimeOffsets,
    /// The creator's own time namespace, if it joins another.
    own_time: Option<OwnedFd>,
    /// Entered before init is cloned.
    user: Option<OwnedFd>,
    /// Entered by the creator before it clones.
    creator_joins: Vec<(OwnedFd, NamespaceType)>,
    /// Entered by init.
    init_joins: Vec<(OwnedFd, NamespaceType)>,
}

fn clone_flag(kind: NamespaceType) -> u64 {
    match kind {
        NamespaceType::Pid => flag::PID,
        NamespaceType::Network => flag::NETWORK,
        NamespaceType::Mount => flag::MOUNT,
        NamespaceType::Ipc => flag::IPC,
        NamespaceType::Uts => flag::UTS,
        NamespaceType::User => flag::USER,
        NamespaceType::Cgroup => flag::CGROUP,
        NamespaceType::Time => flag::TIME,
    }
}

impl Plan {
    /// Reads the plan from the configuration and opens what will be joined.
    ///
    /// # Errors
    /// A kind named twice, a path that cannot be opened, no mount namespace (the host's root would be pivoted away), or
    /// clock offsets without a time namespace of its own.
    pub(crate) fn new(linux: &Linux) -> Result<Self> {
        let mut plan = Self { offsets: linux.time_offsets.unwrap_or_default(), ..Self::default() };
        let mut seen = 0;
        for wanted in &linux.namespaces {
            let bit = clone_flag(wanted.typ);
            if seen & bit != 0 {
                return Err(Error::invalid(format!("namespace \"{:?}\" is listed twice", wanted.typ)));
            }
            seen |= bit;
            let Some(path) = wanted.path.as_deref().filter(|path| !path.is_empty()) else {
                match wanted.typ {
                    NamespaceType::Cgroup => plan.new_cgroup = true,
                    NamespaceType::Time => plan.new_time = true,
                    _ => plan.clone |= bit,
                }
                continue;
            };
            let file = File::open(path).context(|| format!("cannot open namespace {path:?}"))?;
            if wanted.typ == NamespaceType::Time {
                let own = File::open("/proc/self/ns/time").context(|| "cannot open the own time namespace".into())?;
                plan.own_time = Some(own.into());
            }
            let joins = match wanted.typ {
                NamespaceType::User => {
                    plan.user = Some(file.into());
                    continue;
                }
                NamespaceType::Pid | NamespaceType::Time => &mut plan.creator_joins,
                _ => &mut plan.init_joins,
            };
            joins.push((file.into(), wanted.typ));
        }
        if seen & flag::MOUNT == 0 {
            return Err(Error::invalid("a container needs a mount namespace of its own"));
        }
        if plan.offsets != TimeOffsets::default() && !plan.new_time {
            return Err(Error::invalid("clock offsets need a new time namespace"));
        }
        Ok(plan)
    }

    /// Whether the container has a user namespace of its own, to be mapped by the creator.
    pub(crate) fn new_user(&self) -> bool {
        self.clone & flag::USER != 0
    }

    /// The user namespace that the container joins.
    pub(crate) fn joined_user(&self) -> Option<&OwnedFd> {
        self.user.as_ref()
    }

    /// Whether the container is in a user namespace of its own, new or joined.
    pub(crate) fn own_user(&self) -> bool {
        self.new_user() || self.user.is_some()
    }

    /// The container's network namespace, if it has one of its own; `pid` is its init.
    pub(crate) fn network(&self, pid: i32) -> Result<Option<OwnedFd>> {
        let joined = self.init_joins.iter().find(|(_, kind)| *kind == NamespaceType::Network);
        let what = || "cannot open the container's network namespace".to_owned();
        match joined {
            Some((fd, _)) => fd.try_clone().map(Some).context(what),
            None if self.new_network() => Ok(Some(File::open(format!("/proc/{pid}/ns/net")).context(what)?.into())),
            None => Ok(None),
        }
    }

    /// Whether the namespace that init is in is another than the host's. For those that init enters itself: network, ipc,
    /// uts, mount.
    pub(crate) fn owns(&self, kind: NamespaceType) -> bool {
        let joined = |(fd, joined): &(OwnedFd, NamespaceType)| *joined == kind && !is_ours(fd, kind);
        self.clone & clone_flag(kind) != 0 || self.init_joins.iter().any(joined)
    }

    /// Whether the network namespace is new, so that its loopback is down.
    pub(crate) fn new_network(&self) -> bool {
        self.clone & flag::NETWORK != 0
    }

    /// Step 3, in the creator.
    pub(crate) fn enter_before_clone(&self) -> Result<()> {
        for (fd, kind) in &self.creator_joins {
            enter(fd, *kind)?;
        }
        if self.new_time {
            namespace::unshare(flag::TIME).context(|| "cannot make a time namespace".into())?;
            self.write_offsets()?;
        }
        Ok(())
    }

    /// After the clone, in the creator: a joined time namespace is its own too, unlike a new one, and shifts what it reads of
    /// processes.
    pub(crate) fn leave_joined_time(&self) -> Result<()> {
        match &self.own_time {
            Some(own) => enter(own, NamespaceType::Time),
            None => Ok(()),
        }
    }

    fn write_offsets(&self) -> Result<()> {
        let clocks = [("boottime", self.offsets.boottime), ("monotonic", self.offsets.monotonic)];
        let line = |(clock, offset): (&str, Option<TimeOffset>)| {
            offset.map(|offset| format!("{clock} {} {}\n", offset.secs, offset.nanosecs))
        };
        let text: String = clocks.into_iter().filter_map(line).collect();
        if text.is_empty() {
            return Ok(());
        }
        std::fs::write("/proc/self/timens_offsets", &text)
            .context(|| format!("cannot set the clock offsets \"{}\"", text.trim_end().replace('\n', ", ")))
            .map_err(|error| error.hint("a clock cannot be set before 0: the offset may not exceed the uptime"))
    }

    /// Step 7, in init.
    pub(crate) fn enter_in_init(&self) -> Result<()> {
        self.init_joins.iter().try_for_each(|(fd, kind)| enter(fd, *kind))
    }

    /// Step 7, in init, once it is where its new cgroup namespace is to begin.
    pub(crate) fn make_in_init(&self) -> Result<()> {
        if self.new_cgroup {
            namespace::unshare(flag::CGROUP).context(|| "cannot make a cgroup namespace".into())?;
        }
        Ok(())
    }
}

/// Whether a path that is to be joined leads to where we are: the container would share it with the host.
fn is_ours(fd: &OwnedFd, kind: NamespaceType) -> bool {
    let name = match kind {
        NamespaceType::Network => "net",
        NamespaceType::Ipc => "ipc",
        NamespaceType::Uts => "uts",
        _ => "mnt",
    };
    let own = rustix::fs::stat(format!("/proc/self/ns/{name}"));
    let same = |a: rustix::fs::Stat, b: rustix::fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    // What cannot be told apart is the host's.
    own.is_ok_and(|own| rustix::fs::fstat(fd).is_ok_and(|joined| same(own, joined)))
}

fn enter(fd: &OwnedFd, kind: NamespaceType) -> Result<()> {
    namespace::enter(std::os::fd::AsFd::as_fd(fd), clone_flag(kind))
        .context(|| format!("cannot join the {kind:?} namespace"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime_spec::Namespace;

    fn linux(kinds: &[NamespaceType]) -> Linux {
        Linux { namespaces: kinds.iter().map(|&typ| Namespace { typ, path: None }).collect(), ..Linux::default() }
    }

    #[test]
    fn kinds_go_where_the_table_says() {
        use NamespaceType::{Cgroup, Mount, Pid, Time, User};
        let plan = Plan::new(&linux(&[Mount, Pid, Cgroup, Time, User])).unwrap();
        assert_eq!(plan.clone, flag::MOUNT | flag::PID | flag::USER);
        assert!(plan.new_cgroup && plan.new_time && plan.new_user() && !plan.new_network());
    }

    #[test]
    fn impossible_plans_are_refused() {
        use NamespaceType::{Mount, Pid};
        assert!(Plan::new(&linux(&[Pid])).is_err());
        assert!(Plan::new(&linux(&[Mount, Mount])).is_err());
        let offsets = Some(TimeOffsets { boottime: Some(TimeOffset { secs: 1, nanosecs: 0 }), monotonic: None });
        assert!(Plan::new(&Linux { time_offsets: offsets, ..linux(&[Mount]) }).is_err());
    }
}
