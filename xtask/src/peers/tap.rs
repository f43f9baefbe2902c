//! The Test Anything Protocol, as far as the suites speak it: `ok 1 - NAME`, `not ok 2 - NAME`, `# SKIP REASON`, and
//! lines between them that belong to the test before.

use super::report::{Outcome, Verdict};

/// Every test of a protocol, in order.
pub(super) fn parse(text: &str) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for line in text.lines() {
        let next = outcomes.len() + 1;
        if let Some(outcome) = test(line).or_else(|| test(after_remark(line, next)?)) {
            outcomes.push(outcome);
        } else if let Some(Outcome { verdict: Verdict::Fail(said), .. }) = outcomes.last_mut() {
            append(said, line);
        }
    }
    outcomes
}

/// How many tests the protocol says there are.
pub(super) fn plan(text: &str) -> Option<usize> {
    text.lines().find_map(|line| line.strip_prefix("1..")?.split(' ').next()?.parse().ok())
}

/// The test of this number on a line that begins with what a program has said without ending its own.
fn after_remark(line: &str, number: usize) -> Option<&str> {
    ["not ok", "ok"].iter().find_map(|word| line.find(&format!("{word} {number} ")).map(|at| &line[at..]))
}

fn test(line: &str) -> Option<Outcome> {
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    number.parse::<u32>().ok()?;
    let rest = rest.trim_start_matches(['-', ' ']);
    let lower = rest.to_ascii_lowercase();
    // A test "to do" is one that nobody can pass yet.
    let mark = ["# skip", "#skip", "# todo"].iter().find_map(|mark| Some((lower.find(mark)?, mark.len())));
    let (name, verdict) = match mark {
        Some((at, length)) => (&rest[..at], Verdict::Skip(rest[at + length..].trim().to_owned())),
        None if passed => (rest, Verdict::Pass),
        None => (rest, Verdict::Fail(String::new())),
    };
    Some(Outcome { test: name.trim().to_owned(), verdict })
}

/// What a failed test says is kept up to a length that a person reads.
fn append(said: &mut String, line: &str) {
    let line = line.trim().trim_start_matches(['#', ' ']);
    if said.len() < 300 && !line.is_empty() {
        said.push_str(if said.is_empty() { "" } else { " / " });
        said.extend(line.chars().take(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let text = "1..4\nok 1 - starts\nnot ok 2 - stops\n# no\n  such process\nstartok 3 # skip needs a swan\nok 4 dances #SKIP\n";
        let outcome = |test: &str, verdict| Outcome { test: test.into(), verdict };
        let wanted = [
            outcome("starts", Verdict::Pass),
            outcome("stops", Verdict::Fail("no / such process".into())),
            outcome("", Verdict::Skip("needs a swan".into())),
            outcome("dances", Verdict::Skip(String::new())),
        ];
        assert_eq!(parse(text), wanted);
        assert_eq!(plan(text), Some(4));
        assert!(parse("okay then\nok, go\nnot okay\nok x\n").is_empty());
    }
}
