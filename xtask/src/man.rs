//! `cargo xtask man`: a manual page a command, into `target/man`, made from what the binary says of itself: the same
//! source as `--help`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stdx::{Context, Result};

use crate::build::{self, Profile};
use crate::command;

pub(crate) fn run() -> Result<()> {
    let tare = build::tare(Profile::Dev)?;
    let dir = build::target_dir().join("man");
    fs::create_dir_all(&dir).context(|| format!("cannot make {dir:?}"))?;
    let commands = described(&tare, &[])?;
    let mut pages = vec![("tare".to_owned(), overview(&commands))];
    for entry in commands.as_array().into_iter().flatten() {
        let (name, about) = (text(&entry[0]), text(&entry[2]));
        let words: Vec<&str> = name.split(' ').collect();
        pages.push((format!("tare-{}", words.join("-")), page(&name, &about, &described(&tare, &words)?)));
    }
    for (name, page) in &pages {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page).context(|| format!("cannot write {path:?}"))?;
    }
    println!("{} manual pages are in {}", pages.len(), dir.display());
    Ok(())
}

fn described(tare: &Path, words: &[&str]) -> Result<Value> {
    let said = command::output(Command::new(tare).arg("__describe").args(words))?;
    serde_json::from_str(&said).context(|| format!("cannot read what {words:?} says of itself"))
}

fn overview(commands: &Value) -> String {
    let mut page = header("tare");
    page.push_str(".SH NAME\ntare \\- a container engine that weighs almost nothing\n");
    page.push_str(".SH SYNOPSIS\n.B tare\n[\\-\\-root DIR] [\\-\\-run\\-root DIR] [\\-\\-cgroup\\-driver cgroupfs|systemd] COMMAND\n.SH COMMANDS\n");
    for entry in commands.as_array().into_iter().flatten() {
        page.push_str(&format!(
            ".TP\n.BR tare\\-{} (1)\n{}\n",
            escaped(&text(&entry[0])).replace(' ', "\\-"),
            escaped(&text(&entry[2]))
        ));
    }
    page
}

fn page(name: &str, about: &str, description: &Value) -> String {
    let mut page = header(&format!("tare-{}", name.replace(' ', "-")));
    page.push_str(&format!(".SH NAME\ntare\\-{} \\- {}\n", escaped(name).replace(' ', "\\-"), escaped(about)));
    page.push_str(".SH SYNOPSIS\n");
    for line in text(&description["usage"]).lines() {
        page.push_str(&format!(".B {}\n.br\n", escaped(line.trim())));
    }
    let long = text(&description["long_about"]);
    if !long.is_empty() {
        page.push_str(&format!(".SH DESCRIPTION\n{}\n", escaped(&long).replace("\n\n", "\n.PP\n")));
    }
    page.push_str(".SH OPTIONS\n");
    for option in description["options"].as_array().into_iter().flatten() {
        let names: Vec<String> =
            option["names"].as_array().into_iter().flatten().map(|name| escaped(&text(name))).collect();
        let value = option["value"].as_str().map(|value| format!(" \\fI{}\\fR", escaped(value))).unwrap_or_default();
        page.push_str(&format!(
            ".TP\n\\fB{}\\fR{value}\n{}\n",
            names.join("\\fR, \\fB"),
            escaped(&text(&option["help"]))
        ));
    }
    page.push_str(".SH SEE ALSO\n.BR tare (1)\n");
    page
}

fn header(name: &str) -> String {
    format!(".TH {} 1 \"\" \"tare {}\" \"tare\"\n", escaped(&name.to_uppercase()), env!("CARGO_PKG_VERSION"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// As roff writes it: hyphens are hyphens, and nothing begins a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let line = |line: &str| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_in_a_text_is_a_request() {
        assert_eq!(super::escaped("a-b\\c\n.SH x\n'y"), "a\\-b\\ec\n\\&.SH x\n\\&'y");
    }
}
