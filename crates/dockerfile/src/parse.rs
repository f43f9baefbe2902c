//! From a logical line to an instruction.

use crate::error::suggestion;
use crate::instruction::{Arguments, Check, Copy, From, Heredoc, Instruction, Kind, Pair, Run};
use crate::lines::Line;
use crate::options::Options;
use crate::{Mount, ParseError, words};

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];
const COPY_FLAGS: [&str; 6] = ["from", "chown", "chmod", "link", "parents", "exclude"];
const ADD_FLAGS: [&str; 7] = ["keep-git-dir", "checksum", "chown", "chmod", "link", "exclude", "unpack"];
const RUN_FLAGS: [&str; 3] = ["mount", "network", "security"];
const CHECK_FLAGS: [&str; 5] = ["interval", "timeout", "start-period", "start-interval", "retries"];

/// Reads one instruction.
pub(crate) fn instruction(line: Line, escape: char) -> Result<Instruction, ParseError> {
    let Line { text, span, heredocs } = line;
    let text = text.trim().to_owned();
    let kind = Reader { escape, heredocs, span }.kind(&text).map_err(|message| ParseError::new(span, message))?;
    Ok(Instruction { span, text, kind })
}

struct Reader {
    escape: char,
    heredocs: Vec<Heredoc>,
    span: crate::Span,
}

type Read<T> = Result<T, String>;

impl Reader {
    fn kind(self, text: &str) -> Read<Kind> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let keyword = word.to_ascii_uppercase();
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err(format!("unknown instruction: {word}{}", suggestion(word, &KEYWORDS)));
        }
        let rest = rest.trim();
        if keyword == "ONBUILD" {
            return self.onbuild(rest);
        }
        let (flags, arguments) = words::flags(rest);
        let known: &[&str] = match keyword.as_str() {
            "ADD" => &ADD_FLAGS,
            "COPY" => &COPY_FLAGS,
            "RUN" => &RUN_FLAGS,
            "FROM" => &["platform"],
            "HEALTHCHECK" => &CHECK_FLAGS,
            _ => &[],
        };
        let options = Options::new(&flags, known)?;
        if arguments.is_empty() && !matches!(keyword.as_str(), "CMD" | "ENTRYPOINT" | "RUN" | "FROM" | "ADD" | "COPY") {
            return Err(requires(&keyword, "at least one argument"));
        }
        self.typed(&keyword, &options, arguments)
    }

    fn typed(self, keyword: &str, options: &Options, text: &str) -> Read<Kind> {
        Ok(match keyword {
            "ADD" => Kind::Add(self.copy(keyword, options, text)?),
            "COPY" => Kind::Copy(self.copy(keyword, options, text)?),
            "RUN" => Kind::Run(self.run(options, text)?),
            "FROM" => Kind::From(from(options, text)?),
            "HEALTHCHECK" => Kind::Healthcheck(check(options, text)?),
            "ARG" => Kind::Arg(self.arg(text)?),
            "ENV" => Kind::Env(self.pairs(keyword, text)?),
            "LABEL" => Kind::Label(self.pairs(keyword, text)?),
            "CMD" => Kind::Cmd(arguments(text)?),
            "ENTRYPOINT" => Kind::Entrypoint(arguments(text)?),
            "EXPOSE" => Kind::Expose(list(text)?),
            "VOLUME" => Kind::Volume(volumes(text)?),
            "SHELL" => match arguments(text)? {
                Arguments::Exec(words) if !words.is_empty() => Kind::Shell(words),
                _ => return Err("SHELL requires the arguments to be in JSON form".to_owned()),
            },
            "MAINTAINER" => Kind::Maintainer(text.to_owned()),
            "STOPSIGNAL" => Kind::Stopsignal(text.to_owned()),
            "USER" => Kind::User(text.to_owned()),
            _ => Kind::Workdir(text.to_owned()),
        })
    }

    fn onbuild(self, rest: &str) -> Read<Kind> {
        let word = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "" => return Err(requires("ONBUILD", "at least one argument")),
            "ONBUILD" => return Err("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
            "FROM" | "MAINTAINER" => return Err(format!("{word} isn't allowed as an ONBUILD trigger")),
            _ => {}
        }
        let span = self.span;
        let kind = self.kind(rest)?;
        Ok(Kind::Onbuild(Box::new(Instruction { span, text: rest.to_owned(), kind })))
    }

    fn run(self, options: &Options, text: &str) -> Read<Run> {
        let mounts: Read<Vec<Mount>> = options.many("mount")?.iter().map(|mount| Mount::parse(mount)).collect();
        let network = one_of("network", options.text("network")?, &["default", "none", "host"])?;
        let security = one_of("security", options.text("security")?, &["sandbox", "insecure"])?;
        if text.is_empty() {
            return Err(requires("RUN", "at least one argument"));
        }
        Ok(Run { command: arguments(text)?, heredocs: self.heredocs, mounts: mounts?, network, security })
    }

    fn copy(self, keyword: &str, options: &Options, text: &str) -> Read<Copy> {
        let mut sources = volumes(text)?;
        if sources.len() < 2 {
            let found = if sources.len() == 1 { ", but only one was provided" } else { "" };
            return Err(format!("{keyword} requires at least two arguments{found}; the last is the destination"));
        }
        let destination = sources.pop().unwrap_or_default();
        if words::heredoc(&destination).is_some() {
            return Err(format!("{keyword} cannot accept a here-document as a destination"));
        }
        sources.retain(|source| words::heredoc(source).is_none());
        Ok(Copy {
            sources,
            heredocs: self.heredocs,
            destination,
            from: options.text("from")?,
            chown: options.text("chown")?,
            chmod: options.text("chmod")?,
            link: options.switch("link")?.unwrap_or(false),
            parents: options.switch("parents")?.unwrap_or(false),
            exclude: options.many("exclude")?,
            checksum: options.text("checksum")?,
            unpack: options.switch("unpack")?,
            keep_git_dir: options.switch("keep-git-dir")?.unwrap_or(false),
        })
    }

    fn arg(&self, text: &str) -> Read<Vec<(String, Option<String>)>> {
        let words = words::split(text, self.escape);
        let named = words.iter().map(|word| match word.split_once('=') {
            Some(("", _)) => Err("ARG names can not be blank".to_owned()),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word.clone(), None)),
        });
        named.collect()
    }

    fn pairs(&self, keyword: &str, text: &str) -> Read<Vec<Pair>> {
        let words = words::split(text, self.escape);
        if words.first().is_some_and(|word| !word.contains('=')) {
            let (key, value) =
                text.split_once(char::is_whitespace).ok_or_else(|| requires(keyword, "two arguments"))?;
            return Ok(vec![Pair { key: key.to_owned(), value: value.trim().to_owned(), legacy: true }]);
        }
        words.iter().map(|word| pair(keyword, word)).collect()
    }
}

