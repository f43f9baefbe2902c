//! Build checks: what a Dockerfile may say and had better not. The names are those of Docker's build checks.

use std::collections::BTreeSet;

use crate::instruction::{Arguments, Instruction, Kind, Pair};
use crate::{Dockerfile, Span, Stage};

/// A finding of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The check, in Pascal case.
    pub check: &'static str,
    /// The lines it is about.
    pub span: Span,
    /// What is unwise, in words.
    pub message: String,
}

impl Dockerfile {
    /// The findings of the checks, in the file's order, without those the `check` directive skips.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        self.casing(&mut found);
        let mut names = BTreeSet::new();
        for stage in &self.stages {
            head(stage, &mut names, &mut found);
            once(stage, &mut found);
            relative_workdir(stage, &mut found);
        }
        self.all().for_each(|instruction| single(instruction, &mut found));
        found.retain(|warning| !self.directives.skips(warning.check));
        found.sort_by_key(|warning| warning.span.first);
        found
    }

    fn all(&self) -> impl Iterator<Item = &Instruction> {
        let stages = self.stages.iter().flat_map(|stage| std::iter::once(&stage.head).chain(&stage.instructions));
        self.globals.iter().chain(stages)
    }

    /// Keywords are all in upper or all in lower case, as most of the file has them.
    fn casing(&self, found: &mut Vec<Warning>) {
        let lower = self.all().filter(|instruction| keyword(instruction).chars().all(char::is_lowercase)).count();
        let upper = self.all().filter(|instruction| keyword(instruction).chars().all(char::is_uppercase)).count();
        for instruction in self.all() {
            let word = keyword(instruction);
            let wanted = if lower > upper { word.to_lowercase() } else { word.to_uppercase() };
            if word != wanted {
                let message = format!("Command '{word}' should be consistently cased");
                found.push(warning("ConsistentInstructionCasing", instruction, message));
            }
        }
    }
}

impl crate::Directives {
    fn skips(&self, check: &str) -> bool {
        let parts = self.check.iter().flat_map(|text| text.split(';'));
        let skipped = parts.filter_map(|part| part.trim().strip_prefix("skip="));
        skipped.flat_map(|names| names.split(',')).any(|name| name.trim() == check || name.trim() == "all")
    }

    /// Whether a finding fails the build: `check=error=true`.
    pub fn findings_are_errors(&self) -> bool {
        self.check.iter().flat_map(|text| text.split(';')).any(|part| part.trim() == "error=true")
    }
}

fn warning(check: &'static str, at: &Instruction, message: impl Into<String>) -> Warning {
    Warning { check, span: at.span, message: message.into() }
}

fn keyword(instruction: &Instruction) -> &str {
    instruction.text.split_whitespace().next().unwrap_or_default()
}

fn head(stage: &Stage, names: &mut BTreeSet<String>, found: &mut Vec<Warning>) {
    let at = &stage.head;
    let words: Vec<&str> = at.text.split_whitespace().collect();
    if let ([.., keyword, written], Some(name)) = (&words[..], &stage.from.name) {
        let upper = |word: &str| word.chars().all(char::is_uppercase);
        if upper(keyword) != upper(words[0]) {
            let message = format!("'{keyword}' and '{}' keywords' casing do not match", words[0]);
            found.push(warning("FromAsCasing", at, message));
        }
        if written != name {
            found.push(warning("StageNameCasing", at, format!("Stage name '{written}' should be lowercase")));
        }
        if matches!(name.as_str(), "scratch" | "context") {
            let message = format!("'{name}' is reserved and should not be used as a stage name");
            found.push(warning("ReservedStageName", at, message));
        }
        if !names.insert(name.clone()) {
            let message = format!("Duplicate stage name '{name}', stage names should be unique");
            found.push(warning("DuplicateStageName", at, message));
        }
    }
    platform(stage, found);
}

fn platform(stage: &Stage, found: &mut Vec<Warning>) {
    let Some(platform) = stage.from.platform.as_deref() else { return };
    if matches!(platform, "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
        let message =
            format!("Setting platform to predefined {platform} in FROM is redundant as this is the default behavior");
        found.push(warning("RedundantTargetPlatform", &stage.head, message));
    } else if !platform.contains('$') {
        let message = format!("FROM --platform flag should not use constant value \"{platform}\"");
        found.push(warning("FromPlatformFlagConstDisallowed", &stage.head, message));
    }
}

/// Only the last of some instructions counts; the earlier ones are reported.
fn once(stage: &Stage, found: &mut Vec<Warning>) {
    for name in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
        let same: Vec<_> = stage.instructions.iter().filter(|i| keyword(i).eq_ignore_ascii_case(name)).collect();
        for instruction in same.iter().rev().skip(1) {
            let message = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            found.push(warning("MultipleInstructionsDisallowed", instruction, message));
        }
    }
}

fn relative_workdir(stage: &Stage, found: &mut Vec<Warning>) {
    let mut absolute = false;
    for instruction in &stage.instructions {
        let Kind::Workdir(path) = &instruction.kind else { continue };
        // What a variable holds is not known here.
        absolute |= path.starts_with(['/', '$', '"', '\'']);
        if !absolute {
            let message = format!("Relative workdir '{path}' can have unexpected results if the base image changes");
            found.push(warning("WorkdirRelativePath", instruction, message));
        }
    }
}

fn single(at: &Instruction, found: &mut Vec<Warning>) {
    match &at.kind {
        Kind::Maintainer(_) => {
            let message = "MAINTAINER instruction is deprecated in favor of using label";
            found.push(warning("MaintainerDeprecated", at, message));
        }
        Kind::Cmd(Arguments::Shell(text)) | Kind::Entrypoint(Arguments::Shell(text)) if !text.is_empty() => {
            let name = keyword(at).to_uppercase();
            let message =
                format!("JSON arguments recommended for {name} to prevent unintended behavior related to OS signals");
            found.push(warning("JSONArgsRecommended", at, message));
        }
        Kind::Env(pairs) => {
            legacy(at, "ENV", pairs, found);
            pairs.iter().for_each(|pair| secret(at, "ENV", &pair.key, found));
        }
        Kind::Label(pairs) => legacy(at, "LABEL", pairs, found),
        Kind::Arg(args) => args.iter().for_each(|(name, _)| secret(at, "ARG", name, found)),
        Kind::Expose(ports) => ports.iter().for_each(|port| exposed(at, port, found)),
        _ => {}
    }
}

fn legacy(at: &Instruction, keyword: &str, pairs: &[Pair], found: &mut Vec<Warning>) {
    if pairs.iter().any(|pair| pair.legacy) {
        let message =
            format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format");
        found.push(warning("LegacyKeyValueFormat", at, message));
    }
}

fn secret(at: &Instruction, keyword: &str, name: &str, found: &mut Vec<Warning>) {
    let secrets =
        ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&secrets) && !has(&["public", "file", "version"]) {
        let message = format!("Do not use ARG or ENV instructions for sensitive data ({keyword} \"{name}\")");
        found.push(warning("SecretsUsedInArgOrEnv", at, message));
    }
}

fn exposed(at: &Instruction, port: &str, found: &mut Vec<Warning>) {
    if port.contains('$') {
        return;
    }
    if port.contains(':') {
        let message =
            format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'");
        found.push(warning("ExposeInvalidFormat", at, message));
    }
    if port.split_once('/').is_some_and(|(_, protocol)| protocol.chars().any(char::is_uppercase)) {
        let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
        found.push(warning("ExposeProtoCasing", at, message));
    }
}
