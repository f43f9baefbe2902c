//! Tokens: from a token server, for a scope, for a while.

use std::time::{Duration, Instant};

use serde::Deserialize;
use stdx::{Error, Kind};
use ureq::http::Method;

use super::{Wanted, basic};
use crate::client::Context;
use crate::error::{self, Deed, Failure};
use crate::session::Endpoint;
use crate::transport::{Patience, Payload, Request, Response};
use crate::url::form;
use crate::{Credential, body};

const CLIENT_ID: &str = "tare";
const LARGEST_ANSWER: u64 = 1 << 20;
/// A header must fit into what servers read.
const LONGEST_TOKEN: usize = 48 << 10;
/// What a token server means that does not say (Docker's token specification).
const USUAL_LIFE: u64 = 60;
/// A token is renewed before it expires on its way.
const MARGIN: Duration = Duration::from_secs(5);

/// The right to do something for a while.
pub(super) struct Token {
    text: String,
    expires: Instant,
    /// Replaces the password it was fetched with.
    pub(super) identity: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

impl Token {
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.text)
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh_at(Instant::now())
    }

    fn is_fresh_at(&self, now: Instant) -> bool {
        now + MARGIN < self.expires
    }

    fn lasting(text: String, made: Instant, seconds: u64) -> Result<Self, Error> {
        if text.len() > LONGEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::corrupt("a token is too long or holds strange characters"));
        }
        // Clocks differ between machines, durations do not; and nobody needs one for more than a day.
        let life = Duration::from_secs(seconds.clamp(USUAL_LIFE, 86_400));
        Ok(Self { text, expires: made + life, identity: None })
    }
}

/// Fetches a token: with a credential, or as anybody.
pub(super) fn fetch(
    context: &Context,
    endpoint: &Endpoint,
    wanted: &Wanted<'_>,
    credential: Option<&Credential>,
    is_login: bool,
) -> Result<Token, Failure> {
    let made = Instant::now();
    let response = match credential {
        // Somebody fetched it before; the registry knows what it is good for.
        Some(Credential::RegistryToken(token)) => return Ok(Token::lasting(token.clone(), made, 86_400)?),
        Some(Credential::IdentityToken(identity)) => {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", identity.as_str())];
            post(context, wanted, &fields)?
        }
        Some(Credential::Password { user, password }) => {
            let response = get(context, wanted, credential, is_login)?;
            match response.status {
                // It knows the newer way alone.
                404 | 405 => {
                    body::discard(response);
                    let access = if is_login { "offline" } else { "online" };
                    let fields = [
                        ("grant_type", "password"),
                        ("username", user),
                        ("password", password),
                        ("access_type", access),
                    ];
                    post(context, wanted, &fields)?
                }
                _ => response,
            }
        }
        None => get(context, wanted, None, false)?,
    };
    read(endpoint, wanted, credential, made, response)
}

fn read(
    endpoint: &Endpoint,
    wanted: &Wanted<'_>,
    credential: Option<&Credential>,
    made: Instant,
    response: Response,
) -> Result<Token, Failure> {
    let who = format!("token server \"{}\" of {}", wanted.realm.origin.authority(), endpoint.who());
    if response.status != 200 {
        let noun = match credential {
            Some(Credential::Password { user, .. }) => format!("a token for user {user:?}"),
            Some(_) => "a token for the stored login".to_owned(),
            None => "a token".to_owned(),
        };
        let failure = error::refusal(&who, &Deed::new("give", noun), response);
        return Err(match failure.error.kind() {
            // "Bad request" is what some say to a wrong password.
            Kind::Invalid | Kind::NotFound => Failure { error: failure.error.kinded(Kind::Denied), ..failure },
            _ => failure,
        });
    }
    let Response { head, body, .. } = response;
    let answer: Answer = body::json(&head, &body::take(&head, body, LARGEST_ANSWER)?)?;
    let text = answer.token.or(answer.access_token).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Error::corrupt(format!("{who} answered without a token")))?;
    let mut token = Token::lasting(text, made, answer.expires_in.unwrap_or(USUAL_LIFE))?;
    token.identity = answer.refresh_token.filter(|text| !text.is_empty());
    Ok(token)
}

/// The older way: what is wanted stands in the query.
fn get(
    context: &Context,
    wanted: &Wanted<'_>,
    credential: Option<&Credential>,
    is_login: bool,
) -> Result<Response, Failure> {
    let mut url = wanted.realm.clone();
    if let Some(Credential::Password { user, .. }) = credential {
        url = url.with("account", user);
    }
    if is_login {
        url = url.with("client_id", CLIENT_ID).with("offline_token", "true");
    }
    if let Some(service) = wanted.service {
        url = url.with("service", service);
    }
    for scope in wanted.scopes {
        url = url.with("scope", scope);
    }
    let headers = credential.and_then(basic).map(|value| ("authorization", value)).into_iter().collect();
    let patience = Patience::Document;
    context.transport.send(Request { method: Method::GET, url, headers, payload: Payload::None, patience })
}

/// The newer way: a form.
fn post(context: &Context, wanted: &Wanted<'_>, fields: &[(&str, &str)]) -> Result<Response, Failure> {
    let scope = wanted.scopes.join(" ");
    let mut fields = fields.to_vec();
    fields.extend([("client_id", CLIENT_ID), ("service", wanted.service.unwrap_or_default())]);
    if !scope.is_empty() {
        fields.push(("scope", &scope));
    }
    let form = form(&fields);
    context.transport.send(Request {
        method: Method::POST,
        url: wanted.realm.clone(),
        headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
        payload: Payload::Bytes(form.as_bytes()),
        patience: Patience::Document,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lasts_as_long_as_the_server_says_and_never_less_than_a_minute() {
        let now = Instant::now();
        for (told, lasts) in [(0, 60), (60, 60), (300, 300), (u64::MAX, 86_400)] {
            let token = Token::lasting("x".to_owned(), now, told).unwrap();
            let after = |seconds| now + Duration::from_secs(seconds);
            assert!(token.is_fresh_at(after(lasts - 6)), "{told}");
            assert!(!token.is_fresh_at(after(lasts - 4)), "{told}");
        }
    }
}
