//! The token server of a registry.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::http::{Answer, Asked, field, fields};
use super::{Guard, Shared};

#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What each token is good for.
    given: BTreeMap<String, Vec<String>>,
    count: usize,
    life: Option<u64>,
    identity: Option<String>,
}

impl Tokens {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread panics with the lock held")
    }

    pub(super) fn set_life(&self, seconds: u64) {
        self.state().life = Some(seconds);
    }

    pub(super) fn revoke(&self) {
        self.state().given.clear();
    }

    pub(super) fn set_identity(&self, token: &str) {
        self.state().identity = Some(token.to_owned());
    }

    fn give(&self, scopes: Vec<String>, with_identity: bool) -> Answer {
        let mut state = self.state();
        state.count += 1;
        let token = format!("token-{}", state.count);
        state.given.insert(token.clone(), scopes);
        let mut answer = json!({"token": token});
        if let Some(life) = state.life {
            answer["expires_in"] = json!(life);
        }
        if let (true, Some(identity)) = (with_identity, &state.identity) {
            answer["refresh_token"] = json!(identity);
        }
        Answer::new(200).header("Content-Type", "application/json").text(answer.to_string())
    }

    /// Whether a token is good for a scope; an empty one asks for any.
    fn allows(&self, token: &str, wanted: &str) -> bool {
        let state = self.state();
        let Some(given) = state.given.get(token) else { return false };
        wanted.is_empty() || given.iter().any(|given| covers(given, wanted))
    }
}

/// Whether `repository:a:pull,push` covers `repository:a:pull`.
fn covers(given: &str, wanted: &str) -> bool {
    let (Some((given, may)), Some((wanted, action))) = (given.rsplit_once(':'), wanted.rsplit_once(':')) else {
        return false;
    };
    given == wanted && action.split(',').all(|action| may.split(',').any(|may| may == action))
}

/// The password that a request shows.
fn basic(asked: &Asked) -> Option<(String, String)> {
    let encoded = asked.header("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

impl Shared {
    /// An answer to who may not ask this; `wanted` is the scope that is needed.
    pub(super) fn turn_down(&self, asked: &Asked, wanted: &str) -> Option<Answer> {
        let challenge = match &self.options.guard {
            Guard::Open => return None,
            Guard::Basic { user, password } => {
                if basic(asked) == Some((user.clone(), password.clone())) {
                    return None;
                }
                "Basic realm=\"a registry\"".to_owned()
            }
            Guard::Token { .. } => {
                let shown = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
                if shown.is_some_and(|token| self.tokens.allows(token, wanted)) {
                    return None;
                }
                let realm = self.options.realm.clone().unwrap_or_else(|| self.url("/token"));
                let scope = if wanted.is_empty() { String::new() } else { format!(",scope=\"{wanted}\"") };
                format!("Bearer realm=\"{realm}\",service=\"test\"{scope}")
            }
        };
        let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]});
        Some(Answer::new(401).header("WWW-Authenticate", challenge).text(body.to_string()))
    }

    /// `GET` or `POST /token`.
    pub(super) fn token(&self, asked: &Asked, body: &[u8]) -> Answer {
        let Guard::Token { user, password } = &self.options.guard else { return Answer::new(404) };
        let form = String::from_utf8_lossy(body).into_owned();
        let is_known = if asked.method == "POST" {
            let identity = self.tokens.state().identity.clone();
            let is_identity = identity.is_some() && field(&form, "refresh_token") == identity;
            is_identity
                || (field(&form, "username"), field(&form, "password")) == (Some(user.clone()), Some(password.clone()))
        } else {
            match basic(asked) {
                Some(shown) if shown == (user.clone(), password.clone()) => true,
                Some(_) => return Answer::new(401).text(r#"{"details":"incorrect username or password"}"#),
                None => false,
            }
        };
        if asked.method == "POST" && !is_known {
            return Answer::new(401).text(r#"{"error":"invalid_grant","error_description":"no such login"}"#);
        }
        let query = asked.path.split_once('?').map_or("", |(_, query)| query);
        let mut scopes = if asked.method == "POST" { fields(&form, "scope") } else { fields(query, "scope") };
        scopes = scopes.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
        if !is_known {
            // Anybody may pull.
            scopes = scopes.iter().map(|scope| scope.replace("pull,push", "pull")).collect();
        }
        let wants_identity = is_known && asked.parameter("offline_token").is_some();
        self.tokens.give(scopes, wants_identity)
    }
}
