//! One stage: its base, changed by one instruction after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dockerfile::{Copy, Dockerfile, Ignore, Instruction, Kind};
use engine::{images, steps};
use jiff::Timestamp;
use oci::image_config::History;
use oci::{ChainId, Digest, ImageConfig, Platform, Reference};
use stdx::{Context as _, Error, Result};
use store::{BuildStep, CachedStep, Layer};

use crate::chmod::Chmod;
use crate::context;
use crate::copy::{Change, Destination, Writer};
use crate::failure::Failure;
use crate::key::Key;
use crate::plan::{self, Base, Origin};
use crate::progress::{Event, StepId};
use crate::scope::Scope;
use crate::source::{Match, Tree, Wanted, absolute};
use crate::{Build, Pull, config, run, unpack};

/// What a stage has come to.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Layers, configuration and history so far.
    pub(crate) image: ImageConfig,
    pub(crate) scope: Scope,
    /// When the last of it was made.
    pub(crate) created: Timestamp,
    /// This stage has said what to run.
    pub(crate) has_command: bool,
}

/// Makes the stage with this number.
pub(crate) fn make(build: &Build<'_>, index: usize) -> Result<State, Failure> {
    let stage = &build.file.stages[index];
    let mut state = base(build, index)?;
    let triggers = triggers(build, index, &mut state)?;
    let instructions: Vec<&Instruction> = triggers.iter().chain(&stage.instructions).collect();
    let of = instructions.len();
    let name = stage.from.name.clone().unwrap_or_else(|| format!("stage-{index}"));
    let no_cache = build.options.no_cache || build.options.no_cache_stages.contains(&name);
    for (at, instruction) in instructions.into_iter().enumerate() {
        build.check()?;
        let worker = Worker { build, index, step: (index, at + 1), of, name: &name, no_cache, instruction };
        worker.execute(&mut state)?;
    }
    Ok(state)
}

fn base(build: &Build<'_>, index: usize) -> Result<State, Failure> {
    let head = &build.file.stages[index].head;
    let scope = Scope::new(build.file.directives.escape, build.options);
    match &build.plan.bases[index] {
        Base::Scratch => {
            let image = ImageConfig { platform: build.options.target_platform(), ..ImageConfig::default() };
            Ok(State { image, scope, created: build.epoch.unwrap_or(Timestamp::UNIX_EPOCH), has_command: false })
        }
        Base::Stage(below) => {
            let below = build.stage(*below).ok_or_else(Failure::consequence)?;
            // What to run is inherited as an image's would be.
            Ok(State { has_command: false, ..(*below).clone() })
        }
        Base::Image { name, platform } => {
            let platform = match platform {
                Some(text) if !text.is_empty() => {
                    let parsed = text.parse::<Platform>();
                    parsed.map_err(|error| build.at(head).invalid(error.to_string()))?
                }
                _ => build.options.target_platform(),
            };
            let image = image(build, name, &platform).map_err(|error| build.at(head).error(error))?;
            let last = image.history.iter().rev().find_map(|step| step.created.as_deref()?.parse().ok());
            let created = last.or_else(|| image.created.as_deref()?.parse().ok());
            Ok(State { image, scope, created: created.unwrap_or(Timestamp::UNIX_EPOCH), has_command: false })
        }
    }
}

/// An image that is stood on or copied from, fetched if need be.
fn image(build: &Build<'_>, name: &str, platform: &Platform) -> Result<ImageConfig> {
    let store = build.engine.store()?;
    if name == images::host::NAME {
        return Err(Error::unsupported("the image \"host\" cannot be built upon: its files are the host's own"));
    }
    let pull = build.options.pull;
    if pull != Pull::Always {
        match store.resolve(name) {
            Ok(image) if image.config.platform.suits(platform).is_some() => return Ok(image.config),
            Ok(image) if pull == Pull::Never => {
                let own = &image.config.platform;
                return Err(Error::unsupported(format!(
                    "image \"{name}\" is for platform {own}, and the one asked for is {platform}"
                )));
            }
            Err(error) if pull == Pull::Never || error.kind() != stdx::Kind::NotFound => return Err(error),
            _ => {}
        }
    }
    let reference = Reference::parse(name).context(|| format!("invalid image name \"{name}\""))?;
    (build.watch)(&Event::Pulling { reference: &reference.clone().or_latest() });
    let pulled = images::pull::pull(build.engine, &reference, Some(platform), &|_| {});
    pulled.context(|| format!("cannot fetch image \"{name}\""))?;
    Ok(store.resolve(name)?.config)
}

