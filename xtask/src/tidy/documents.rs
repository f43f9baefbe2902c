//! Documents that must keep step with each other and with the code.

use std::fs;
use std::path::Path;

use stdx::{Context, Result};

use super::Findings;

pub(super) fn check(root: &Path, crates: &[String], findings: &mut Findings) -> Result<()> {
    let read = |name: &str| fs::read_to_string(root.join(name)).context(|| format!("cannot read {name:?}"));
    let (english, chinese) = (headings(&read("README.md")?), headings(&read("README.zh-CN.md")?));
    if english != chinese {
        let problem = format!("README.md has headings of levels {english:?}, README.zh-CN.md of levels {chinese:?}");
        findings.problems.push(problem);
    }
    let architecture = read("ARCHITECTURE.md")?;
    for name in crates.iter().filter(|name| !architecture.contains(&format!("`{name}`"))) {
        findings.problems.push(format!("ARCHITECTURE.md does not name crate `{name}`"));
    }
    Ok(())
}

/// The level of each heading, in order; lines of code blocks are not headings.
fn headings(text: &str) -> Vec<usize> {
    let mut in_code = false;
    let mut levels = Vec::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        let level = line.len() - line.trim_start_matches('#').len();
        if !in_code && level > 0 && line[level..].starts_with(' ') {
            levels.push(level);
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::headings;

    #[test]
    fn comments_in_code_are_not_headings() {
        assert_eq!(headings("# a\n## b\n```sh\n# no\n```\n## c\n"), [1, 2, 2]);
    }
}
