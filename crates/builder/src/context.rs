//! What a build is given: a Dockerfile, and the files it may copy.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dockerfile::{Dockerfile, Ignore, LIMIT, ParseError, Warning, ignore_names};
use engine::Engine;
use rustix::fs::{FileType, OFlags};
use stdx::{Context as _, Error, Kind, Result};
use store::BuildStep;
use sys::Errno;
use sys::root::Root;

use crate::failure::{At, Failure};
use crate::options::Options;
use crate::source::Tree;
use crate::unpack;

/// Where the files are.
#[derive(Debug, Default)]
pub enum ContextSource {
    /// There are none.
    #[default]
    Nowhere,
    Directory(PathBuf),
    /// A tar, compressed or not, that is still to be read.
    Archive(Archive),
}

/// Bytes that are read once.
pub struct Archive(Mutex<Option<Box<dyn Read + Send>>>);

impl Archive {
    /// An archive that comes from here.
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(reader))))
    }

    fn take(&self) -> Result<Box<dyn Read + Send>> {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        reader.ok_or_else(|| Error::new(Kind::Internal, "the context has been read already"))
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archive")
    }
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `Dockerfile` in the context.
    #[default]
    Usual,
    /// This file; if it is not there, the one of this name in the context.
    File(PathBuf),
    Text(String),
}

/// The context, opened. Of a directory only the Dockerfile and the ignore file are read.
pub(crate) struct Context<'a> {
    name: String,
    text: String,
    tree: Option<Arc<Tree>>,
    _scratch: Option<BuildStep<'a>>,
}

impl<'a> Context<'a> {
    pub(crate) fn open(engine: &'a Engine, options: &Options) -> Result<Self> {
        let (root, scratch) = match &options.context {
            ContextSource::Nowhere => (None, None),
            ContextSource::Directory(path) => (Some(open_directory(path)?), None),
            ContextSource::Archive(archive) => {
                let scratch = engine.store()?.step(&[])?;
                let what = || "cannot unpack the build context".to_owned();
                let tree = unpack::unpack(archive.take()?, &scratch.dir().join("context")).context(what)?;
                (Some(tree.root), Some(scratch))
            }
        };
        let (path, text) = dockerfile_of(options, root.as_ref())?;
        let name = path.as_deref().and_then(Path::file_name);
        let name = name.map_or_else(|| "Dockerfile".to_owned(), |name| name.to_string_lossy().into_owned());
        let ignore = match &root {
            Some(root) => ignore(root, path.as_deref(), scratch.is_some())?,
            None => Ignore::default(),
        };
        let tree = root.map(|root| Arc::new(Tree { root, ignore, keeps_owners: false }));
        Ok(Self { name, text, tree, _scratch: scratch })
    }

    /// What the Dockerfile is called.
    pub(crate) fn dockerfile_name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub(crate) fn dockerfile(&self) -> &str {
        &self.text
    }

    pub(crate) fn parse(&self) -> Result<Dockerfile, Failure> {
        Dockerfile::parse(&self.text).map_err(|error| At { context: self, span: error.span }.invalid(error.message))
    }

    /// What the checks find, each with its lines.
    pub(crate) fn warnings(&self, file: &Dockerfile) -> Vec<(Warning, String)> {
        let excerpt = |warning: &Warning| {
            let fault = ParseError { span: warning.span, message: warning.message.clone() };
            fault.excerpt(&self.name, &self.text)
        };
        let with_lines = |warning: Warning| {
            let lines = excerpt(&warning);
            (warning, lines)
        };
        file.warnings().into_iter().map(with_lines).collect()
    }

    /// The files.
    pub(crate) fn tree(&self) -> Result<Arc<Tree>> {
        let missing = || {
            Error::invalid("there is no build context to copy from")
                .hint("give a directory instead of a Dockerfile alone")
        };
        self.tree.clone().ok_or_else(missing)
    }
}

