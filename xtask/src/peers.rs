//! `cargo xtask peers [PART…] [--only=TEXT] [--columns=tare,runc,nothing]`: the test suites of other runtimes, run against
//! tare, beside what runc itself scores on the same machine, and beside a program that does nothing: what *that* passes
//! is not worth counting.
//!
//! `images` is a part of its own: images between tare and other engines, there and back (`images.rs`).
//!
//! Not part of CI: it needs an hour, and packages of Debian. A part is one file in `peers/`; it knows how to run one
//! suite against one program. Everything a suite starts lives in namespaces that end with it (`confine.rs`).

mod bats;
mod column;
mod confine;
mod crun;
mod engines;
mod groups;
mod images;
mod report;
mod runtime_tools;
mod sources;
mod tap;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stdx::{Context, Error, Result};

use crate::{build, debian};
use column::Column;
use report::{Outcome, Suite};

/// A suite and how to run it.
struct Part {
    name: &'static str,
    /// Debian packages that it needs, beside those of the columns.
    packages: &'static [&'static str],
    /// The whole suite against one program.
    run: fn(&Lane, &Column) -> Result<Vec<Outcome>>,
}

const PARTS: [Part; 4] = [runtime_tools::PART, crun::PART, bats::PART, engines::PART];

pub(crate) use sources::{NEXT, unpack};

/// What a part needs to know.
struct Lane {
    /// `target/peers`: sources, builds, scratch.
    dir: PathBuf,
    /// Only tests whose names contain this.
    only: Option<String>,
}

impl Lane {
    /// Whether a test is to be run.
    fn wants(&self, test: &str) -> bool {
        self.only.as_ref().is_none_or(|only| test.contains(only.as_str()))
    }

    /// An empty directory of this name in the lane's own.
    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).context(|| format!("cannot remove {dir:?}"))?;
        }
        fs::create_dir_all(&dir).context(|| format!("cannot make {dir:?}"))?;
        Ok(dir)
    }
}

/// When a suite must be over.
struct Deadline(Instant);

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// How long one more test may take: `limit`, or what is left of the suite's time.
    fn grants(&self, limit: Duration) -> Duration {
        limit.min(self.0.saturating_duration_since(Instant::now()))
    }
}

/// Runs the parts named in `arguments`, or all, and prints the tables. Not passing is no error: the table is the result.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let value = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name));
    let columns = column::chosen(value("--columns="))?;
    let (images, arguments): (Vec<String>, Vec<String>) = arguments.iter().cloned().partition(|word| word == "images");
    let only_images = !images.is_empty() && arguments.iter().all(|argument| argument.starts_with("--"));
    let parts = if only_images { Vec::new() } else { chosen(&arguments)? };
    let dir = build::target_dir().join("peers");
    fs::create_dir_all(&dir).context(|| format!("cannot make {dir:?}"))?;
    let lane = Lane { dir, only: value("--only=").map(str::to_owned) };
    debian::install(&["runc", "util-linux", "coreutils"])?;
    let columns = if parts.is_empty() { Vec::new() } else { columns };
    let columns = columns.iter().map(|&name| Column::make(name, &lane.dir)).collect::<Result<Vec<_>>>()?;
    let mut suites = Vec::new();
    for part in parts {
        debian::install(part.packages)?;
        let results = columns.iter().map(|column| run_one(&lane, part, column)).collect::<Result<Vec<_>>>()?;
        suites.push(Suite { name: part.name, results });
    }
    if !suites.is_empty() {
        report::print(&columns, &suites);
    }
    if images.is_empty() && !arguments.is_empty() { Ok(()) } else { images::run(&lane) }
}

fn chosen(arguments: &[String]) -> Result<Vec<&'static Part>> {
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let known = || PARTS.iter().map(|part| part.name).chain(["images"]).collect::<Vec<_>>().join(", ");
    if let Some(name) = names.iter().find(|name| !PARTS.iter().any(|part| part.name == **name)) {
        return Err(Error::invalid(format!("there is no part {name:?}")).hint(known()));
    }
    let wanted = |part: &&Part| names.is_empty() || names.iter().any(|name| *name == part.name);
    Ok(PARTS.iter().filter(wanted).collect())
}

/// One suite against one program; what it leaves in the control groups is removed.
fn run_one(lane: &Lane, part: &Part, column: &Column) -> Result<Vec<Outcome>> {
    eprintln!("== {} against {}", part.name, column.name);
    let before = groups::all();
    let started = Instant::now();
    let outcomes = (part.run)(lane, column);
    groups::remove_new(&before);
    eprintln!("   {} s", started.elapsed().as_secs());
    outcomes
}
