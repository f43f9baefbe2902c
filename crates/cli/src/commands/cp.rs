//! `tare cp`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use engine::Engine;
use engine::containers::copy::{self, Tree};
use engine::containers::find;
use rustix::stdio::stdout;
use rustix::termios::isatty;
use stdx::size::human;
use stdx::{Context, Error, Result};

use crate::error::{Failure, printable};
use crate::output_file::write_to;

/// Copy files into a container or out of it, running or not
///
/// "-" as the source reads a tar archive from standard input, "-" as the destination writes one to standard output. A
/// directory is copied with its name into a directory that exists; with "/." at its end, only what is in it.
#[derive(clap::Parser, Debug)]
#[command(
    name = "tare cp",
    override_usage = "tare cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n       tare cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH"
)]
pub(crate) struct Args {
    /// Keep owners on the way out too (into a container they are always kept)
    #[arg(short, long)]
    archive: bool,
    /// Follow a link that the source path names
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say what was copied; nothing is said without a terminal
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "SOURCE")]
    source: OsString,
    #[arg(value_name = "DESTINATION")]
    destination: OsString,
}

/// One side of a copy.
enum Side<'a> {
    /// An archive on a standard stream.
    Stream,
    Host(&'a OsStr),
    Container(&'a str, &'a OsStr),
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    match (Side::of(&args.source)?, Side::of(&args.destination)?) {
        (Side::Container(name, path), Side::Host(to)) => {
            let tree = Tree::of(engine, &find::find(engine, name)?)?;
            let source = tree.source(Path::new(path), args.follow_link)?;
            let host = Tree::host()?;
            let size = copy::copy(&source, &host.destination(&absolute(to)?)?, args.archive)?;
            say(&args, size, &to.to_string_lossy());
        }
        (Side::Container(name, path), Side::Stream) => {
            let tree = Tree::of(engine, &find::find(engine, name)?)?;
            let source = tree.source(Path::new(path), args.follow_link)?;
            write_to(engine, None, |writer| source.write_to(writer).map(drop))?;
        }
        (from @ (Side::Host(_) | Side::Stream), Side::Container(name, path)) => {
            let tree = Tree::of(engine, &find::find(engine, name)?)?;
            let destination = tree.destination(Path::new(path))?;
            if let Side::Host(from) = from {
                let source = Tree::host()?.source(&absolute(from)?, args.follow_link)?;
                let size = copy::copy(&source, &destination, args.archive)?;
                say(&args, size, &args.destination.to_string_lossy());
            } else {
                destination.read_from(std::io::stdin().lock())?;
            }
        }
        (Side::Container(..), Side::Container(..)) => {
            let hint = "pipe one into the other: tare cp A:PATH - | tare cp - B:DIR";
            return Err(Error::unsupported("copying between containers is not supported").hint(hint).into());
        }
        _ => {
            let error = Error::invalid("one side of a copy must be a container").hint("name it as CONTAINER:PATH");
            return Err(Failure::new(1, error));
        }
    }
    Ok(0)
}

impl<'a> Side<'a> {
    /// What stands before a colon is a container, unless it looks like a path.
    fn of(text: &'a OsStr) -> Result<Self> {
        let bytes = text.as_bytes();
        if bytes == b"-" {
            return Ok(Side::Stream);
        }
        let colon =
            bytes.iter().position(|b| *b == b':').filter(|_| !bytes.starts_with(b"/") && !bytes.starts_with(b"."));
        let Some(colon) = colon.filter(|colon| *colon > 0) else { return Ok(Side::Host(text)) };
        let (name, path) = (&bytes[..colon], OsStr::from_bytes(&bytes[colon + 1..]));
        let name =
            std::str::from_utf8(name).ok().ok_or_else(|| Error::not_found(format!("no such container: {text:?}")))?;
        if path.is_empty() {
            return Err(Error::invalid(format!("no path is given in container {name}")).hint("its root is \"/\""));
        }
        Ok(Side::Container(name, path))
    }
}

/// A path from the host's root on, its end as it was: a slash or a dot there has a meaning.
fn absolute(path: &OsStr) -> Result<PathBuf> {
    let mut whole = std::env::current_dir().context(|| "cannot tell the current directory".into())?.into_os_string();
    whole.push("/");
    whole.push(path);
    Ok(if path.as_bytes().starts_with(b"/") { path.into() } else { whole.into() })
}

fn say(args: &Args, size: u64, to: &str) {
    if !args.quiet && isatty(stdout()) {
        eprintln!("Successfully copied {} to {}", human(size), printable(to));
    }
}
