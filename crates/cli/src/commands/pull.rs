//! `tare pull`, and pulling what `run` and `create` lack.

use std::ffi::OsString;

use engine::Engine;
use engine::containers::options::Options;
use engine::containers::{self, Record};
use engine::images::{self, host, pull};
use oci::{Platform, Reference};
use stdx::{Context, Error, Kind};

use crate::container_args::ContainerArgs;
use crate::error::Failure;
use crate::interrupt::{Interruptible, Undo};
use crate::table::out;
use crate::transfer::{Output, Transfer};

/// Download an image from a registry
#[derive(clap::Parser, Debug)]
#[command(name = "tare pull")]
pub(crate) struct Args {
    /// Download all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Platform the image is for (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// No progress, only the result
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

/// When an image is fetched before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Policy {
    Always,
    Missing,
    Never,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let reference = reference(&args.name)?;
    let platform = platform(args.platform.as_deref())?;
    let output = if args.quiet { Output::Nowhere } else { Output::Stdout };
    if !args.all_tags {
        if !args.quiet && reference.tag().is_none() && reference.digest().is_none() {
            out(&format!("Using default tag: {}\n", oci::reference::DEFAULT_TAG));
        }
        return one(engine, &reference, platform.as_ref(), output).map(|()| 0);
    }
    if reference.tag().is_some() || reference.digest().is_some() {
        return Err(Error::invalid("tag can't be used with --all-tags/-a").into());
    }
    let tags = pull::tags(engine, &reference);
    notes(engine);
    for tag in tags? {
        let tagged = Reference::parse(&format!("{}:{tag}", reference.repository()))
            .context(|| format!("registry has a tag {tag:?}, which is none"))?;
        one(engine, &tagged, platform.as_ref(), output)?;
    }
    Ok(0)
}

/// Creates a container, and pulls its image before that if the policy says so or once it turns out to be missing. All
/// that is said of it goes to standard error.
pub(super) fn create(engine: &Engine, options: Options, args: &ContainerArgs) -> Result<Record, Failure> {
    let image = options.image.clone();
    let fetch = || -> Result<(), Failure> {
        let output = if args.quiet { Output::Nowhere } else { Output::Stderr };
        one(engine, &reference(&image)?, platform(options.platform.as_deref())?.as_ref(), output)
    };
    if args.pull == Policy::Always && image != host::NAME {
        fetch()?;
    }
    match containers::create::create(engine, options.clone()) {
        Err(error) if args.pull == Policy::Missing && is_missing(engine, &image, &error)? => {
            if !args.quiet {
                eprintln!("Unable to find image '{}' locally", reference(&image)?.or_latest().familiar());
            }
            fetch()?;
            Ok(containers::create::create(engine, options.clone())?)
        }
        created => Ok(created?),
    }
}

/// Whether the reason of a failure is an image that may be somewhere else.
fn is_missing(engine: &Engine, image: &str, error: &Error) -> Result<bool, Error> {
    Ok(error.kind() == Kind::NotFound && Reference::parse(image).is_ok() && !images::exists(engine, image)?)
}

fn one(engine: &Engine, reference: &Reference, platform: Option<&Platform>, output: Output) -> Result<(), Failure> {
    let say = |text: String| match output {
        Output::Stdout => out(&text),
        Output::Stderr => eprint!("{text}"),
        Output::Nowhere => {}
    };
    let transfer = Transfer::new(output);
    let name = reference.clone().or_latest();
    let which = name.digest().map_or_else(|| name.tag().unwrap_or_default().to_owned(), |digest| digest.to_string());
    say(format!("{which}: Pulling from {}\n", name.path()));
    let _interruptible = Interruptible::begin(engine, &Undo::default())?;
    let pulled = pull::pull(engine, reference, platform, &|event| transfer.pulling(event));
    transfer.finish();
    notes(engine);
    let pulled = pulled?;
    say(format!("Digest: {}\n", pulled.digest));
    let familiar = pulled.reference.familiar();
    say(if pulled.is_new {
        format!("Status: Downloaded newer image for {familiar}\n")
    } else {
        format!("Status: Image is up to date for {familiar}\n")
    });
    if output != Output::Stderr {
        out(&format!("{}\n", pulled.reference));
    }
    Ok(())
}

/// Says what the registries' client noticed besides.
pub(super) fn notes(engine: &Engine) {
    if let Ok(client) = engine.registries() {
        client.take_notes().iter().for_each(|note| eprintln!("WARNING: {}", crate::error::printable(note)));
    }
}

/// An image's name as it was typed.
pub(super) fn reference(text: &str) -> Result<Reference, Error> {
    if text == host::NAME {
        return Err(Error::invalid("image \"host\" is built in: it is neither pulled nor pushed"));
    }
    Reference::parse(text).context(|| format!("invalid image name \"{text}\"")).map_err(|e| e.kinded(Kind::Invalid))
}

pub(super) fn platform(text: Option<&str>) -> Result<Option<Platform>, Error> {
    let parsed = text.map(|text| text.parse::<Platform>().context(|| format!("invalid platform \"{text}\"")));
    parsed.transpose().map_err(|error| error.kinded(Kind::Invalid))
}
