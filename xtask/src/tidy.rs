//! `cargo xtask tidy`: the house rules that a compiler does not check. Also runs as a test.
//!
//! A *problem* fails the lane; a *note* is something to look at.

mod dependencies;
mod documents;
mod licence;
mod sources;

use serde_json::Value;
use stdx::{Error, Kind, Result};

use crate::build;

/// What a check found.
#[derive(Debug, Default)]
struct Findings {
    problems: Vec<String>,
    notes: Vec<String>,
}

/// Prints what the checks find; an error if there is a problem.
pub(crate) fn run() -> Result<()> {
    let findings = check()?;
    for note in &findings.notes {
        println!("note: {note}");
    }
    for problem in &findings.problems {
        println!("problem: {problem}");
    }
    if findings.problems.is_empty() {
        println!("tidy: no problems, {} notes", findings.notes.len());
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, format!("{} problems", findings.problems.len())))
}

fn check() -> Result<Findings> {
    let metadata = build::metadata()?;
    let mut findings = Findings::default();
    dependencies::check(&metadata, &mut findings);
    sources::check(build::root(), &mut findings)?;
    documents::check(build::root(), &crate_names(&metadata), &mut findings)?;
    Ok(findings)
}

/// The packages of this workspace.
fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    packages(metadata).filter(|package| package["source"].is_null())
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn crate_names(metadata: &Value) -> Vec<String> {
    let in_crates = members(metadata).filter(|p| p["manifest_path"].as_str().is_some_and(|m| m.contains("/crates/")));
    in_crates.filter_map(|package| package["name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = check().unwrap();
        assert!(findings.problems.is_empty(), "{:#?}", findings.problems);
    }
}
