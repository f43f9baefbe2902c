//! `tare build`, and what belongs to its cache.

pub(crate) mod prune;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;

use builder::prune as cache;
use builder::{Archive, Built, ContextSource, DockerfileSource, Options, Pull};
use engine::Engine;
use engine::containers::options::{Network, parse};
use engine::images;
use layer::Compression;
use stdx::{Context, Error, Result};
use store::ArchiveFormat;

use super::pull::{notes, platform, reference};
use crate::build_progress::{Progress, show_failure};
use crate::error::{Failure, printable};
use crate::interrupt::{Interruptible, Undo};
use crate::limit_args::LimitArgs;
use crate::output_file::write_to;
use crate::table::out;

/// Build an image from a Dockerfile
#[derive(clap::Parser, Debug)]
#[command(name = "tare build")]
pub(crate) struct Args {
    #[command(flatten)]
    limits: LimitArgs,
    /// Add a custom host-to-IP mapping for steps (host:ip)
    #[arg(long, value_name = "HOST:IP")]
    add_host: Vec<String>,
    /// Allow steps what is not allowed otherwise: network.host, security.insecure
    #[arg(long, value_name = "ENTITLEMENT")]
    allow: Vec<String>,
    /// Set an argument of the build
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// A further context: a directory, or docker-image://IMAGE
    #[arg(long, value_name = "NAME=CONTEXT")]
    build_context: Vec<String>,
    /// Parent cgroup of the steps
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// Only check the Dockerfile
    #[arg(long)]
    check: bool,
    /// Name of the Dockerfile (default: PATH/Dockerfile)
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Set metadata of the image
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Write what is known of the result to this file
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// The network of steps: none, host, or a network's name
    #[arg(long, value_name = "NETWORK", default_value = "")]
    network: String,
    /// Make every step again
    #[arg(long)]
    no_cache: bool,
    /// Make the steps of these stages again
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Where the result goes: type=local|tar|oci|docker|image[,dest=PATH]
    #[arg(short, long, value_name = "OUTPUT")]
    output: Option<String>,
    /// As always
    #[arg(long, hide = true)]
    load: bool,
    /// Nothing is left that would have to be removed
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<bool>,
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Platform the image is for (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// How progress is shown
    #[arg(long, value_name = "HOW", value_parser = ["auto", "plain", "quiet"], default_value = "auto")]
    progress: String,
    /// Fetch base images even if they are here
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL", hide_possible_values = true)]
    pull: bool,
    /// Only the image's id
    #[arg(short, long)]
    quiet: bool,
    /// A secret for steps: id=ID[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Size of /dev/shm in steps
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// An SSH agent for steps: default, or ID[=SOCKET]
    #[arg(long, value_name = "AGENT")]
    ssh: Vec<String>,
    /// Name of the image
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// The stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Limits of steps
    #[arg(long, value_name = "TYPE=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Directory with the files, or - for a Dockerfile or a tar on standard input
    #[arg(value_name = "PATH")]
    context: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let options = args.options()?;
    if args.check {
        return check(engine, &options);
    }
    let quiet = args.quiet || args.progress == "quiet";
    let output = args.output()?;
    let progress = Progress::new(quiet);
    let interruptible = Interruptible::begin(engine, &Undo::default())?;
    let built = builder::build(engine, &options, &|event| progress.show(event));
    drop(interruptible);
    notes(engine);
    let built = built.map_err(|failure| {
        show_failure(&failure);
        Failure::from(failure.error)
    })?;
    if let Some(id) = built.id.filter(|_| args.quiet) {
        out(&format!("{id}\n"));
    }
    args.write_files(&built)?;
    write_output(engine, &output, &built)?;
    drop(built);
    cache::keep_within_limit(engine)?;
    Ok(0)
}

/// What is made of the result besides, or instead.
enum Output {
    Image,
    Local(PathBuf),
    /// `None`: standard output.
    Tar(Option<PathBuf>),
    Archive(ArchiveFormat, Option<PathBuf>),
}

/// `type=local|tar|oci|docker|image[,dest=PATH]`; a path alone is a directory, `-` a tar on standard output.
fn output_of(text: &str) -> Result<Output> {
    let invalid = |why: &str| Error::invalid(format!("invalid output \"{text}\": {why}"));
    if text == "-" {
        return Ok(Output::Tar(None));
    }
    if !text.contains('=') {
        return Ok(Output::Local(PathBuf::from(text)));
    }
    let (mut kind, mut dest) = (None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("type", value)) => kind = Some(value),
            Some(("dest", value)) => dest = Some(PathBuf::from(value)),
            _ => return Err(invalid("it is type=local|tar|oci|docker|image[,dest=PATH]")),
        }
    }
    let file = dest.clone().filter(|path| path.as_os_str() != "-");
    match kind {
        Some("local") => Ok(Output::Local(dest.ok_or_else(|| invalid("it has no dest"))?)),
        Some("tar") => Ok(Output::Tar(file)),
        Some("oci") => Ok(Output::Archive(ArchiveFormat::Oci, file)),
        Some("docker") if dest.is_some() => Ok(Output::Archive(ArchiveFormat::Docker, file)),
        Some("image" | "docker") => Ok(Output::Image),
        _ => Err(invalid("its type is local, tar, oci, docker or image")),
    }
}

