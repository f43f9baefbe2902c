//! A directory a case in `tests/golden`: a `Dockerfile`, and in `expected` its tree or the error with its excerpt.
//! `TARE_REWRITE_GOLDEN=1` writes what is found instead of comparing it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dockerfile::{Dockerfile, Instruction};

#[test]
fn every_case_reads_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let rewrite = std::env::var_os("TARE_REWRITE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in fs::read_dir(&root).unwrap() {
        let case = entry.unwrap().path();
        let found = read(&fs::read_to_string(case.join("Dockerfile")).unwrap());
        let expected = case.join("expected");
        if rewrite {
            fs::write(&expected, &found).unwrap();
        }
        cases += 1;
        if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(cases > 0 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_cut_anywhere_is_read_or_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for entry in fs::read_dir(&root).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path().join("Dockerfile")).unwrap();
        for (at, _) in source.char_indices() {
            read(&source[..at]);
            read(&source[at..]);
            read(&format!("{}\n{}", &source[..at], &source[at..]));
        }
    }
}

fn read(source: &str) -> String {
    let file = match Dockerfile::parse(source) {
        Ok(file) => file,
        Err(error) => return format!("{}{error}\n", error.excerpt("Dockerfile", source)),
    };
    let mut out = format!("{:?}\n", file.directives);
    file.globals.iter().for_each(|instruction| show(&mut out, "global", instruction));
    for stage in &file.stages {
        show(&mut out, "stage", &stage.head);
        stage.instructions.iter().for_each(|instruction| show(&mut out, "  ", instruction));
    }
    for warning in file.warnings() {
        writeln!(out, "warning {}: {}: {}", warning.span.first, warning.check, warning.message).unwrap();
    }
    out
}

fn show(out: &mut String, what: &str, instruction: &Instruction) {
    let span = instruction.span;
    writeln!(out, "{what} {}-{}:{} {:?}", span.first, span.last, span.column, instruction.kind).unwrap();
    writeln!(out, "     text {:?}", instruction.text).unwrap();
}
