//! `tare login`.

use std::ffi::OsString;
use std::io::{BufRead, Read, Write};

use engine::Engine;
use stdx::{Context, Error, Result};

use super::pull::notes;
use crate::error::Failure;
use crate::table::out;
use crate::terminal;

/// More is no password.
const PASSWORD_MAX: u64 = 64 << 10;

/// Log in to a registry
#[derive(clap::Parser, Debug)]
#[command(name = "tare login")]
pub(crate) struct Args {
    /// Password, or a token; seen by everybody in the list of processes
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Name of the user
    #[arg(short, long)]
    username: Option<String>,
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> std::result::Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let registry = registry_name(args.server.as_deref());
    if args.password.is_some() {
        eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if args.password_stdin && args.username.is_none() {
        return Err(Error::invalid("must provide --username with --password-stdin").into());
    }
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ")?,
    };
    let password = match args.password {
        Some(password) => password,
        None if args.password_stdin => password_from_stdin()?,
        None => ask_secret("Password: ")?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Error::invalid("username and password are required").into());
    }
    let credential = engine.registries()?.login(&registry, &user, &password);
    notes(engine);
    if let Some(path) = engine.credentials().store(&registry, &credential?)? {
        eprintln!("\nWARNING! Your credentials are stored unencrypted in '{}'.", path.display());
        eprintln!("Configure a credential helper to remove this warning.\n");
    }
    out("Login Succeeded\n");
    Ok(0)
}

/// A registry as it was typed, with a scheme and a path or without.
pub(super) fn registry_name(server: Option<&str>) -> String {
    let server = server.unwrap_or(oci::reference::DEFAULT_REGISTRY);
    let server = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    match server.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => oci::reference::DEFAULT_REGISTRY.to_owned(),
        host => host.to_owned(),
    }
}

fn password_from_stdin() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(PASSWORD_MAX).read_to_string(&mut text);
    read.context(|| "cannot read the password from standard input".to_owned())?;
    Ok(text.strip_suffix('\n').map_or(&text[..], |text| text.strip_suffix('\r').unwrap_or(text)).to_owned())
}

fn ask(question: &str) -> Result<String> {
    if !terminal::is_terminal() {
        return Err(Error::invalid("cannot ask for a name and a password: standard input is no terminal")
            .hint("use --username and --password-stdin"));
    }
    out(question);
    std::io::stdout().flush().context(|| "cannot write to the terminal".to_owned())?;
    let mut line = String::new();
    let read = std::io::stdin().lock().take(PASSWORD_MAX).read_line(&mut line);
    read.context(|| "cannot read from the terminal".to_owned())?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What is typed is not shown.
fn ask_secret(question: &str) -> Result<String> {
    let hidden = if terminal::is_terminal() { Some(terminal::Hidden::enter()?) } else { None };
    let answer = ask(question);
    if hidden.is_some() {
        out("\n");
    }
    answer
}
