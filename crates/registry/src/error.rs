//! What a registry's refusal means: in words for people, and for those who would try again.

use std::time::Duration;

use serde_json::Value;
use stdx::{Error, Kind};

use crate::body;
use crate::retry;
use crate::transport::Response;

/// Whether asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    /// Nobody is there: pointless for who just begins, worth a try for who was in the middle.
    Unreachable,
    /// It failed in passing.
    Soon,
    /// The registry says when.
    After(Duration),
}

/// An error, and whether asking again may help.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) again: Again,
}

impl Failure {
    pub(crate) fn new(error: Error, again: Again) -> Self {
        Self { error, again }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error, Again::Never)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// What a registry was asked to do: `give` the `manifest "busybox:latest"`.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) verb: &'static str,
    pub(crate) noun: String,
}

impl Deed {
    pub(crate) fn new(verb: &'static str, noun: impl Into<String>) -> Self {
        Self { verb, noun: noun.into() }
    }
}

/// A server that says no is heard to this length.
const LONGEST_REFUSAL: u64 = 64 << 10;
const LONGEST_WORDS: usize = 400;

/// The failure that an answer other than the expected one is. `who` is `registry "HOST"` or the like.
pub(crate) fn refusal(who: &str, deed: &Deed, response: Response) -> Failure {
    let status = response.status;
    let limits = rate_limits(&response);
    let again = again(status, response.head.header("retry-after"));
    let is_login_missing = status == 401;
    let words = match body::read(response, LONGEST_REFUSAL) {
        Ok(bytes) => words(&bytes),
        Err(_) => None,
    };
    let Deed { verb, noun } = deed;
    let what = match status {
        404 => format!("{who} has no {noun}"),
        429 => format!("{who} refused to {verb} {noun} so often"),
        300..=499 => format!("{who} refused to {verb} {noun}"),
        _ => format!("{who} failed to {verb} {noun}"),
    };
    let why = words.unwrap_or_else(|| reason(status));
    let error = Error::new(kind(status), format!("{what}: {why}"));
    let error = match (again, limits) {
        _ if is_login_missing => error.hint("log in with `tare login`"),
        (Again::After(pause), limits) => {
            let limits = limits.map_or_else(String::new, |limits| format!("; {limits}"));
            error.hint(format!("it may be asked again in {} s{limits}", pause.as_secs()))
        }
        (_, Some(limits)) => error.hint(limits),
        _ => error,
    };
    Failure::new(error, again)
}

fn again(status: u16, retry_after: Option<&str>) -> Again {
    match (status, retry_after.and_then(retry::after)) {
        (408 | 429 | 500 | 502..=504, Some(pause)) => Again::After(pause),
        (408 | 429 | 500 | 502..=504, None) => Again::Soon,
        _ => Again::Never,
    }
}

fn kind(status: u16) -> Kind {
    match status {
        401 | 403 | 407 | 451 => Kind::Denied,
        404 | 410 => Kind::NotFound,
        405 | 406 | 415 | 501 => Kind::Unsupported,
        409 => Kind::Conflict,
        429 => Kind::Denied,
        400..=499 => Kind::Invalid,
        507 => Kind::NoSpace,
        _ => Kind::Internal,
    }
}

/// The words for a status without any of its own.
fn reason(status: u16) -> String {
    let text = ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("{status} {}", text.unwrap_or("unknown status").to_lowercase())
}

/// `RateLimit-Limit: 100;w=21600` and `RateLimit-Remaining: 0;w=21600`, as Docker Hub has them.
fn rate_limits(response: &Response) -> Option<String> {
    let limit = response.head.header("ratelimit-limit")?;
    let (count, window) = match limit.split_once(";w=") {
        Some((count, window)) => (count, window.parse::<u64>().ok()?),
        None => (limit, 0),
    };
    let count: u64 = count.trim().parse().ok()?;
    let left =
        response.head.header("ratelimit-remaining").and_then(|text| text.split(';').next()?.trim().parse::<u64>().ok());
    let left = left.map_or_else(String::new, |left| format!(", {left} left"));
    match window {
        0 => Some(format!("the limit is {count} requests{left}")),
        _ => Some(format!("the limit is {count} requests in {window} s{left}")),
    }
}

/// What the body says (distribution-spec, "Error Codes"; token servers and proxies have forms of their own).
fn words(body: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let texts: Vec<String> = match json["errors"].as_array() {
        Some(errors) => errors.iter().take(3).filter_map(one_error).collect(),
        None => ["error_description", "message", "details", "detail", "error"]
            .iter()
            .find_map(|key| json[*key].as_str())
            .map(str::to_owned)
            .into_iter()
            .collect(),
    };
    let joined = texts.join("; ");
    let plain = plain(&joined);
    (!plain.is_empty()).then_some(plain)
}

fn one_error(error: &Value) -> Option<String> {
    let code = error["code"].as_str().unwrap_or_default().to_lowercase().replace('_', " ");
    let message = error["message"].as_str().unwrap_or_default().trim();
    match (code.as_str(), message) {
        ("", "") => None,
        ("", message) => Some(message.to_owned()),
        (_, "") => Some(code),
        (_, message) if message.eq_ignore_ascii_case(&code) => Some(code),
        _ => Some(format!("{code}: {message}")),
    }
}

/// One line of a foreign text: no control characters, not too long.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect();
    line.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_become_words() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied","detail":[]}]}"#,
                Some("denied: requested access to the resource is denied"),
            ),
            (r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#, Some("manifest unknown")),
            (r#"{"errors":[{"code":"A"},{"message":"b"},{},{"code":"C"}]}"#, Some("a; b")),
            (r#"{"details":"incorrect username or password"}"#, Some("incorrect username or password")),
            (r#"{"error":"invalid_grant","error_description":"no."}"#, Some("no")),
            ("{\"message\":\"two\\nlines\\u001b[31m\"}", Some("two lines[31m")),
            (r#"{"errors":[]}"#, None),
            (r#"{"errors":"x"}"#, None),
            ("<html>", None),
            ("[]", None),
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
