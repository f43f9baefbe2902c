//! Programs that keep credentials: `docker-credential-NAME get|store|erase`, the registry's key on standard input.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stdx::{Context, Error, Kind, Result};

use super::Credential;

/// A helper may ask its user something; nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
const LARGEST_ANSWER: u64 = 256 << 10;
/// In place of a user's name, by the helpers' protocol.
const TOKEN_USER: &str = "<token>";
/// How a helper says that it has nothing (docker-credential-helpers, `errCredentialsNotFoundMessage`).
const NOTHING: &str = "credentials not found in native keychain";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default, rename = "ServerURL")]
    server_url: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// What a helper has for a registry.
pub(super) fn get(name: &str, key: &str) -> Result<Option<Credential>> {
    answer(name, run(&program(name)?, name, "get", key.as_bytes())?)
}

pub(super) fn answer(name: &str, answer: Option<Vec<u8>>) -> Result<Option<Credential>> {
    let Some(answer) = answer else { return Ok(None) };
    let answer: Message = serde_json::from_slice(&answer)
        .map_err(|error| Error::corrupt(format!("credential helper {name:?} answered with invalid JSON: {error}")))?;
    Ok(match (answer.username.as_str(), answer.secret) {
        ("", _) => None,
        (_, secret) if secret.is_empty() => None,
        (TOKEN_USER, token) => Some(Credential::IdentityToken(token)),
        (user, password) => Some(Credential::Password { user: user.to_owned(), password }),
    })
}

/// Gives a helper something to keep.
pub(super) fn store(name: &str, key: &str, credential: &Credential) -> Result<()> {
    run(&program(name)?, name, "store", &message(key, credential)?).map(drop)
}

pub(super) fn message(key: &str, credential: &Credential) -> Result<Vec<u8>> {
    let (username, secret) = match credential {
        Credential::Password { user, password } => (user.as_str(), password),
        Credential::IdentityToken(token) => (TOKEN_USER, token),
        Credential::RegistryToken(_) => return Err(Error::unsupported("a credential helper keeps no registry token")),
    };
    let message = Message { server_url: key.to_owned(), username: username.to_owned(), secret: secret.clone() };
    serde_json::to_vec(&message).context(|| "cannot write JSON".to_owned())
}

/// Has a helper forget something. That it has nothing is no failure.
pub(super) fn erase(name: &str, key: &str) -> Result<()> {
    run(&program(name)?, name, "erase", key.as_bytes()).map(drop)
}

/// A name is looked for in `PATH`, a path would lead anywhere.
fn program(name: &str) -> Result<String> {
    if name.contains('/') {
        return Err(Error::invalid(format!("invalid credential helper {name:?}")));
    }
    Ok(format!("docker-credential-{name}"))
}

/// Standard output, or `None` if the helper says that it has nothing.
pub(super) fn run(program: &str, name: &str, verb: &str, input: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut child = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context(|| format!("cannot run credential helper {program:?}"))?;
    let output = converse(&mut child, input);
    // Ended or not: after its output nothing is wanted of it.
    if output.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().context(|| format!("cannot wait for credential helper {program:?}"))?;
    let output = output.map_err(|why| Error::new(Kind::Internal, format!("credential helper {name:?} {why}")))?;
    if status.success() {
        return Ok(Some(output));
    }
    let said = String::from_utf8_lossy(&output);
    let said = said.trim();
    if said == NOTHING {
        return Ok(None);
    }
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    Err(Error::new(Kind::Denied, format!("credential helper {name:?} failed to {verb}: {said}")))
}

fn converse(child: &mut Child, input: &[u8]) -> Result<Vec<u8>, String> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read has other ways to say what it wants; its answer is what counts.
        let _ = stdin.write_all(input);
    }
    let Some(stdout) = child.stdout.take() else { return Err("has no output".to_owned()) };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut output = Vec::new();
        let result = stdout.take(LARGEST_ANSWER + 1).read_to_end(&mut output).map(|_| output);
        let _ = sender.send(result);
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(output)) if output.len() as u64 > LARGEST_ANSWER => Err(format!("says more than {LARGEST_ANSWER} bytes")),
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(format!("cannot be read: {error}")),
        Err(_) => Err(format!("does not answer within {} s", PATIENCE.as_secs())),
    }
}
