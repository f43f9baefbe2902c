//! `tare search`.

use std::ffi::OsString;

use engine::Engine;
use registry::Found;
use stdx::Error;

use super::pull::notes;
use crate::error::{Failure, printable};
use crate::format::Column;

/// Search Docker Hub for images
#[derive(clap::Parser, Debug)]
#[command(name = "tare search")]
pub(crate) struct Args {
    /// Only some: is-official=BOOL, is-automated=BOOL, stars=NUMBER at least
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Show what this Go template says, "table TEMPLATE", or json
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The most results that are shown
    #[arg(long, value_name = "NUMBER", default_value = "25")]
    limit: u32,
    /// Do not cut descriptions short
    #[arg(long)]
    no_trunc: bool,
    /// What to look for; only Docker Hub can be searched
    #[arg(value_name = "TERM")]
    term: String,
}

/// Docker's width of descriptions.
const DESCRIPTION: usize = 45;

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let filter = Filter::parse(&args.filter)?;
    let client = engine.registries()?;
    let found = client.search(&args.term, args.limit);
    notes(engine);
    let rows: Vec<Vec<String>> = found?
        .into_iter()
        .filter(|image| filter.suits(image))
        .map(|image| {
            let description = printable(&image.description).replace('\n', " ");
            let short = description.chars().count() > DESCRIPTION && !args.no_trunc;
            let shown =
                if short { description.chars().take(DESCRIPTION - 1).chain(['…']).collect() } else { description };
            let tick = |is: bool| if is { "[OK]" } else { "" }.to_owned();
            vec![image.name, shown, image.star_count.to_string(), tick(image.is_official), tick(image.is_automated)]
        })
        .collect();
    let usual = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
    let format = args.format.as_deref().filter(|format| *format != "table").unwrap_or(usual);
    crate::format::print(format, &COLUMNS, rows)?;
    Ok(0)
}

const COLUMNS: [Column; 5] = [
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];

/// Which results are meant.
#[derive(Debug, Default, PartialEq)]
struct Filter {
    official: Option<bool>,
    automated: Option<bool>,
    stars: u64,
}

impl Filter {
    fn parse(words: &[String]) -> Result<Self, Error> {
        let mut filter = Self::default();
        for word in words {
            let invalid = || {
                let error = Error::invalid(format!("invalid filter \"{word}\""));
                error.hint("is-official=BOOL, is-automated=BOOL or stars=NUMBER")
            };
            let bool = |text: &str| match text {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                _ => Err(invalid()),
            };
            match word.split_once('=') {
                Some(("is-official", value)) => filter.official = bool(value)?,
                Some(("is-automated", value)) => filter.automated = bool(value)?,
                Some(("stars", value)) => filter.stars = value.parse().map_err(|_| invalid())?,
                _ => return Err(invalid()),
            }
        }
        Ok(filter)
    }

    fn suits(&self, image: &Found) -> bool {
        self.official.is_none_or(|official| official == image.is_official)
            && self.automated.is_none_or(|automated| automated == image.is_automated)
            && image.star_count >= self.stars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suits(words: &[&str], image: &Found) -> bool {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Filter::parse(&words).unwrap().suits(image)
    }

    #[test]
    fn results_are_filtered() {
        let image = Found {
            name: "busybox".into(),
            description: String::new(),
            star_count: 316,
            is_official: true,
            is_automated: false,
        };
        assert!(suits(&[], &image) && suits(&["stars=316", "is-official=1"], &image));
        assert!(!suits(&["stars=317"], &image) && !suits(&["is-official=false"], &image));
        assert!(!suits(&["is-automated=true"], &image));
    }
}