/// The instructions that wait in the base for whoever builds upon it. They are taken away from it.
fn triggers(build: &Build<'_>, index: usize, state: &mut State) -> Result<Vec<Instruction>, Failure> {
    let head = &build.file.stages[index].head;
    let waiting = std::mem::take(&mut state.image.config.on_build);
    let mut triggers = Vec::new();
    for text in waiting {
        let parsed = Dockerfile::parse(&format!("FROM scratch\n{text}\n")).ok().and_then(|mut file| file.stages.pop());
        let read = parsed.map(|stage| stage.instructions).filter(|read| read.len() == 1);
        let invalid = || build.at(head).invalid(format!("the base's ONBUILD trigger {text:?} cannot be read"));
        let mut trigger = read.ok_or_else(invalid)?;
        trigger.iter_mut().for_each(|trigger| trigger.span = head.span);
        triggers.append(&mut trigger);
    }
    Ok(triggers)
}

/// One instruction being executed.
pub(crate) struct Worker<'a> {
    pub(crate) build: &'a Build<'a>,
    /// The stage's number.
    pub(crate) index: usize,
    pub(crate) step: StepId,
    of: usize,
    name: &'a str,
    no_cache: bool,
    pub(crate) instruction: &'a Instruction,
}

impl Worker<'_> {
    fn execute(&self, state: &mut State) -> Result<(), Failure> {
        let at = self.build.at(self.instruction);
        let layers = state.image.rootfs.diff_ids.len();
        match &self.instruction.kind {
            Kind::Run(command) => run::run(self, state, command)?,
            Kind::Copy(copy) | Kind::Add(copy) => self.copy(state, copy)?,
            Kind::Workdir(path) => self.workdir(state, path)?,
            Kind::Arg(args) => {
                for (name, default) in args {
                    let default = default.as_ref().map(|text| state.scope.word(&state.image.config.env, text));
                    let default = default.transpose().map_err(|fault| at.invalid(fault))?;
                    state.scope.declare(name, default, self.build.options, &self.build.plan.globals);
                }
            }
            _ => config::apply(state, self.instruction).map_err(|fault| at.invalid(fault))?,
        }
        state.image.history.push(History {
            created: Some(state.created.to_string()),
            created_by: history_text(self.instruction),
            empty_layer: state.image.rootfs.diff_ids.len() == layers,
            ..History::default()
        });
        Ok(())
    }

    /// The failure for an error of this instruction.
    pub(crate) fn error(&self, error: Error) -> Failure {
        self.build.at(self.instruction).error(error)
    }

    pub(crate) fn invalid(&self, message: impl Into<String>) -> Failure {
        self.build.at(self.instruction).invalid(message)
    }

    /// Expands a word of the instruction.
    pub(crate) fn word(&self, state: &State, text: &str) -> Result<String, Failure> {
        state.scope.word(&state.image.config.env, text).map_err(|fault| self.invalid(fault))
    }

    /// A key for a step of this kind, with what every one depends on.
    pub(crate) fn key(&self, kind: &str, state: &State) -> Key {
        let mut key = Key::new(kind, ChainId::stack(&state.image.rootfs.diff_ids).last());
        key.add("epoch", self.build.epoch.map(|epoch| epoch.to_string()).unwrap_or_default());
        key
    }

    fn begin(&self) {
        let (step, stage, of) = (self.step, self.name, self.of);
        (self.build.watch)(&Event::Begin { step, stage, of, text: &self.instruction.text });
    }

    /// Takes what the cache has under this key.
    pub(crate) fn cached(&self, state: &mut State, key: &Digest) -> Result<bool, Failure> {
        if self.no_cache {
            return Ok(false);
        }
        let cached = self.build.engine.store().and_then(|store| store.cached_step(key));
        let Some(cached) = cached.map_err(|error| self.error(error))? else { return Ok(false) };
        self.begin();
        (self.build.watch)(&Event::Cached { step: self.step });
        state.image.rootfs.diff_ids.extend(cached.diff_id);
        state.created = cached.created;
        Ok(true)
    }

    /// Takes a step from the cache, or makes it: once, however many builds want it at this moment. The outcome is
    /// remembered under `key` and under `also`.
    pub(crate) fn step(
        &self,
        state: &mut State,
        key: Digest,
        also: Option<Digest>,
        make: impl FnOnce(&State, BuildStep<'_>) -> Result<Option<Layer>, Failure>,
    ) -> Result<(), Failure> {
        let parent = ChainId::stack(&state.image.rootfs.diff_ids).pop();
        let remember = |step: &CachedStep| -> Result<(), Failure> {
            let store = self.build.engine.store()?;
            [Some(key), also].into_iter().flatten().try_for_each(|key| store.remember_step(&key, step))?;
            Ok(())
        };
        if self.cached(state, &key)? {
            return self.remember_also(state, parent, also);
        }
        let store = self.build.engine.store()?;
        let _lock = store.lock_step(&key)?;
        if self.cached(state, &key)? {
            return self.remember_also(state, parent, also);
        }
        let _slot = self.build.slot();
        self.build.check()?;
        self.begin();
        let began = Instant::now();
        let scratch = store.step(&state.image.rootfs.diff_ids).map_err(|error| self.error(error))?;
        let layer = make(state, scratch).inspect_err(|_| (self.build.watch)(&Event::Failed { step: self.step }))?;
        state.created = self.build.now();
        let diff_id = layer.map(|layer| layer.diff_id);
        let description = self.instruction.text.clone();
        remember(&CachedStep { parent, diff_id, created: state.created, description })?;
        state.image.rootfs.diff_ids.extend(diff_id);
        (self.build.watch)(&Event::Done { step: self.step, took: began.elapsed() });
        Ok(())
    }

    fn remember_also(&self, state: &State, parent: Option<ChainId>, also: Option<Digest>) -> Result<(), Failure> {
        let Some(also) = also else { return Ok(()) };
        let diff_ids = &state.image.rootfs.diff_ids;
        let is_new = ChainId::stack(diff_ids).pop() != parent;
        let diff_id = diff_ids.last().copied().filter(|_| is_new);
        let description = self.instruction.text.clone();
        let step = CachedStep { parent, diff_id, created: state.created, description };
        Ok(self.build.engine.store()?.remember_step(&also, &step)?)
    }

    /// Makes a snapshot of what a step wrote.
    pub(crate) fn finish(&self, scratch: BuildStep<'_>) -> Result<Option<Layer>, Failure> {
        let latest = self.build.epoch.map(Timestamp::as_second);
        scratch.finish(latest).map_err(|error| self.error(error))
    }

    fn workdir(&self, state: &mut State, path: &str) -> Result<(), Failure> {
        let path = self.word(state, path)?;
        let path = absolute(&state.image.config.working_dir, &path);
        state.image.config.working_dir.clone_from(&path);
        if path == "/" {
            return Ok(());
        }
        let mut key = self.key("workdir", state);
        key.add("path", &path);
        key.add("user", &state.image.config.user);
        self.step(state, key.finish(), None, |state, scratch| {
            let made = (|| {
                let root = steps::open(self.build.engine, &scratch, &state.image.rootfs.diff_ids)?;
                let user = &state.image.config.user;
                let owner = if user.is_empty() { (0, 0) } else { runtime::users::owner(&root, user)? };
                let change = Change { owner: Some(owner), chmod: None };
                let resolved = root.resolve(Path::new(&path)).context(|| format!("cannot make \"{path}\""))?;
                Writer::new(&root, &change, false).make_dirs(&resolved)
            })();
            made.map_err(|error| self.error(error))?;
            self.finish(scratch)
        })
    }

    /// The tree that files are taken from; with a stage or an image, the layers that make it.
    pub(crate) fn origin(&self, state: &State, from: Option<&str>) -> Result<Source, Failure> {
        let from = from.map(|from| self.word(state, from)).transpose()?;
        let build = self.build;
        match plan::origin(&build.file, self.index, from.as_deref(), build.options) {
            Origin::Context => Ok(Source::Tree(build.context.tree().map_err(|error| self.error(error))?)),
            Origin::Named(name) => {
                let path = &build.options.contexts[&name];
                let tree = context::named(Path::new(path)).map_err(|error| self.error(error))?;
                Ok(Source::Tree(Arc::new(tree)))
            }
            Origin::Stage(index) => {
                let stage = build.stage(index).ok_or_else(Failure::consequence)?;
                Ok(Source::Layers(stage.image.rootfs.diff_ids.clone()))
            }
            Origin::Scratch => Ok(Source::Layers(Vec::new())),
            Origin::Image(name) => {
                let image = image(build, &name, &build.options.target_platform());
                Ok(Source::Layers(image.map_err(|error| self.error(error))?.rootfs.diff_ids))
            }
        }
    }

    fn copy(&self, state: &mut State, copy: &Copy) -> Result<(), Failure> {
        self.refuse(copy)?;
        let is_add = matches!(self.instruction.kind, Kind::Add(_));
        let job = self.job(state, copy, is_add)?;
        let mut key = self.key(if is_add { "add" } else { "copy" }, state);
        job.describe(&mut key);
        let source = self.origin(state, copy.from.as_deref())?;
        if let Source::Layers(layers) = &source {
            // Whatever is in them, the same layers give the same files: then nothing has to be mounted.
            key.add("layers", ChainId::stack(layers).last().map(ToString::to_string).unwrap_or_default());
            let by_layers = key.finish();
            if self.cached(state, &by_layers)? {
                return Ok(());
            }
            let tree = source.tree(self).map_err(|error| self.error(error))?;
            let (matches, digest) = self.look(&tree, &job)?;
            let mut key = self.key("copied", state);
            job.describe(&mut key);
            key.add("content", digest.hex());
            return self.step(state, key.finish(), Some(by_layers), |state, scratch| {
                self.write(state, scratch, &job, Some((&tree, &matches)))
            });
        }
        if job.wanted.patterns.is_empty() {
            return self.step(state, key.finish(), None, |state, scratch| self.write(state, scratch, &job, None));
        }
        let tree = source.tree(self).map_err(|error| self.error(error))?;
        let (matches, digest) = self.look(&tree, &job)?;
        key.add("content", digest.hex());
        self.step(state, key.finish(), None, |state, scratch| self.write(state, scratch, &job, Some((&tree, &matches))))
    }

    /// What there is no way to do yet.
    fn refuse(&self, copy: &Copy) -> Result<(), Failure> {
        let remote = |source: &&String| source.contains("://") || source.starts_with("git@");
        let is_add = matches!(self.instruction.kind, Kind::Add(_));
        if let Some(source) = copy.sources.iter().find(remote).filter(|_| is_add) {
            return Err(self.error(Error::unsupported(format!("ADD of the URL \"{source}\" is not supported yet"))));
        }
        if copy.checksum.is_some() {
            return Err(self.invalid("checksum requires HTTP(S) or Git sources"));
        }
        Ok(())
    }

    fn look(&self, tree: &Tree, job: &Job) -> Result<(Vec<Match>, Digest), Failure> {
        let found = tree.find(&job.wanted).and_then(|matches| {
            let digest = tree.digest(&matches, &job.wanted)?;
            Ok((matches, digest))
        });
        found.map_err(|error| self.error(error))
    }

    fn job(&self, state: &State, copy: &Copy, is_add: bool) -> Result<Job, Failure> {
        let words = |list: &[String]| -> Result<Vec<String>, Failure> {
            list.iter().map(|text| self.word(state, text)).collect()
        };
        let word = |text: &Option<String>| text.as_ref().map(|text| self.word(state, text)).transpose();
        let destination = self.word(state, &copy.destination)?;
        let chmod = word(&copy.chmod)?.filter(|text| !text.is_empty());
        let chmod = chmod.map(|text| Chmod::parse(&text).map(|chmod| (text, chmod))).transpose();
        let mut heredocs = Vec::new();
        for heredoc in &copy.heredocs {
            let content = match heredoc.expand {
                true => state.scope.content(&state.image.config.env, &heredoc.content),
                false => Ok(heredoc.content.clone()),
            };
            heredocs.push((heredoc.name.clone(), content.map_err(|fault| self.invalid(fault))?));
        }
        let is_dir = destination.ends_with('/') || destination == "." || destination.ends_with("/.");
        Ok(Job {
            wanted: Wanted { patterns: words(&copy.sources)?, exclude: words(&copy.exclude)?, parents: copy.parents },
            heredocs,
            destination: Destination { path: absolute(&state.image.config.working_dir, &destination), is_dir },
            chown: word(&copy.chown)?.filter(|text| !text.is_empty()),
            chmod: chmod.map_err(|fault| self.invalid(fault))?,
            link: copy.link,
            unpacks: copy.unpack.unwrap_or(is_add),
        })
    }

    fn write(
        &self,
        state: &State,
        scratch: BuildStep<'_>,
        job: &Job,
        source: Option<(&Tree, &[Match])>,
    ) -> Result<Option<Layer>, Failure> {
        let written = (|| {
            let below = &state.image.rootfs.diff_ids;
            // A linked copy is a layer by itself: what it replaces is not looked at.
            let root = steps::open(self.build.engine, &scratch, if job.link { &[] } else { below })?;
            let owner = match &job.chown {
                None => None,
                Some(text) if job.link && !below.is_empty() => {
                    Some(runtime::users::owner(&steps::look(self.build.engine, below)?, text)?)
                }
                Some(text) => Some(runtime::users::owner(&root, text)?),
            };
            let change = Change { owner, chmod: job.chmod.as_ref().map(|(_, chmod)| chmod.clone()) };
            if let Some((tree, matches)) = source {
                job.copy(&root, tree, matches, &change, scratch.dir())?;
            }
            let mut writer = Writer::new(&root, &change, false);
            let now = self.build.now();
            let time = (now.as_second(), i64::from(now.subsec_nanosecond()));
            for (name, content) in &job.heredocs {
                writer.write(name, content.as_bytes(), time, &job.destination)?;
            }
            Ok(())
        })();
        written.map_err(|error: Error| self.error(error))?;
        self.finish(scratch)
    }
}

