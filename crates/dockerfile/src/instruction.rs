//! The instructions as types. Arguments stand as written: variables are expanded when an instruction is executed.

use crate::{Mount, Span};

/// One instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its lines.
    pub span: Span,
    /// Its text, continuations joined, as a history entry shows it.
    pub text: String,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `ADD`.
    Add(Copy),
    /// `ARG`: names, each with its default.
    Arg(Vec<(String, Option<String>)>),
    /// `CMD`.
    Cmd(Arguments),
    /// `COPY`.
    Copy(Copy),
    /// `ENTRYPOINT`.
    Entrypoint(Arguments),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `EXPOSE`: ports as written.
    Expose(Vec<String>),
    /// `FROM`.
    From(From),
    /// `HEALTHCHECK`.
    Healthcheck(Check),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`: the instruction that waits, already checked, with its text.
    Onbuild(Box<Instruction>),
    /// `RUN`.
    Run(Run),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    Stopsignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `WORKDIR`.
    Workdir(String),
}

/// A command: a line for the shell or a list of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arguments {
    /// Shell form.
    Shell(String),
    /// Exec form.
    Exec(Vec<String>),
}

/// `KEY=value` of ENV and LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub key: String,
    /// The value with its quotes.
    pub value: String,
    /// Whether it was written `KEY value`.
    pub legacy: bool,
}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// `--platform`.
    pub platform: Option<String>,
    /// An image, `scratch`, or an earlier stage.
    pub image: String,
    /// The stage's name, in lower case.
    pub name: Option<String>,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it; of COPY the file's name.
    pub name: String,
    /// Whether variables in it are expanded: its name was not quoted.
    pub expand: bool,
    /// Whether leading tabs were taken off: it was written `<<-`.
    pub strip_tabs: bool,
    /// Its lines.
    pub content: String,
}

/// COPY and ADD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// The sources that are no here-documents.
    pub sources: Vec<String>,
    /// Sources written in place.
    pub heredocs: Vec<Heredoc>,
    /// Where they go.
    pub destination: String,
    /// `--from`: a stage, an image or a context; COPY only.
    pub from: Option<String>,
    /// `--chown=USER:GROUP`.
    pub chown: Option<String>,
    /// `--chmod=MODE`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`; COPY only.
    pub parents: bool,
    /// `--exclude`, every one.
    pub exclude: Vec<String>,
    /// `--checksum`; ADD only.
    pub checksum: Option<String>,
    /// `--unpack`; ADD only.
    pub unpack: Option<bool>,
    /// `--keep-git-dir`; ADD only.
    pub keep_git_dir: bool,
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What runs.
    pub command: Arguments,
    /// Here-documents of the command line.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, in order.
    pub mounts: Vec<Mount>,
    /// `--network`: `default`, `none` or `host`.
    pub network: Option<String>,
    /// `--security`: `sandbox` or `insecure`.
    pub security: Option<String>,
}

/// HEALTHCHECK. Durations in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `NONE`.
    None,
    /// `CMD`.
    Command {
        /// What is run.
        command: Arguments,
        /// `--interval`.
        interval: Option<u64>,
        /// `--timeout`.
        timeout: Option<u64>,
        /// `--start-period`.
        start_period: Option<u64>,
        /// `--start-interval`.
        start_interval: Option<u64>,
        /// `--retries`.
        retries: Option<u32>,
    },
}
