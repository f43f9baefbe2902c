//! Dockerfiles as types: text in, typed instructions in stages out. Pure: nothing here reads a file or knows an engine.
//!
//! What a line means follows the Dockerfile reference, and BuildKit where it and the classic builder differ.

mod error;
mod expand;
mod ignore;
mod instruction;
mod lines;
mod lint;
mod mount;
mod options;
mod parse;
mod pattern;
mod stage;
mod words;

pub use error::{ParseError, Span};
pub use expand::{Expanded, Expander};
pub use ignore::{Ignore, ignore_names};
pub use instruction::{Arguments, Check, Copy, From, Heredoc, Instruction, Kind, Pair, Run};
pub use lines::Directives;
pub use lint::Warning;
pub use mount::{Mount, MountKind};
pub use pattern::matches_path;
pub use stage::{Dockerfile, Stage, is_predefined_proxy_arg};

/// The most bytes of a Dockerfile or an ignore file that are read.
pub const LIMIT: usize = 1 << 20;
