//! `tare images`.

mod tree;

use std::ffi::OsString;

use engine::Engine;
use oci::Reference;
use store::Image;

use crate::error::Failure;
use crate::format::Column;
use crate::{table, times};

/// List images
#[derive(clap::Parser, Debug)]
#[command(name = "tare images")]
pub(crate) struct Args {
    /// Show all images: there are none that are hidden
    #[arg(short, long)]
    all: bool,
    /// Show the digests that images were pulled or pushed by
    #[arg(long)]
    digests: bool,
    /// Only some: dangling=true, label=KEY[=VALUE], before=IMAGE, since=IMAGE, until=TIME, reference=PATTERN
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Do not cut ids short
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Show each image with the platform it is for and what it takes
    #[arg(long, conflicts_with_all = ["quiet", "format", "no_trunc", "digests"])]
    tree: bool,
    /// Only images of this repository, or this name; may be a pattern
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let mut filter = crate::filter::images(engine, &args.filter)?;
    // One name is a pattern among others, as for Docker.
    filter.references.extend(args.name.clone());
    let mut images = engine::images::list(engine)?;
    images.retain(|image| filter.suits(image));
    images.sort_by_key(|image| std::cmp::Reverse(image.created()));
    let is_wanted =
        |name: Option<&Reference>| name.map_or(filter.references.is_empty(), |name| filter.suits_name(name));
    if args.tree {
        return tree::print(engine, &images, &is_wanted);
    }
    let id = |image: &Image| if args.no_trunc { image.id.to_string() } else { image.id.short() };
    if args.quiet {
        images.iter().for_each(|image| table::out(&format!("{}\n", id(image))));
        return Ok(0);
    }
    let rows = |image: &Image| {
        let names = names(image).into_iter().filter(|(name, _)| is_wanted(name.as_ref()));
        names.map(|(name, digest)| fields(image, &id(image), name.as_ref(), digest.as_ref())).collect::<Vec<_>>()
    };
    let usual = usual_format(args.digests, images.iter().any(|image| image.artifact.is_some()));
    let format = args.format.as_deref().filter(|format| *format != "table").unwrap_or(&usual);
    crate::format::print(format, &COLUMNS, images.iter().flat_map(rows).collect())?;
    Ok(0)
}

const COLUMNS: [Column; 11] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Type", "TYPE"),
    // Docker has these columns too, and fills them in for "system df" alone.
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

/// Artifacts have a column for their types, where there are any.
fn usual_format(digests: bool, artifacts: bool) -> String {
    let mut columns = vec!["Repository", "Tag"];
    columns.extend(digests.then_some("Digest"));
    columns.extend(["ID", "CreatedSince", "Size"]);
    columns.extend(artifacts.then_some("Type"));
    let columns: Vec<String> = columns.iter().map(|column| format!("{{{{.{column}}}}}")).collect();
    format!("table {}", columns.join("\t"))
}

fn fields(image: &Image, id: &str, name: Option<&Reference>, digest: Option<&Reference>) -> Vec<String> {
    let none = || "<none>".to_owned();
    let unknown = || "N/A".to_owned();
    let created = image.created();
    vec![
        name.or(digest).map_or_else(none, Reference::familiar_name),
        name.and_then(Reference::tag).map_or_else(none, str::to_owned),
        digest.and_then(Reference::digest).map_or_else(none, |digest| digest.to_string()),
        id.to_owned(),
        created.map_or_else(unknown, times::ago),
        created.map_or_else(unknown, times::as_go),
        stdx::size::human(image.size),
        image.artifact.clone().unwrap_or_else(|| "image".to_owned()),
        unknown(),
        unknown(),
        unknown(),
    ]
}

/// The names of an image, each with the digest it has in that repository; what has only a digest has no name.
fn names(image: &Image) -> Vec<(Option<Reference>, Option<Reference>)> {
    let digest_in = |name: &Reference| image.digests.iter().find(|digest| digest.same_repository(name)).cloned();
    let named = image.names.iter().map(|name| (Some(name.clone()), digest_in(name)));
    let is_bare = |digest: &&Reference| !image.names.iter().any(|name| name.same_repository(digest));
    let bare = image.digests.iter().filter(is_bare).map(|digest| (None, Some(digest.clone())));
    let all: Vec<_> = named.chain(bare).collect();
    if all.is_empty() { vec![(None, None)] } else { all }
}
