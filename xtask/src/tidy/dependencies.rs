//! Who may import whom, under which licences.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Findings, licence, members, packages};

/// The ranks: a crate imports only from a lower one.
const RANKS: &[(&str, u8)] = &[
    ("stdx", 0),
    ("sys", 0),
    ("oci", 0),
    ("dockerfile", 0),
    ("template", 0),
    ("layer", 1),
    ("registry", 1),
    ("runtime", 1),
    ("network", 1),
    ("store", 2),
    ("monitor", 2),
    ("engine", 3),
    ("builder", 4),
    ("api", 5),
    ("cli", 6),
];

/// Packages that may import any crate and that no crate imports.
const TOOLS: &[&str] = &["bench", "e2e", "xtask"];

fn rank(name: &str) -> Option<u8> {
    RANKS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, rank)| *rank)
}

pub(super) fn check(metadata: &Value, findings: &mut Findings) {
    for package in members(metadata) {
        check_ranks(package, findings);
    }
    check_licences(metadata, findings);
    report_duplicates(metadata, findings);
}

fn check_ranks(package: &Value, findings: &mut Findings) {
    let name = package["name"].as_str().unwrap_or_default();
    if TOOLS.contains(&name) {
        return;
    }
    let Some(own) = rank(name) else {
        findings.problems.push(format!("crate \"{name}\" has no rank in {}", file!()));
        return;
    };
    // Only what lies in this workspace has a path.
    let imports = package["dependencies"].as_array().into_iter().flatten().filter(|import| import["path"].is_string());
    for import in imports.filter_map(|import| import["name"].as_str()) {
        if rank(import).is_none_or(|rank| rank >= own) {
            findings.problems.push(format!("crate \"{name}\" may not import \"{import}\": its rank is not lower"));
        }
    }
}

fn check_licences(metadata: &Value, findings: &mut Findings) {
    for package in packages(metadata) {
        let expression = package["license"].as_str().unwrap_or_default();
        if !licence::is_permissive(expression) {
            let problem = format!("package {} has licence {expression:?}, which is not permissive", package["name"]);
            findings.problems.push(problem);
        }
    }
}

fn report_duplicates(metadata: &Value, findings: &mut Findings) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages(metadata) {
        let (name, version) = (package["name"].as_str(), package["version"].as_str());
        versions.entry(name.unwrap_or_default()).or_default().push(version.unwrap_or_default());
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        findings.notes.push(format!("package \"{name}\" is linked in several versions: {}", versions.join(", ")));
    }
}
