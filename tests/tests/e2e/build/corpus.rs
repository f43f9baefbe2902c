//! Many small Dockerfiles, each with what comes of it. `corpus.txt` holds them:
//!
//! ```text
//! === NAME
//! args: OPTIONS of the build
//! --- Dockerfile | --- PATH | --- PATH MODE
//! content
//! --- expect
//! config FIELD = JSON      config FIELD has JSON     a field of the configuration; what it holds, or one of it
//! file PATH = TEXT         whole content, without the newline at its end
//! mode PATH = MODE UID:GID
//! link PATH = TARGET
//! present PATH             absent PATH
//! layers NUMBER            the base's included
//! history TEXT             one entry has this
//! author TEXT
//! warns CHECK              the progress says so
//! error TEXT               the build fails with this in its last sentence
//! ```

use std::sync::Mutex;

use e2e::Tare;
use serde_json::Value;

use super::{Image, Project};

const CORPUS: &str = include_str!("corpus.txt");

struct Case<'a> {
    name: &'a str,
    args: Vec<&'a str>,
    files: Vec<(&'a str, String)>,
    expected: Vec<&'a str>,
}

fn cases() -> Vec<Case<'static>> {
    CORPUS.split("=== ").skip(1).map(case).collect()
}

fn case(text: &'static str) -> Case<'static> {
    let (head, rest) = text.split_once("--- ").unwrap();
    let name = head.lines().next().unwrap();
    let args = head.lines().find_map(|line| line.strip_prefix("args: ")).unwrap_or_default();
    let mut case = Case { name, args: args.split_whitespace().collect(), files: Vec::new(), expected: Vec::new() };
    for section in rest.split("\n--- ") {
        let (title, content) = section.split_once('\n').unwrap_or((section, ""));
        if title == "expect" {
            case.expected = content.lines().filter(|line| !line.trim().is_empty()).collect();
        } else {
            let newline = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
            case.files.push((title, format!("{content}{newline}")));
        }
    }
    assert!(!case.expected.is_empty(), "{name} expects nothing");
    case
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn every_dockerfile_of_the_corpus_comes_to_what_it_says() {
    let tare = Tare::new();
    let all = cases();
    assert!(all.len() >= 150, "{} cases", all.len());
    let queue = Mutex::new(all.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().unwrap().next() } {
                    let faults = check(&tare, case);
                    failed.lock().unwrap().extend(faults.into_iter().map(|fault| format!("{}: {fault}", case.name)));
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), all.len(), failed.join("\n"));
    tare.tare(["system", "check"]).prints("everything is well");
}

fn check(tare: &Tare, case: &Case<'_>) -> Vec<String> {
    let project = Project::new(tare, "");
    for (title, content) in &case.files {
        let (path, mode) = title.split_once(' ').unwrap_or((title, "644"));
        project.write(path, content);
        project.chmod(path, u32::from_str_radix(mode, 8).unwrap());
    }
    let tag = format!("case:{}", case.name);
    let outcome = project.build(&[&["-t", tag.as_str()], &case.args[..]].concat());
    let stderr = outcome.stderr();
    let last = stderr.lines().rev().find(|line| line.starts_with("tare: ")).unwrap_or_default();
    if let Some(error) = case.expected.iter().find_map(|line| line.strip_prefix("error ")) {
        let is_refused = outcome.code() == 1 && last.contains(error) && !stderr.contains("panicked");
        return if is_refused { Vec::new() } else { vec![format!("expected the error {error:?}, got {outcome}")] };
    }
    if outcome.code() != 0 {
        return vec![format!("{outcome}")];
    }
    let image = Image::new(tare, &tag);
    let history = || tare.tare(["history", "--no-trunc", &tag]).ok();
    case.expected.iter().filter_map(|line| fault(line, &image, &stderr, &history)).collect()
}

/// What is not as this line says.
fn fault(line: &str, image: &Image, stderr: &str, history: &dyn Fn() -> String) -> Option<String> {
    let (word, rest) = line.split_once(' ').unwrap();
    let (subject, value) = rest.split_once(" = ").unwrap_or((rest, ""));
    let compare = |found: String| (found != value).then(|| format!("{line:?}, but it is {found:?}"));
    let is = |holds: bool| (!holds).then(|| format!("{line:?} is not so"));
    let missing = || Some(format!("{line:?}, but it is not there"));
    match word {
        "config" => match rest.split_once(" has ") {
            Some((field, item)) => {
                let (found, item) = (image.config(field), json(item));
                let has = match found {
                    Value::Array(list) => list.contains(&item),
                    Value::Object(map) => item.as_str().is_some_and(|key| map.contains_key(key)),
                    _ => false,
                };
                (!has).then(|| format!("{line:?}, but it is {found}"))
            }
            None => {
                let found = image.config(subject);
                (*found != json(value)).then(|| format!("{line:?}, but it is {found}"))
            }
        },
        "file" if !image.has(subject) => missing(),
        "file" => compare(image.text(subject).trim_end_matches('\n').replace('\n', "\\n")),
        "mode" if !image.has(subject) => missing(),
        "mode" => compare(image.mode(subject)),
        "link" if !image.has(subject) => missing(),
        "link" => compare(image.link(subject)),
        "present" => is(image.has(rest)),
        "absent" => is(!image.has(rest)),
        "layers" => (image.layers().to_string() != rest).then(|| format!("{line:?}, but it is {}", image.layers())),
        "history" => is(history().contains(rest)),
        "author" => is(image.json["Author"] == rest),
        "warns" => is(stderr.contains(&format!("WARNING: {rest}"))),
        _ => Some(format!("{line:?} means nothing")),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
