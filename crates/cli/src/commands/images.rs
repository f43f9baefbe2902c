//! `tare images`.

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
    /// Only images of this repository, or this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let filter = crate::filter::images(engine, &args.filter)?;
    let mut images = engine::images::list(engine)?;
    images.retain(|image| filter.suits(image));
    images.sort_by_key(|image| std::cmp::Reverse(image.created()));
    let wanted = |name: Option<&Reference>| match (&args.name, name) {
        (None, None) => true,
        (Some(_), None) => false,
        (wanted, Some(name)) => {
            let is_named = |wanted: &String| *wanted == name.familiar() || *wanted == name.familiar_name();
            filter.suits_name(name) && wanted.as_ref().is_none_or(is_named)
        }
    };
    let (mut rows, mut fields) = (Vec::new(), Vec::new());
    for image in &images {
        let id = if args.no_trunc { image.id.to_string() } else { image.id.short() };
        for (name, digest) in names(image).into_iter().filter(|(name, _)| wanted(name.as_ref())) {
            let tag = name.as_ref().and_then(Reference::tag).unwrap_or("<none>").to_owned();
            let repository = name.as_ref().or(digest.as_ref()).map_or("<none>".into(), Reference::familiar_name);
            let digest = digest.as_ref().and_then(Reference::digest);
            let digest = digest.map_or("<none>".into(), |digest| digest.to_string());
            let (since, size) = (image.created().map_or("N/A".into(), times::ago), stdx::size::human(image.size));
            let at = image.created().map_or("N/A".into(), |time| time.to_string());
            let mut row = vec![repository.clone(), tag.clone()];
            row.extend(args.digests.then(|| digest.clone()));
            row.extend([id.clone(), since.clone(), size.clone()]);
            rows.push(row);
            fields.push(vec![repository, tag, digest, id.clone(), since, at, size]);
        }
    }
    if args.quiet {
        let mut ids: Vec<&String> = rows.iter().map(|row| &row[row.len() - 3]).collect();
        ids.dedup();
        ids.iter().for_each(|id| table::out(&format!("{id}\n")));
        return Ok(0);
    }
    if let Some(format) = args.format.as_deref().filter(|format| *format != "table") {
        crate::format::print(format, &COLUMNS, fields)?;
        return Ok(0);
    }
    let digest: &[&str] = if args.digests { &["DIGEST"] } else { &[] };
    let header = [&["REPOSITORY", "TAG"], digest, &["IMAGE ID", "CREATED", "SIZE"]].concat();
    table::print(&header, &rows);
    Ok(0)
}

const COLUMNS: [Column; 7] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
];

/// The names of an image, each with the digest it has in that repository; what has only a digest has no name.
fn names(image: &Image) -> Vec<(Option<Reference>, Option<Reference>)> {
    let digest_in = |name: &Reference| image.digests.iter().find(|digest| digest.same_repository(name)).cloned();
    let named = image.names.iter().map(|name| (Some(name.clone()), digest_in(name)));
    let is_bare = |digest: &&Reference| !image.names.iter().any(|name| name.same_repository(digest));
    let bare = image.digests.iter().filter(is_bare).map(|digest| (None, Some(digest.clone())));
    let all: Vec<_> = named.chain(bare).collect();
    if all.is_empty() { vec![(None, None)] } else { all }
}
