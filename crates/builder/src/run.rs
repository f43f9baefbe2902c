//! RUN: a program upon the layers so far, with what is mounted for it alone.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dockerfile::{Arguments, Mount, MountKind, Run};
use engine::containers::options::{self, MountKind as Kind, Namespaces, Network, Options};
use engine::containers::record::RecordProcess;
use engine::steps::{self, Client, Place, Program};
use oci::{Digest, Platform};
use stdx::flock::Flock;
use stdx::{Context, Error, Result};
use store::{BuildStep, Layer};

use crate::config::{self, set_env};
use crate::copy::{Change, Destination, Writer};
use crate::failure::{Failure, Tail};
use crate::progress::Event;
use crate::prune::mounts_dir;
use crate::source::{Match, Wanted, absolute};
use crate::stage::{State, Worker};

/// What a program finds its programs by, where the image says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Executes a RUN.
pub(crate) fn run(worker: &Worker<'_>, state: &mut State, run: &Run) -> Result<(), Failure> {
    let platform = &state.image.platform;
    if platform.suits(&Platform::host()).is_none() {
        let message =
            format!("cannot run programs of platform {platform} on this machine, which is {}", Platform::host());
        return Err(worker.error(Error::unsupported(message)));
    }
    let mounts = mounts(worker, state, run)?;
    let args = arguments(state, run);
    let (declared, undeclared) = state.scope.environment(&state.image.config.env);
    let network = network(worker, run)?;
    let privileged = run.security.as_deref() == Some("insecure");
    if privileged && !worker.build.options.allow_insecure {
        return Err(worker.error(
            Error::new(stdx::Kind::Denied, "security.insecure is not allowed")
                .hint("build with --allow security.insecure"),
        ));
    }
    let config = &state.image.config;
    let mut key = worker.key("run", state);
    key.list("argument", &args);
    key.list("variable", &declared);
    key.add("directory", &config.working_dir);
    key.add("user", &config.user);
    key.add("network", format!("{network:?}"));
    key.add("privileged", [u8::from(privileged)]);
    key.list("host", worker.build.options.extra_hosts.iter().flat_map(|(name, address)| [name, address]));
    for mount in &mounts {
        mount.describe(&mut key);
    }
    worker.step(state, key.finish(), None, |state, scratch| {
        let options = worker.build.options;
        let process = process(state, args, declared, undeclared);
        let options = Options {
            namespaces: Namespaces { network, ..Namespaces::default() },
            resources: options.resources.clone(),
            nano_cpus: options.nano_cpus,
            cgroup_parent: options.cgroup_parent.clone(),
            ulimits: options.ulimits.clone(),
            shm_size: options.shm_size,
            extra_hosts: options.extra_hosts.clone(),
            privileged,
            ..Options::default()
        };
        execute(worker, state, scratch, &mounts, Program { process, options, mount_points: Vec::new() })
    })
}

fn network(worker: &Worker<'_>, run: &Run) -> Result<Network, Failure> {
    let options = worker.build.options;
    match run.network.as_deref() {
        Some("none") => Ok(Network::None),
        Some("host") if options.allow_host_network || options.network == Network::Host => Ok(Network::Host),
        Some("host") => Err(worker.error(
            Error::new(stdx::Kind::Denied, "network.host is not allowed").hint("build with --allow network.host"),
        )),
        _ => Ok(options.network.clone()),
    }
}

/// What is executed. A here-document that is all there is to run is the script itself.
fn arguments(state: &State, run: &Run) -> Vec<String> {
    let Arguments::Shell(text) = &run.command else { return config::command(&state.image.config, &run.command) };
    let text = match &run.heredocs[..] {
        [] => text.clone(),
        [only] if text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("<<") && !text.contains(' ') => {
            only.content.clone()
        }
        heredocs => {
            let mut whole = text.clone();
            heredocs.iter().for_each(|doc| whole.push_str(&format!("\n{}{}", doc.content, doc.name)));
            whole
        }
    };
    config::shell(&state.image.config).into_iter().chain([text]).collect()
}