/// Where files come from.
pub(crate) enum Source {
    Tree(Arc<Tree>),
    Layers(Vec<oci::DiffId>),
}

impl Source {
    pub(crate) fn tree(&self, worker: &Worker<'_>) -> Result<Arc<Tree>> {
        match self {
            Self::Tree(tree) => Ok(Arc::clone(tree)),
            Self::Layers(layers) => {
                let root = steps::look(worker.build.engine, layers)?;
                Ok(Arc::new(Tree { root, ignore: Ignore::default(), keeps_owners: true }))
            }
        }
    }
}

/// A COPY or ADD, expanded.
struct Job {
    wanted: Wanted,
    /// Names and contents.
    heredocs: Vec<(String, String)>,
    destination: Destination,
    chown: Option<String>,
    /// As written, and what it means.
    chmod: Option<(String, Chmod)>,
    link: bool,
    /// Archives are unpacked.
    unpacks: bool,
}

impl Job {
    fn describe(&self, key: &mut Key) {
        key.list("source", &self.wanted.patterns);
        key.list("exclude", &self.wanted.exclude);
        key.list("heredoc", self.heredocs.iter().flat_map(|(name, content)| [name, content]));
        key.add("destination", &self.destination.path);
        let flags = [self.wanted.parents, self.destination.is_dir, self.link, self.unpacks];
        key.add("flags", flags.map(u8::from));
        key.list("chown", self.chown.iter());
        key.list("chmod", self.chmod.iter().map(|(text, _)| text));
    }