fn write_output(engine: &Engine, output: &Output, built: &Built) -> Result<()> {
    match output {
        Output::Image => Ok(()),
        Output::Local(path) => built.write_directory(engine, path),
        Output::Tar(path) => write_to(engine, path.as_deref(), |writer| built.write_tar(engine, writer)),
        Output::Archive(format, path) => {
            let names: Vec<String> = built.names.iter().map(ToString::to_string).collect();
            let texts = if names.is_empty() { built.id.iter().map(ToString::to_string).collect() } else { names };
            write_to(engine, path.as_deref(), |writer| images::save::save(engine, &texts, *format, None, writer))
        }
    }
}

fn check(engine: &Engine, options: &Options) -> Result<i32, Failure> {
    let found = builder::check(engine, options).map_err(|failure| {
        show_failure(&failure);
        Failure::from(failure.error)
    })?;
    if found.is_empty() {
        out("Check complete, no warnings found.\n");
        return Ok(0);
    }
    let plural = if found.len() == 1 { "warning has" } else { "warnings have" };
    out(&format!("Check complete, {} {plural} been found!\n", found.len()));
    for (warning, excerpt) in found {
        out(&format!("\nWARNING: {}\n{}\n\n{}", warning.check, printable(&warning.message), printable(&excerpt)));
    }
    Ok(1)
}

impl Args {
    fn output(&self) -> Result<Output> {
        self.output.as_deref().map_or(Ok(Output::Image), output_of)
    }

    fn options(&self) -> Result<Options> {
        let (context, dockerfile) = self.sources()?;
        let host = self.allow.iter().any(|allowed| allowed == "network.host");
        let insecure = self.allow.iter().any(|allowed| allowed == "security.insecure");
        if let Some(unknown) = self.allow.iter().find(|a| !matches!(a.as_str(), "network.host" | "security.insecure")) {
            return Err(Error::invalid(format!("unknown entitlement \"{unknown}\""))
                .hint("it is network.host or security.insecure"));
        }
        Ok(Options {
            context,
            dockerfile,
            contexts: pairs("--build-context", &self.build_context)?,
            files_only: matches!(self.output()?, Output::Local(_) | Output::Tar(_)),
            target: self.target.clone(),
            tags: self.tag.iter().map(|tag| tag_of(tag)).collect::<Result<_>>()?,
            build_args: self.build_args(),
            labels: self.label.iter().map(|label| label_of(label)).collect(),
            platform: platform(self.platform.as_deref())?,
            pull: if self.pull { Pull::Always } else { Pull::Missing },
            no_cache: self.no_cache,
            no_cache_stages: self.no_cache_filter.clone(),
            secrets: self.secret.iter().map(|secret| secret_of(secret)).collect::<Result<_>>()?,
            agents: self.ssh.iter().map(|agent| agent_of(agent)).collect::<Result<_>>()?,
            network: network_of(&self.network)?,
            allow_host_network: host,
            allow_insecure: insecure,
            extra_hosts: self.add_host.iter().map(|text| parse::extra_host(text)).collect::<Result<_>>()?,
            resources: self.limits.resources()?,
            nano_cpus: self.limits.nano_cpus()?,
            cgroup_parent: self.cgroup_parent.clone(),
            ulimits: self.ulimit.iter().map(|text| parse::ulimit(text)).collect::<Result<_>>()?,
            shm_size: self.shm_size.as_deref().map(|text| parse::bytes("shm-size", text)).transpose()?,
        })
    }