fn process(state: &State, args: Vec<String>, mut env: Vec<String>, undeclared: Vec<String>) -> RecordProcess {
    let config = &state.image.config;
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.insert(0, format!("PATH={PATH}"));
    }
    for entry in undeclared {
        let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
        set_env(&mut env, name, value);
    }
    RecordProcess {
        command: args,
        env,
        working_dir: if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir.clone() },
        user: config.user.clone(),
        ..RecordProcess::default()
    }
}

fn execute(
    worker: &Worker<'_>,
    state: &State,
    scratch: BuildStep<'_>,
    mounts: &[Planned],
    mut program: Program,
) -> Result<Option<Layer>, Failure> {
    let build = worker.build;
    let place = Place::new(build.engine).map_err(|error| worker.error(error))?;
    let mut held = Vec::new();
    for (number, mount) in mounts.iter().enumerate() {
        let at = Placing { worker, scratch: &scratch, place: &place, number };
        let prepared = at.prepare(mount, &mut program).map_err(|error| worker.error(error))?;
        held.extend(prepared);
    }
    let command = program.process.command.join(" ");
    let mut tail = Tail::default();
    let below = &state.image.rootfs.diff_ids;
    let mut output = |_: steps::Stream, bytes: &[u8]| {
        tail.push(bytes);
        (build.watch)(&Event::Output { step: worker.step, bytes });
    };
    let gives_up = || build.check().is_err();
    let mut client = Client { output: &mut output, gives_up: &gives_up };
    let code = steps::run(build.engine, (&scratch, below), &place, program, &mut client);
    drop(held);
    match code {
        Ok(0) => worker.finish(scratch),
        Ok(code) => {
            let message = format!("process {command:?} did not complete successfully: exit code: {code}");
            let failure = worker.error(Error::new(stdx::Kind::Internal, message));
            Err(Failure { output: tail.lines(), ..failure })
        }
        Err(_) if gives_up() => Err(Failure::consequence()),
        Err(failed) => Err(worker.error(failed.error)),
    }
}

/// A mount of a RUN, expanded.
struct Planned {
    mount: Mount,
    /// Absolute, inside.
    target: String,
    source: Option<Origin>,
}

/// What a bind mount shows.
struct Origin {
    tree: std::sync::Arc<crate::source::Tree>,
    at: Match,
    digest: Digest,
}

impl Planned {
    /// Adds what the outcome follows from. What a cache or a secret holds is not of it.
    fn describe(&self, key: &mut crate::key::Key) {
        key.add("mount", format!("{:?}", self.mount.kind));
        key.add("target", &self.target);
        key.list("id", self.mount.id.iter());
        key.list("env", self.mount.env.iter());
        key.add("mode", format!("{:?}", (self.mount.mode, self.mount.uid, self.mount.gid, self.mount.size)));
        key.list("content", self.source.iter().map(|origin| origin.digest.hex()));
    }
}

fn mounts(worker: &Worker<'_>, state: &State, run: &Run) -> Result<Vec<Planned>, Failure> {
    let mut planned = Vec::new();
    for written in &run.mounts {
        let mount = if written.text.contains('$') {
            Mount::parse(&worker.word(state, &written.text)?).map_err(|fault| worker.invalid(fault))?
        } else {
            written.clone()
        };
        let id = mount.id.clone().or_else(|| mount.target.as_deref()?.rsplit('/').next().map(str::to_owned));
        let target = match (&mount.target, mount.kind) {
            (Some(target), _) => absolute(&state.image.config.working_dir, target),
            (None, MountKind::Secret) => format!("/run/secrets/{}", id.as_deref().unwrap_or_default()),
            (None, _) => format!("/run/buildkit/ssh_agent.{}", planned.len()),
        };
        if target == "/" {
            return Err(worker.invalid("invalid mount target \"/\""));
        }
        let source = match mount.kind {
            MountKind::Bind => Some(origin(worker, state, &mount)?),
            MountKind::Cache if mount.from.is_some() => Some(origin(worker, state, &mount)?),
            _ => None,
        };
        planned.push(Planned { mount: Mount { id, ..mount }, target, source });
    }
    Ok(planned)
}