/// The Dockerfile, and where it was found.
fn dockerfile_of(options: &Options, root: Option<&Root>) -> Result<(Option<PathBuf>, String)> {
    let is_archive = matches!(options.context, ContextSource::Archive(_));
    let (path, root) = match (&options.dockerfile, root) {
        (DockerfileSource::Text(text), _) => return Ok((None, text.clone())),
        (DockerfileSource::File(path), _) if path.exists() && !is_archive => {
            let message = || format!("cannot read Dockerfile {path:?}");
            let file = File::open(path).context(message)?;
            return Ok((Some(path.clone()), text_of(file, &message)?));
        }
        (DockerfileSource::File(path), Some(root)) => (path.clone(), root),
        (DockerfileSource::Usual, Some(root)) => (PathBuf::from("Dockerfile"), root),
        (DockerfileSource::File(path), None) => {
            return Err(Error::not_found(format!("cannot read Dockerfile {path:?}: it does not exist")));
        }
        (DockerfileSource::Usual, None) => return Err(Error::invalid("there is no Dockerfile")),
    };
    let message = || format!("cannot read Dockerfile {path:?}");
    let text = read_inside(root, &path, &message)?;
    let missing = || Error::not_found(format!("{}: it does not exist in the context", message()));
    text.map(|text| (Some(path.clone()), text)).ok_or_else(missing)
}

/// A file of the context, which may be anybody's: links do not lead out of it. `None` if it is not there.
fn read_inside(root: &Root, path: &Path, message: &dyn Fn() -> String) -> Result<Option<String>> {
    let file = match root.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        file => file.context(message)?,
    };
    if sys::root::file_type(&file).context(message)? != FileType::RegularFile {
        return Err(Error::invalid(format!("{}: it is no file", message())));
    }
    text_of(File::from(file), message).map(Some)
}

/// A context with a name: a directory, with its own ignore file.
pub(crate) fn named(directory: &Path) -> Result<Tree> {
    let root = open_directory(directory)?;
    let ignore = ignore(&root, None, false)?;
    Ok(Tree { root, ignore, keeps_owners: false })
}

fn open_directory(path: &Path) -> Result<Root> {
    let message = || format!("cannot use build context {path:?}");
    let directory = File::open(path).context(message)?;
    if !directory.metadata().context(message)?.is_dir() {
        return Err(Error::invalid(format!("{}: it is no directory", message())));
    }
    Ok(Root::new(directory.into()))
}

/// A text of at most [`LIMIT`] bytes.
pub(crate) fn text_of(reader: impl Read, message: &dyn Fn() -> String) -> Result<String> {
    let mut bytes = Vec::new();
    reader.take(LIMIT as u64 + 1).read_to_end(&mut bytes).context(message)?;
    if bytes.len() > LIMIT {
        return Err(Error::invalid(format!("{}: it has more than {LIMIT} bytes", message())));
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{}: it is no UTF-8 text", message())))
}

/// The rules of the ignore file: the Dockerfile's own before the context's.
fn ignore(root: &Root, dockerfile: Option<&Path>, is_archive: bool) -> Result<Ignore> {
    let [own, general] = ignore_names(&dockerfile.unwrap_or(Path::new("Dockerfile")).to_string_lossy());
    let message = || format!("cannot read ignore file {own:?}");
    let beside = match dockerfile {
        None => None,
        Some(_) if !is_archive && Path::new(&own).is_file() => {
            Some(text_of(File::open(&own).context(message)?, &message)?)
        }
        Some(path) if !path.is_absolute() => read_inside(root, Path::new(&own), &message)?,
        Some(_) => None,
    };
    let (name, text) = match beside {
        Some(text) => (own, Some(text)),
        None => {
            let text = read_inside(root, Path::new(&general), &|| format!("cannot read ignore file {general:?}"))?;
            (general, text)
        }
    };
    Ignore::parse(&text.unwrap_or_default()).map_err(|fault| Error::invalid(format!("{name}: {fault}")))
}
