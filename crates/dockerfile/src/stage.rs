//! The whole file: what stands before the first FROM, and the stages.

use std::collections::BTreeMap;

use crate::instruction::{From, Instruction, Kind};
use crate::{Directives, Expander, ParseError, lines, parse};

/// A Dockerfile that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What its first comments ask of the parser.
    pub directives: Directives,
    /// The ARG instructions before the first FROM.
    pub globals: Vec<Instruction>,
    /// The stages, in order; never none.
    pub stages: Vec<Stage>,
}

/// One FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The FROM itself, with its place.
    pub head: Instruction,
    /// What it says.
    pub from: From,
    /// The instructions after it.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Reads a Dockerfile. The error says what is wrong and where.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        let (directives, lines) = lines::split(source)?;
        let mut file = Self { directives, globals: Vec::new(), stages: Vec::new() };
        for line in lines {
            let instruction = parse::instruction(line, file.directives.escape)?;
            file.add(instruction)?;
        }
        if file.stages.is_empty() {
            let what =
                if file.globals.is_empty() { "file with no instructions" } else { "no build stage: FROM is missing" };
            return Err(ParseError::new(crate::Span { first: 1, last: 1, column: 1 }, what));
        }
        Ok(file)
    }

    fn add(&mut self, instruction: Instruction) -> Result<(), ParseError> {
        if let Kind::From(from) = &instruction.kind {
            let from = from.clone();
            self.stages.push(Stage { head: instruction, from, instructions: Vec::new() });
            return Ok(());
        }
        match (self.stages.last_mut(), &instruction.kind) {
            (Some(stage), _) => stage.instructions.push(instruction),
            (None, Kind::Arg(_)) => self.globals.push(instruction),
            (None, _) => {
                return Err(ParseError::new(
                    instruction.span,
                    "no build stage in current context: FROM must come first",
                ));
            }
        }
        Ok(())
    }

    /// The stage a `--target` names: by name in any case, or by number from 0. A name wins, the last of its kind.
    pub fn stage(&self, reference: &str) -> Option<usize> {
        self.stage_before(reference, self.stages.len())
    }

    /// The stage that `--from` means in the stage `index`: one of those before it, by name or by number.
    pub fn stage_before(&self, reference: &str, index: usize) -> Option<usize> {
        let number = || reference.parse().ok().filter(|number| *number < index.min(self.stages.len()));
        self.named_before(reference, index).or_else(number)
    }

    /// The stage that FROM means in the stage `index`: one of those before it, by name only; a number is an image.
    pub fn named_before(&self, reference: &str, index: usize) -> Option<usize> {
        let name = reference.to_ascii_lowercase();
        let before = &self.stages[..index.min(self.stages.len())];
        before.iter().rposition(|stage| stage.from.name.as_deref() == Some(&name))
    }

    /// The values of the ARGs before the first FROM: given ones over defaults, defaults expanded in order.
    /// `given` holds build arguments, `predefined` the platform arguments.
    pub fn global_args(
        &self,
        given: &BTreeMap<String, String>,
        predefined: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ParseError> {
        let mut values = predefined.clone();
        for instruction in &self.globals {
            let Kind::Arg(args) = &instruction.kind else { continue };
            for (name, default) in args {
                let value = match (given.get(name), default) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(default)) => Some(self.expand(&values, default, instruction)?),
                    (None, None) => None,
                };
                values.extend(value.map(|value| (name.clone(), value)));
            }
        }
        Ok(values)
    }

    /// The stage's base with the global arguments in place; an empty result is an error.
    pub fn base(&self, stage: &Stage, args: &BTreeMap<String, String>) -> Result<String, ParseError> {
        let image = self.expand(args, &stage.from.image, &stage.head)?;
        if image.is_empty() {
            let message = format!("base name ({}) should not be blank", stage.from.image);
            return Err(ParseError::new(stage.head.span, message));
        }
        Ok(image)
    }

    /// The stage's platform with the global arguments in place.
    pub fn platform(&self, stage: &Stage, args: &BTreeMap<String, String>) -> Result<Option<String>, ParseError> {
        let platform = stage.from.platform.as_ref();
        platform.map(|platform| self.expand(args, platform, &stage.head)).transpose()
    }

    fn expand(&self, args: &BTreeMap<String, String>, text: &str, at: &Instruction) -> Result<String, ParseError> {
        let lookup = |name: &str| args.get(name).cloned();
        let expanded = Expander::new(self.directives.escape, &lookup).word(text);
        Ok(expanded.map_err(|message| ParseError::new(at.span, message))?.text)
    }
}

/// Whether an argument can be given without an ARG and stays out of the history: the proxy variables, in either case.
pub fn is_predefined_proxy_arg(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let known = matches!(lower.as_str(), "http_proxy" | "https_proxy" | "ftp_proxy" | "no_proxy" | "all_proxy");
    known && (name == lower || name == name.to_ascii_uppercase())
}
