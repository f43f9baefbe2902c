//! Dockerfiles become images: a client of the engine.
//!
//! [`build`] reads the Dockerfile, decides which stages the target needs ([`plan`]), and makes those, side by side where
//! they do not need each other. A stage ([`stage`]) is its base's layers and configuration, changed by one instruction
//! after the other. An instruction that may change files has a key ([`key`]): a digest of everything its outcome follows
//! from. What the store's cache knows under that key is taken, without a mount or a process; anything else is made in
//! scratch of the store ([`run`], [`copy`]), whose writable layer then is the snapshot.
//!
//! Nothing here prints: what happens is told to a [`progress::Watch`].

mod chmod;
mod config;
mod context;
mod copy;
mod failure;
mod key;
mod options;
mod output;
mod plan;
pub mod progress;
pub mod prune;
mod run;
mod scope;
mod source;
mod stage;
mod unpack;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use dockerfile::{Dockerfile, Instruction};
use engine::Engine;
use jiff::Timestamp;
use oci::{DiffId, ImageId, Reference};
use stdx::{Error, Kind, Result};
use store::Hold;

use context::Context;
use failure::At;
use plan::Plan;
use progress::{Event, Watch};
use stage::State;

pub use context::{Archive, ContextSource, DockerfileSource};
pub use failure::Failure;
pub use options::{Options, Pull};

/// What was built. It is there as long as this lives, whoever tidies up.
#[derive(Debug)]
pub struct Built {
    /// The image; `None` if only the files were wanted.
    pub id: Option<ImageId>,
    pub names: Vec<Reference>,
    pub(crate) layers: Vec<DiffId>,
    _hold: Hold,
}

/// One build in progress, shared by the threads that make its stages.
pub(crate) struct Build<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) options: &'a Options,
    pub(crate) file: Dockerfile,
    pub(crate) context: Context<'a>,
    pub(crate) plan: Plan,
    pub(crate) watch: Watch<'a>,
    /// When everything is said to have been made; `None`: when it was.
    pub(crate) epoch: Option<Timestamp>,
    stages: Vec<OnceLock<Option<Arc<State>>>>,
    failure: Mutex<Option<Failure>>,
    failed: AtomicBool,
    working: (Mutex<usize>, Condvar),
    _hold: Hold,
}

/// Builds an image.
pub fn build(engine: &Engine, options: &Options, watch: Watch<'_>) -> Result<Built, Failure> {
    let build = Build::new(engine, options, watch)?;
    let target = build.plan.target;
    std::thread::scope(|scope| {
        let others = build.plan.needed.iter().filter(|index| **index != target);
        for index in others {
            let thread = std::thread::Builder::new().name(format!("stage {index}"));
            // Without a thread the stage is made by the one that needs it.
            let _ = thread.spawn_scoped(scope, || build.stage(*index));
        }
        build.stage(target);
    });
    match (build.failure.lock().unwrap_or_else(PoisonError::into_inner).take(), build.stage(target)) {
        (Some(failure), _) => Err(failure),
        (None, Some(state)) => Ok(build.publish(&state)?),
        (None, None) => Err(Error::new(Kind::Internal, "the build ended without a word").into()),
    }
}

/// The findings of the checks on a Dockerfile, each with its lines as a reader sees them.
pub fn check(engine: &Engine, options: &Options) -> Result<Vec<(dockerfile::Warning, String)>, Failure> {
    let context = Context::open(engine, options)?;
    let file = context.parse()?;
    Ok(context.warnings(&file))
}

impl<'a> Build<'a> {
    fn new(engine: &'a Engine, options: &'a Options, watch: Watch<'a>) -> Result<Self, Failure> {
        engine.store()?.sweep()?;
        // Nothing that a step has made goes before the image has a name.
        let hold = engine.store()?.hold()?;
        let context = Context::open(engine, options)?;
        let file = context.parse()?;
        for (warning, excerpt) in context.warnings(&file) {
            watch(&Event::Warning { check: warning.check, message: &warning.message, excerpt: &excerpt });
        }
        let findings = context.warnings(&file);
        if let Some((first, _)) = findings.first().filter(|_| file.directives.findings_are_errors()) {
            let message = format!("the checks found {}: {}", first.check, first.message);
            return Err(At { context: &context, span: first.span }.invalid(message));
        }
        let plan = Plan::new(&file, options, &context)?;
        let stages = file.stages.iter().map(|_| OnceLock::new()).collect();
        Ok(Self {
            engine,
            options,
            epoch: options.epoch()?,
            file,
            context,
            plan,
            watch,
            stages,
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            working: (Mutex::new(std::thread::available_parallelism().map_or(1, usize::from)), Condvar::new()),
            _hold: hold,
        })
    }

    /// The stage with this number, made by the first who asks. `None`: it failed, or something else did.
    pub(crate) fn stage(&self, index: usize) -> Option<Arc<State>> {
        let make = || match stage::make(self, index) {
            Ok(state) => Some(Arc::new(state)),
            Err(failure) => {
                self.failed.store(true, Ordering::Relaxed);
                let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                if first.is_none() && !failure.is_consequence {
                    *first = Some(failure);
                }
                None
            }
        };
        self.stages.get(index)?.get_or_init(make).clone()
    }

    /// An error when another stage has failed: what is left is not worth doing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.failed.load(Ordering::Relaxed) { Err(Failure::consequence()) } else { Ok(()) }
    }

    /// Waits until a processor is free for one more step.
    pub(crate) fn slot(&self) -> Slot<'_> {
        let (free, freed) = &self.working;
        let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(&self.working)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.epoch.unwrap_or_else(Timestamp::now)
    }

    /// Where an instruction stands, for errors.
    pub(crate) fn at<'b>(&'b self, instruction: &'b Instruction) -> At<'b> {
        At { context: &self.context, span: instruction.span }
    }

    fn publish(&self, state: &State) -> Result<Built> {
        let mut config = state.image.clone();
        config.config.labels.extend(self.options.labels.clone());
        config.created = Some(state.created.to_string());
        let layers = config.rootfs.diff_ids.clone();
        let _hold = self.engine.store()?.hold()?;
        if self.options.files_only {
            return Ok(Built { id: None, names: Vec::new(), layers, _hold });
        }
        let names: Vec<Reference> = self.options.tags.iter().map(|tag| tag.clone().or_latest()).collect();
        let id = self.engine.store()?.publish(&config, names.clone())?;
        (self.watch)(&Event::Image { id: &id, names: &names });
        Ok(Built { id: Some(id), names, layers, _hold })
    }
}

/// A processor in use, until dropped.
pub(crate) struct Slot<'a>(&'a (Mutex<usize>, Condvar));

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.1.notify_one();
    }
}