    fn copy(
        &self,
        root: &sys::root::Root,
        tree: &Tree,
        matches: &[Match],
        change: &Change,
        scratch: &Path,
    ) -> Result<()> {
        if !self.unpacks {
            return Writer::new(root, change, tree.keeps_owners).copy(tree, matches, &self.wanted, &self.destination);
        }
        let many = matches.len() > 1;
        if many && !self.destination.is_dir {
            return Err(Error::invalid(format!(
                "cannot copy to \"{}\": with more than one source it must be a directory",
                self.destination.path
            ))
            .hint("end it with \"/\""));
        }
        for (number, at) in matches.iter().enumerate() {
            let open = || {
                let fd = tree.root.open(&at.path, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK);
                fd.map(std::fs::File::from).context(|| format!("cannot open {:?}", at.path))
            };
            if at.is_dir || !self.is_regular(tree, at)? || !unpack::is_archive(open()?) {
                let mut writer = Writer::new(root, change, tree.keeps_owners);
                writer.copy(tree, std::slice::from_ref(at), &self.wanted, &self.destination)?;
                continue;
            }
            let what = || format!("cannot unpack {:?}", at.path);
            let unpacked = unpack::unpack(open()?, &scratch.join(format!("archive-{number}"))).context(what)?;
            let whole = Match { path: "".into(), name: "".into(), is_dir: true };
            let to = Destination { path: self.destination.path.clone(), is_dir: true };
            // The modes are the archive's.
            let change = Change { owner: change.owner, chmod: None };
            Writer::new(root, &change, true).copy(&unpacked, &[whole], &Wanted::default(), &to).context(what)?;
        }
        Ok(())
    }

    fn is_regular(&self, tree: &Tree, at: &Match) -> Result<bool> {
        let handle = tree.root.open_path(&at.path).context(|| format!("cannot open {:?}", at.path))?;
        let kind = sys::root::file_type(handle).context(|| format!("cannot open {:?}", at.path))?;
        Ok(kind == rustix::fs::FileType::RegularFile)
    }
}

/// How an instruction stands in the history: as it was written, with its here-documents.
fn history_text(instruction: &Instruction) -> String {
    let (word, rest) = instruction.text.split_once(char::is_whitespace).unwrap_or((&instruction.text, ""));
    let mut text = format!("{} {}", word.to_uppercase(), rest.trim_start());
    let heredocs = match &instruction.kind {
        Kind::Run(run) => &run.heredocs[..],
        Kind::Copy(copy) | Kind::Add(copy) => &copy.heredocs,
        _ => &[],
    };
    for heredoc in heredocs {
        text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
    }
    text
}
