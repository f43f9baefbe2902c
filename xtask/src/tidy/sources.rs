//! What every source file keeps to.

use std::fs;
use std::path::{Path, PathBuf};

use stdx::{Context, Result};

use super::Findings;

/// Above this many lines a file probably has a second noun.
const LONG: usize = 800;

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    for path in rust_files(root)? {
        let text = fs::read_to_string(&path).context(|| format!("cannot read {path:?}"))?;
        check_file(path.strip_prefix(root).unwrap_or(&path), &text, findings);
    }
    Ok(())
}

fn check_file(path: &Path, text: &str, findings: &mut Findings) {
    let shown = path.display();
    let name = path.file_name().unwrap_or_default();
    if name == "mod.rs" {
        findings.problems.push(format!("{shown}: a module with children is named by its file, not \"mod.rs\""));
    }
    let opens = text.lines().next().is_some_and(|line| line.starts_with("//!"));
    if (name == "lib.rs" || name == "main.rs") && !opens {
        findings.problems.push(format!("{shown}: a crate opens with \"//!\" and what it is for"));
    }
    let in_sys = path.starts_with("crates/sys");
    if let (false, Some(line)) = (in_sys, text.lines().position(is_unsafe)) {
        findings.problems.push(format!("{shown}:{}: unsafe code belongs into crates/sys", line + 1));
    }
    let lines = text.lines().count();
    if lines > LONG && !is_test(path) {
        findings.notes.push(format!("{shown}: {lines} lines; what is the second noun?"));
    }
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default().trim_start();
    !code.contains('"') && ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|u| code.contains(u))
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.file_name().is_some_and(|name| name == "tests.rs")
}

fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs: Vec<PathBuf> = ["crates", "xtask", "tests", "bench"].iter().map(|dir| root.join(dir)).collect();
    while let Some(dir) = dirs.pop() {
        let entries = fs::read_dir(&dir).context(|| format!("cannot list {dir:?}"))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        let mut findings = Findings::default();
        check_file(Path::new(path), text, &mut findings);
        findings.problems.len()
    }

    #[test]
    fn rules_of_a_file() {
        assert_eq!(problems("crates/a/src/lib.rs", "//! What it is for.\n"), 0);
        assert_eq!(problems("crates/a/src/lib.rs", "mod x;\n"), 1);
        assert_eq!(problems("crates/a/src/x/mod.rs", ""), 1);
        let code = concat!("fn f() { ", "uns", "afe { g() } }\n");
        assert_eq!(problems("crates/a/src/x.rs", code), 1);
        assert_eq!(problems("crates/sys/src/x.rs", code), 0);
    }
}
