//! What came of the suites, and how it is shown.

use super::column::Column;

/// One test against one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) test: String,
    pub(super) verdict: Verdict,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// With what the test said last or best.
    Fail(String),
    /// With the reason.
    Skip(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "FAIL",
            Self::Skip(_) => "skip",
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::Pass => "",
            Self::Fail(reason) | Self::Skip(reason) => reason,
        }
    }
}

/// A suite against all programs.
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// In the order of the columns.
    pub(super) results: Vec<Vec<Outcome>>,
}

/// Every test that somebody does not pass, side by side; the counts; and what runc passes and tare does not.
pub(super) fn print(columns: &[Column], suites: &[Suite]) {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    // What nothing fails is what a suite is about: only the real programs are compared.
    let compared: Vec<usize> = (0..names.len()).filter(|&index| names[index] != "nothing").collect();
    for suite in suites {
        println!("\n## {}: not passed by all\n", suite.name);
        suite.tests().iter().for_each(|test| suite.print_differences(test, &names, &compared));
    }
    println!("\n| suite | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for suite in suites {
        let cells: Vec<String> = suite.results.iter().map(|outcomes| count(outcomes)).collect();
        println!("| {} | {} |", suite.name, cells.join(" | "));
    }
    let index = |wanted: &str| names.iter().position(|name| *name == wanted);
    if let (Some(tare), Some(runc)) = (index("tare"), index("runc")) {
        println!("\npassed by runc and not by tare:");
        suites.iter().for_each(|suite| suite.print_missing(tare, runc));
    }
}

fn count(outcomes: &[Outcome]) -> String {
    let of = |word: &str| outcomes.iter().filter(|outcome| outcome.verdict.word() == word).count();
    format!("{} pass, {} fail, {} skip", of("pass"), of("FAIL"), of("skip"))
}

impl Suite {
    /// The names of all tests, in the order in which they were run.
    fn tests(&self) -> Vec<&str> {
        let mut tests: Vec<&str> = Vec::new();
        for outcome in self.results.iter().flatten() {
            if !tests.contains(&outcome.test.as_str()) {
                tests.push(&outcome.test);
            }
        }
        tests
    }

    fn verdict(&self, column: usize, test: &str) -> Option<&Verdict> {
        self.results[column].iter().find(|outcome| outcome.test == test).map(|outcome| &outcome.verdict)
    }

    fn print_differences(&self, test: &str, names: &[&str], compared: &[usize]) {
        let verdicts: Vec<_> = compared.iter().map(|&column| (names[column], self.verdict(column, test))).collect();
        if verdicts.iter().all(|(_, verdict)| *verdict == Some(&Verdict::Pass)) {
            return;
        }
        println!("{test}");
        for (name, verdict) in verdicts {
            let (word, reason) = verdict.map_or(("not run", ""), |verdict| (verdict.word(), verdict.reason()));
            println!("    {name:8} {word:8} {reason}");
        }
    }

    fn print_missing(&self, tare: usize, runc: usize) {
        let passes = |column: usize, test: &str| self.verdict(column, test) == Some(&Verdict::Pass);
        let tests = self.tests();
        let missing: Vec<_> = tests.into_iter().filter(|test| passes(runc, test) && !passes(tare, test)).collect();
        println!("  {}: {}", self.name, if missing.is_empty() { "nothing".into() } else { missing.join("; ") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tell_skipped_from_passed() {
        let outcome = |verdict| Outcome { test: "t".into(), verdict };
        let outcomes = [outcome(Verdict::Pass), outcome(Verdict::Fail(String::new())), outcome(Verdict::Pass)];
        assert_eq!(count(&outcomes), "2 pass, 1 fail, 0 skip");
        assert_eq!(count(&[outcome(Verdict::Skip("no".into()))]), "0 pass, 0 fail, 1 skip");
    }
}