    /// The context and the Dockerfile; one of them may be on standard input.
    fn sources(&self) -> Result<(ContextSource, DockerfileSource)> {
        let from_stdin = self.file.as_deref().is_some_and(|file| file.as_os_str() == "-");
        if self.context != "-" {
            if self.context.contains("://") || self.context.starts_with("git@") {
                return Err(Error::unsupported(format!("the context \"{}\" is not supported yet", self.context))
                    .hint("give a directory, or a tar on standard input"));
            }
            let context = ContextSource::Directory(PathBuf::from(&self.context));
            return Ok(match &self.file {
                Some(_) if from_stdin => (context, DockerfileSource::Text(stdin_text(Vec::new())?)),
                Some(file) => (context, DockerfileSource::File(file.clone())),
                None => (context, DockerfileSource::Usual),
            });
        }
        if from_stdin {
            return Err(Error::invalid("invalid argument: can't use stdin for both build context and dockerfile"));
        }
        let mut start = vec![0; 512];
        let length = read_start(&mut start).context(|| "cannot read standard input".to_owned())?;
        start.truncate(length);
        let is_archive = Compression::detect(&start) != Compression::None || start.get(257..262) == Some(b"ustar");
        if !is_archive {
            return Ok((ContextSource::Nowhere, DockerfileSource::Text(stdin_text(start)?)));
        }
        let archive = Archive::new(std::io::Cursor::new(start).chain(std::io::stdin()));
        let dockerfile = self.file.clone().map_or(DockerfileSource::Usual, DockerfileSource::File);
        Ok((ContextSource::Archive(archive), dockerfile))
    }

    /// A name without a value has that of this program's environment, if there is one.
    fn build_args(&self) -> BTreeMap<String, String> {
        let given = self.build_arg.iter().filter_map(|text| match text.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => std::env::var(text).ok().map(|value| (text.clone(), value)),
        });
        let mut args: BTreeMap<String, String> = given.collect();
        if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
            args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch);
        }
        args
    }

    fn write_files(&self, built: &Built) -> Result<()> {
        let Some(id) = built.id else { return Ok(()) };
        if let Some(path) = &self.iidfile {
            fs::write(path, id.to_string()).context(|| format!("cannot write image id file {path:?}"))?;
        }
        if let Some(path) = &self.metadata_file {
            let names: Vec<String> = built.names.iter().map(ToString::to_string).collect();
            let mut metadata = serde_json::json!({ "containerimage.config.digest": id.to_string() });
            if !names.is_empty() {
                metadata["image.name"] = names.join(",").into();
            }
            let mut file = fs::File::create(path).context(|| format!("cannot write metadata file {path:?}"))?;
            writeln!(file, "{metadata:#}").context(|| format!("cannot write metadata file {path:?}"))?;
        }
        Ok(())
    }
}

fn read_start(buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match std::io::stdin().read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

fn stdin_text(mut start: Vec<u8>) -> Result<String> {
    let what = || "cannot read the Dockerfile from standard input".to_owned();
    std::io::stdin().take(dockerfile::LIMIT as u64 + 1).read_to_end(&mut start).context(what)?;
    String::from_utf8(start).map_err(|_| Error::invalid(format!("{}: it is no UTF-8 text", what())))
}

fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!("invalid {option} \"{text}\": it is NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

fn label_of(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

fn tag_of(text: &str) -> Result<oci::Reference> {
    let name = reference(text)?;
    if name.digest().is_some() {
        return Err(Error::invalid(format!("invalid tag \"{text}\": a digest is not a name")));
    }
    Ok(name)
}

/// `id=ID[,src=FILE][,env=VARIABLE]`; without a source, the variable or the file of that name.
fn secret_of(text: &str) -> Result<(String, Vec<u8>)> {
    let invalid = |why: &str| Error::invalid(format!("invalid secret \"{text}\": {why}"));
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(PathBuf::from(value)),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file" | "env")) => {}
            _ => return Err(invalid("it is id=ID[,src=FILE|,env=VARIABLE]")),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| invalid("it has no id"))?;
    let variable =
        variable.or_else(|| file.is_none().then(|| id.clone()).filter(|name| std::env::var_os(name).is_some()));
    if let Some(name) = variable {
        use std::os::unix::ffi::OsStringExt;
        let value = std::env::var_os(&name).ok_or_else(|| invalid(&format!("there is no variable {name}")))?;
        return Ok((id, value.into_vec()));
    }
    let path = file.unwrap_or_else(|| PathBuf::from(&id));
    let value = fs::read(&path).context(|| format!("cannot read secret {path:?}"))?;
    if value.len() > 500 << 10 {
        return Err(invalid("it is larger than 500 KiB"));
    }
    Ok((id, value))
}

/// The network of steps; by default that of containers.
fn network_of(text: &str) -> Result<Network> {
    match text {
        "" | "default" => parse::networks(&[engine::config::default_network()]),
        asked => parse::networks(&[asked.to_owned()]),
    }
}

fn agent_of(text: &str) -> Result<(String, PathBuf)> {
    let (id, socket) = text.split_once('=').map_or((text, None), |(id, socket)| (id, Some(socket.to_owned())));
    let socket = socket.or_else(|| std::env::var("SSH_AUTH_SOCK").ok()).filter(|socket| !socket.is_empty());
    let missing = || Error::invalid(format!("invalid agent \"{text}\": SSH_AUTH_SOCK is not set"));
    Ok((id.to_owned(), PathBuf::from(socket.ok_or_else(missing)?)))
}
