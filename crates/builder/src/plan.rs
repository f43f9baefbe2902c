//! Which stages the target needs, and what each stands on. Pure.

use std::collections::{BTreeMap, BTreeSet};

use dockerfile::{Dockerfile, Instruction, Kind};

use crate::context::Context;
use crate::failure::{At, Failure};
use crate::options::Options;

/// What a stage stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image { name: String, platform: Option<String> },
}

/// Where a `--from` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Files of the build context.
    Context,
    /// A context with a name.
    Named(String),
    Stage(usize),
    Image(String),
    Scratch,
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) target: usize,
    /// The stages to make, the target among them.
    pub(crate) needed: BTreeSet<usize>,
    pub(crate) bases: Vec<Base>,
    /// The arguments before the first FROM.
    pub(crate) globals: BTreeMap<String, String>,
}

impl Plan {
    pub(crate) fn new(file: &Dockerfile, options: &Options, context: &Context<'_>) -> Result<Self, Failure> {
        let last = file.stages.len() - 1;
        let target = match &options.target {
            None => last,
            Some(name) => file.stage(name).ok_or_else(|| {
                Failure::from(stdx::Error::not_found(format!("target stage \"{name}\" could not be found")))
            })?,
        };
        let parse_error = |error: dockerfile::ParseError| At { context, span: error.span }.invalid(error.message);
        let globals = file.global_args(&options.build_args, &options.platform_args()).map_err(parse_error)?;
        let mut bases = Vec::new();
        for (index, stage) in file.stages.iter().enumerate() {
            // What a stage that nobody needs stands on may be nonsense.
            let at = At { context, span: stage.head.span };
            let base = file.base(stage, &globals).and_then(|name| {
                let platform = file.platform(stage, &globals)?;
                Ok(base(file, index, name, platform, options))
            });
            bases.push((at, base));
        }
        let mut plan = Self { target, needed: BTreeSet::new(), bases: Vec::new(), globals };
        let mut pending = vec![target];
        while let Some(index) = pending.pop() {
            if !plan.needed.insert(index) {
                continue;
            }
            if let Ok(Base::Stage(below)) = &bases[index].1 {
                pending.push(*below);
            }
            pending.extend(froms(&file.stages[index].instructions).filter_map(|name| file.stage_before(name, index)));
        }
        for (index, (at, base)) in bases.into_iter().enumerate() {
            plan.bases.push(match base {
                Ok(base) => base,
                Err(_) if !plan.needed.contains(&index) => Base::Scratch,
                Err(error) => return Err(at.invalid(error.message)),
            });
        }
        Ok(plan)
    }
}

fn base(file: &Dockerfile, index: usize, name: String, platform: Option<String>, options: &Options) -> Base {
    if let Some(stage) = file.named_before(&name, index) {
        return Base::Stage(stage);
    }
    if name == "scratch" {
        return Base::Scratch;
    }
    // An image may be replaced from outside.
    let given = options.contexts.get(&name).and_then(|given| given.strip_prefix("docker-image://"));
    Base::Image { name: given.map_or(name, str::to_owned), platform }
}

/// The stages, images and contexts that instructions take files from, as written.
fn froms(instructions: &[Instruction]) -> impl Iterator<Item = &str> {
    instructions.iter().flat_map(|instruction| match &instruction.kind {
        Kind::Copy(copy) => copy.from.as_deref().into_iter().collect::<Vec<_>>(),
        Kind::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_deref()).collect(),
        _ => Vec::new(),
    })
}

/// What `--from=NAME` means in a stage.
pub(crate) fn origin(file: &Dockerfile, index: usize, from: Option<&str>, options: &Options) -> Origin {
    let Some(name) = from else { return Origin::Context };
    if let Some(stage) = file.stage_before(name, index) {
        return Origin::Stage(stage);
    }
    match options.contexts.get(name) {
        Some(given) => match given.strip_prefix("docker-image://") {
            Some(image) => Origin::Image(image.to_owned()),
            None => Origin::Named(name.to_owned()),
        },
        None if name == "scratch" => Origin::Scratch,
        None if name == "context" => Origin::Context,
        None => Origin::Image(name.to_owned()),
    }
}