fn origin(worker: &Worker<'_>, state: &State, mount: &Mount) -> Result<Origin, Failure> {
    let source = worker.origin(state, mount.from.as_deref())?;
    let found = (|| {
        let tree = source.tree(worker)?;
        let wanted = Wanted::default();
        let path = absolute("/", mount.source.as_deref().unwrap_or("/"));
        let resolved = tree.root.resolve(Path::new(&path)).context(|| format!("cannot mount \"{path}\""))?;
        let handle = match tree.root.open_path(&resolved) {
            Err(sys::Errno::NOENT | sys::Errno::NOTDIR) => {
                return Err(Error::not_found(format!("cannot mount \"{path}\": it is not in the source")));
            }
            handle => handle.context(|| format!("cannot mount \"{path}\""))?,
        };
        let kind = sys::root::file_type(handle).context(|| format!("cannot mount \"{path}\""))?;
        let is_dir = kind == rustix::fs::FileType::Directory;
        let at = Match { path: resolved, name: PathBuf::new(), is_dir };
        let digest = tree.digest(std::slice::from_ref(&at), &wanted)?;
        Ok(Origin { tree, at, digest })
    })();
    found.map_err(|error| worker.error(error))
}

/// One mount on its way into the program's view.
struct Placing<'a> {
    worker: &'a Worker<'a>,
    scratch: &'a BuildStep<'a>,
    place: &'a Place,
    number: usize,
}

