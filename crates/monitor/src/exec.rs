//! The monitor of a further process in a container, as [`crate::main`] is one of its first: it brings the process in, moves
//! its streams, and ends with it. Nothing of it outlives the process but what its clients were told.

use std::os::fd::AsFd;
use std::path::Path;

use oci::runtime_spec::{MemoryPolicy, Process as SpecProcess, Seccomp};
use runtime::cgroup::{self, Subgroups};
use runtime::exec::Executed;
use runtime::seccomp::{self, KernelVersion, Program};
use serde::{Deserialize, Serialize};
use stdx::{Context, Error, Result};

use crate::config;
use crate::events::{Attributes, Teller};
use crate::hub::Hub;
use crate::protocol::Event;
use crate::serve::{Failure, become_monitor, reap, take_first_client};
use crate::state::Process;
use crate::streams;

/// The argument that makes this binary the monitor of a further process; the next one is its directory.
pub const ARGUMENT: &str = "__exec";
const FILE: &str = "exec.json";

/// What to execute, and in which container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The container's id.
    pub id: String,
    /// Its init.
    pub init: Process,
    /// Its control group, as in [`crate::Config::cgroup`].
    pub cgroup: String,
    pub process: SpecProcess,
    /// As in [`crate::Config::user`], for this process.
    pub user: Option<String>,
    pub groups: Vec<String>,
    /// The filter of the container.
    pub filter: Filter,
    /// The container's.
    pub memory_policy: Option<MemoryPolicy>,
    /// The host's id of the container's root.
    pub owner: u32,
    /// The terminal's first size, if the process gets one; 0: unknown.
    pub rows: u16,
    pub columns: u16,
    /// Its standard input stays open for the first client.
    pub stdin: bool,
}

/// Which system calls a container's processes may make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Filter {
    Unconfined,
    /// The engine's own, for a container with these capabilities.
    Default {
        bounding: Vec<String>,
    },
    Profile(Box<Seccomp>),
}

impl Filter {
    fn compile(&self) -> Result<Option<Program>> {
        match self {
            Self::Unconfined => Ok(None),
            Self::Default { bounding } => seccomp::default_program(bounding, KernelVersion::running()?).map(Some),
            Self::Profile(profile) => seccomp::compile(profile).map(Some),
        }
    }
}

impl Config {
    /// Reads `dir/exec.json`.
    pub fn load(dir: &Path) -> Result<Self> {
        config::load(&dir.join(FILE))
    }

    /// Writes `dir/exec.json`.
    pub fn save(&self, dir: &Path) -> Result<()> {
        config::save(self, &dir.join(FILE))
    }

    /// Writes a whole configuration that [`Self::link`] makes `dir/exec.json` of.
    pub fn save_template(&self, path: &Path) -> Result<()> {
        config::save(self, path)
    }

    /// Makes `dir/exec.json` of such a template.
    pub(crate) fn link(template: &Path, dir: &Path) -> Result<()> {
        std::fs::hard_link(template, dir.join(FILE)).context(|| format!("cannot use {template:?}"))
    }
}

/// Runs the monitor of the process that `dir` describes. Standard input is the first client's connection, which says
/// [`crate::protocol::Request::Start`] and hears `Started` or `Failed`.
pub fn main(dir: &Path) -> Result<()> {
    let first = take_first_client()?;
    become_monitor();
    let mut hub = Hub::open(dir, first)?;
    if hub.wait_for_start() {
        let config = Config::load(dir)?;
        let teller = Told::new(dir, &config);
        teller.tell_of("exec_create");
        teller.tell_of("exec_start");
        match execute(&config, &mut hub) {
            Ok(executed) => live(&executed, &mut hub, &teller),
            Err(failure) => {
                let failed = failure.failed();
                teller.tell_of_the_end(failed.exit_code);
                hub.tell_all(&Event::Failed(failed));
            }
        }
    }
    // What is left goes with the container's run directory.
    let _ = std::fs::remove_dir_all(dir);
    Ok(())
}

fn execute(config: &Config, hub: &mut Hub) -> std::result::Result<Executed, Failure> {
    let cgroup = cgroup::at(&config.cgroup)?;
    if cgroup.is_frozen() {
        return Err(Error::conflict("cannot exec in a paused container").hint("unpause it first").into());
    }
    let filter = config.filter.compile()?;
    let (stdio, ends) = streams::make(&streams::Wanted {
        terminal: config.process.terminal,
        rows: config.rows,
        columns: config.columns,
        stdin: config.stdin,
        owner: config.owner,
    })?;
    let executed = runtime::exec::exec(&runtime::exec::Config {
        pid: config.init.pid,
        start_time: Some(config.init.start_time),
        process: &config.process,
        user: config.user.as_deref(),
        groups: &config.groups,
        filter: filter.as_ref(),
        agent: None,
        memory_policy: config.memory_policy.as_ref(),
        // The engine asks for none.
        personality: None,
        cgroup: cgroup.as_ref(),
        subgroups: Subgroups::default(),
        stdio,
        preserve_fds: 0,
        keyring: Some(runtime::keyring::name(&config.id)),
        trace: &|_| {},
    })?;
    hub.connect(ends.join(executed.terminal.as_ref())?, true, None);
    Ok(executed)
}

fn live(executed: &Executed, hub: &mut Hub, told: &Told) {
    hub.broadcast(&Event::Started);
    let program = executed.pidfd.as_fd();
    hub.serve_early(program);
    sys::process::slim_down();
    while !hub.round(Some(program), &[], None).ended {}
    let code = reap(program);
    hub.drain();
    told.tell_of_the_end(code);
    hub.broadcast(&Event::Exited(code));
    hub.finish_sending();
}

/// Tells what happens to one further process, as something that happens to its container.
struct Told {
    teller: Teller,
    id: String,
    command: String,
}

impl Told {
    /// For the process of `dir`, which is two levels below the container's.
    fn new(dir: &Path, config: &Config) -> Self {
        let home = dir.ancestors().nth(2).unwrap_or(dir);
        let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { teller: Teller::new(home), id, command: config.process.args.join(" ") }
    }

    fn tell_of(&self, action: &str) {
        self.teller.tell(&format!("{action}: {}", self.command), Attributes::default().with("execID", &self.id));
    }

    fn tell_of_the_end(&self, exit_code: i32) {
        let how = Attributes::default().with("execID", &self.id).with("exitCode", exit_code);
        self.teller.tell("exec_die", how);
    }
}