fn pair(keyword: &str, word: &str) -> Read<Pair> {
    match word.split_once('=') {
        Some(("", _)) => Err(format!("{keyword} names can not be blank")),
        Some((key, value)) => Ok(Pair { key: key.to_owned(), value: value.to_owned(), legacy: false }),
        None => Err(format!("can't find = in {word:?}: must be of the form name=value")),
    }
}

fn requires(keyword: &str, what: &str) -> String {
    format!("{keyword} requires {what}")
}

fn one_of(flag: &str, value: Option<String>, known: &[&str]) -> Read<Option<String>> {
    match value {
        Some(value) if !known.contains(&value.as_str()) => {
            Err(format!("unsupported value {value:?} of --{flag}{}", suggestion(&value, known)))
        }
        value => Ok(value),
    }
}

fn from(options: &Options, text: &str) -> Read<From> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (image, name) = match words[..] {
        [image] => (image, None),
        [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => (image, Some(stage_name(name)?)),
        _ => return Err("FROM requires either one or three arguments".to_owned()),
    };
    Ok(From { platform: options.text("platform")?, image: image.to_owned(), name })
}

fn stage_name(name: &str) -> Read<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let lower = name.to_ascii_lowercase();
    if lower.starts_with(|c: char| c.is_ascii_lowercase()) && lower.chars().all(plain) {
        return Ok(lower);
    }
    Err(format!("invalid name for build stage: {name:?}, name can't start with a number or contain symbols"))
}

/// Exec form when the text is a JSON array; an array of anything but strings is refused.
fn arguments(text: &str) -> Read<Arguments> {
    Ok(json(text)?.map_or_else(|| Arguments::Shell(text.to_owned()), Arguments::Exec))
}

fn json(text: &str) -> Read<Option<Vec<String>>> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let strings: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    let fault = || "when using JSON array syntax, arrays must be comprised of strings only".to_owned();
    strings.map(Some).ok_or_else(fault)
}

fn list(text: &str) -> Read<Vec<String>> {
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// A JSON array, or words at white space. An argument is never empty.
fn volumes(text: &str) -> Read<Vec<String>> {
    let words = json(text)?.map_or_else(|| list(text), Ok)?;
    if words.iter().any(|word| word.trim().is_empty()) {
        return Err("an argument can not be an empty string".to_owned());
    }
    Ok(words)
}

fn check(options: &Options, text: &str) -> Read<Check> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match word.to_ascii_uppercase().as_str() {
        "NONE" if rest.is_empty() => Ok(Check::None),
        "NONE" => Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" if rest.trim().is_empty() => Err("missing command after HEALTHCHECK CMD".to_owned()),
        "CMD" => Ok(Check::Command {
            command: arguments(rest.trim())?,
            interval: span_of_time(options, "interval")?,
            timeout: span_of_time(options, "timeout")?,
            start_period: span_of_time(options, "start-period")?,
            start_interval: span_of_time(options, "start-interval")?,
            retries: retries(options)?,
        }),
        _ => Err(format!("unknown type {word:?} in HEALTHCHECK (try CMD){}", suggestion(word, &["CMD", "NONE"]))),
    }
}

fn retries(options: &Options) -> Read<Option<u32>> {
    let invalid = |text: &str| format!("--retries must be a whole number, not {text:?}");
    options.text("retries")?.map(|text| text.parse().map_err(|_| invalid(&text))).transpose()
}

fn span_of_time(options: &Options, flag: &str) -> Read<Option<u64>> {
    let Some(text) = options.text(flag)? else { return Ok(None) };
    let nanoseconds = duration(&text).ok_or_else(|| format!("invalid duration {text:?} of --{flag}"))?;
    if nanoseconds != 0 && nanoseconds < 1_000_000 {
        return Err(format!("--{flag} {text:?} cannot be less than 1ms"));
    }
    Ok(Some(nanoseconds))
}

/// `1h2m3.5s`, `300ms`, `0`, in nanoseconds.
fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() || total == 0 {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scaled = number.parse::<f64>().ok()? * unit_of_time(unit)?;
        if !(0.0..9.2e18).contains(&scaled) {
            return None;
        }
        total = total.checked_add(scaled as u64)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    Some(total)
}

fn unit_of_time(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}