impl Placing<'_> {
    /// Adds the mount to the program. What is given back is held until the program has ended.
    fn prepare(&self, planned: &Planned, program: &mut Program) -> Result<Option<Flock>> {
        let mount = &planned.mount;
        match mount.kind {
            MountKind::Tmpfs => {
                let mut options = vec!["exec".to_owned()];
                options.extend(mount.size.map(|size| format!("size={size}")));
                program.options.mounts.push(options::Mount {
                    target: planned.target.clone(),
                    kind: Kind::Tmpfs { options },
                    read_only: false,
                });
                program.mount_points.push((planned.target.clone(), true));
                Ok(None)
            }
            MountKind::Bind => {
                let Some(origin) = &planned.source else { return Ok(None) };
                let source = self.copied(origin)?;
                self.bind(program, planned, source, origin.at.is_dir, mount.read_only.unwrap_or(true));
                Ok(None)
            }
            MountKind::Cache => {
                let (source, lock) = self.cache(planned)?;
                self.bind(program, planned, source, true, mount.read_only.unwrap_or(false));
                Ok(lock)
            }
            MountKind::Secret => self.secret(planned, program).map(|()| None),
            MountKind::Ssh => self.ssh(planned, program).map(|()| None),
        }
    }

    fn bind(&self, program: &mut Program, planned: &Planned, source: PathBuf, is_dir: bool, read_only: bool) {
        let kind = Kind::Bind { source, create: false, recursive: false, propagation: None };
        program.options.mounts.push(options::Mount { target: planned.target.clone(), kind, read_only });
        program.mount_points.push((planned.target.clone(), is_dir));
    }

    /// What a bind mount shows is copied: links in it lead nowhere outside, what is ignored is not there, and what the
    /// program writes is lost.
    fn copied(&self, origin: &Origin) -> Result<PathBuf> {
        let dir = self.scratch.dir().join(format!("bind-{}", self.number));
        let message = || format!("cannot make directory {dir:?}");
        fs::DirBuilder::new().mode(0o755).create(&dir).context(message)?;
        let root = sys::root::Root::new(File::open(&dir).context(message)?.into());
        let change = Change::default();
        let to = Destination { path: "/source".to_owned(), is_dir: false };
        Writer::new(&root, &change, origin.tree.keeps_owners).copy(
            &origin.tree,
            std::slice::from_ref(&origin.at),
            &Wanted::default(),
            &to,
        )?;
        let source = dir.join("source");
        if origin.at.is_dir && !source.exists() {
            // Nothing of it is left in.
            fs::create_dir(&source).context(message)?;
        }
        Ok(source)
    }

    /// A directory that outlives builds. `locked`: one at a time; `private`: one each; `shared`: all of them.
    fn cache(&self, planned: &Planned) -> Result<(PathBuf, Option<Flock>)> {
        let id = planned.mount.id.as_deref().filter(|_| planned.mount.text.contains("id=")).unwrap_or(&planned.target);
        let caches = mounts_dir(self.worker.build.engine);
        let name = Digest::of(id.as_bytes()).hex();
        let mut number = 0;
        loop {
            let dir = caches.join(if number == 0 { name.clone() } else { format!("{name}-{number}") });
            let message = || format!("cannot make the cache {id:?}");
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).context(message)?;
            let lock_path = dir.join("lock");
            let lock = match planned.mount.sharing.as_deref() {
                Some("locked") => Some(Flock::exclusive(&lock_path)?),
                Some("private") => match Flock::try_exclusive(&lock_path)? {
                    None => {
                        number += 1;
                        continue;
                    }
                    lock => lock,
                },
                _ => Some(Flock::shared(&lock_path)?),
            };
            fs::write(dir.join("id"), id).context(message)?;
            fs::write(dir.join("used"), "").context(message)?;
            let data = dir.join("data");
            if !data.exists() {
                self.new_cache(planned, &data)?;
            }
            return Ok((data, lock));
        }
    }

    fn new_cache(&self, planned: &Planned, data: &Path) -> Result<()> {
        let message = || format!("cannot make {data:?}");
        let made = match &planned.source {
            Some(origin) => self.copied(origin)?,
            None => {
                let dir = self.scratch.dir().join(format!("cache-{}", self.number));
                fs::create_dir(&dir).context(message)?;
                dir
            }
        };
        if planned.source.is_none() || planned.mount.mode.is_some() {
            let mode = planned.mount.mode.unwrap_or(0o755);
            fs::set_permissions(&made, fs::Permissions::from_mode(mode)).context(message)?;
            let (uid, gid) = (planned.mount.uid.unwrap_or(0), planned.mount.gid.unwrap_or(0));
            std::os::unix::fs::chown(&made, Some(uid), Some(gid)).context(message)?;
        }
        match fs::rename(&made, data) {
            // Somebody else was faster.
            Err(_) if data.exists() => Ok(()),
            renamed => renamed.context(message),
        }
    }

    fn secret(&self, planned: &Planned, program: &mut Program) -> Result<()> {
        let mount = &planned.mount;
        let id = mount.id.as_deref().unwrap_or_default();
        let Some(value) = self.worker.build.options.secrets.get(id) else {
            return if mount.required {
                Err(Error::not_found(format!("secret {id}: not found")).hint("give it with --secret"))
            } else {
                Ok(())
            };
        };
        if let Some(name) = &mount.env {
            let text = String::from_utf8(value.clone())
                .map_err(|_| Error::invalid(format!("secret {id} is no text and cannot be a variable")))?;
            set_env(&mut program.process.env, name, &text);
            if mount.target.is_none() {
                return Ok(());
            }
        }
        let path = self.place.dir().join(format!("secret-{}", self.number));
        let message = || format!("cannot keep secret {id}");
        let mode = mount.mode.unwrap_or(0o400);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path).context(message)?;
        std::io::Write::write_all(&mut file, value).context(message)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).context(message)?;
        std::os::unix::fs::chown(&path, Some(mount.uid.unwrap_or(0)), Some(mount.gid.unwrap_or(0))).context(message)?;
        self.bind(program, planned, path, false, true);
        Ok(())
    }

    /// The agent's own socket: what the program asks for, the agent decides.
    fn ssh(&self, planned: &Planned, program: &mut Program) -> Result<()> {
        let mount = &planned.mount;
        let id = if mount.text.contains("id=") { mount.id.as_deref().unwrap_or("default") } else { "default" };
        match self.worker.build.options.agents.get(id) {
            Some(socket) => {
                set_env(&mut program.process.env, "SSH_AUTH_SOCK", &planned.target);
                self.bind(program, planned, socket.clone(), false, false);
                Ok(())
            }
            None if mount.required => {
                Err(Error::not_found(format!("no SSH agent {id:?} is given")).hint("give it with --ssh"))
            }
            None => Ok(()),
        }
    }
}
