//! Instructions that change the configuration and nothing else.

use dockerfile::{Arguments, Check, Instruction, Kind, Pair};
use oci::image_config::{Config, Empty, Healthcheck};

use crate::stage::State;

/// What shell-form commands are run by, where SHELL says nothing.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Applies an instruction; the error says what is wrong with it.
pub(crate) fn apply(state: &mut State, instruction: &Instruction) -> Result<(), String> {
    let env = state.image.config.env.clone();
    let word = |state: &State, text: &str| state.scope.word(&env, text);
    match &instruction.kind {
        Kind::Env(pairs) => {
            for (key, value) in expanded(state, &env, pairs)? {
                set_env(&mut state.image.config.env, &key, &value);
            }
        }
        Kind::Label(pairs) => {
            let labels = expanded(state, &env, pairs)?;
            state.image.config.labels.extend(labels);
        }
        Kind::Cmd(arguments) => {
            state.image.config.cmd = Some(command(&state.image.config, arguments));
            state.has_command = true;
        }
        Kind::Entrypoint(arguments) => {
            state.image.config.entrypoint = Some(command(&state.image.config, arguments));
            // What the base runs was for the base's entrypoint.
            if !state.has_command {
                state.image.config.cmd = None;
            }
        }
        Kind::Expose(ports) => {
            for port in ports {
                for port in state.scope.words(&env, port)? {
                    expose(&mut state.image.config, &port)?;
                }
            }
        }
        Kind::Volume(paths) => {
            for path in paths {
                let path = word(state, path)?;
                if path.is_empty() {
                    return Err("VOLUME specified can not be an empty string".to_owned());
                }
                state.image.config.volumes.insert(path, Empty {});
            }
        }
        Kind::User(user) => state.image.config.user = word(state, user)?,
        Kind::Stopsignal(signal) => {
            let signal = word(state, signal)?;
            if sys::signal::parse(&signal).is_none() {
                return Err(format!("invalid signal {signal:?}"));
            }
            state.image.config.stop_signal = signal;
        }
        Kind::Healthcheck(check) => {
            state.image.config.healthcheck = Some(healthcheck(check));
        }
        Kind::Shell(words) => state.image.config.shell.clone_from(words),
        Kind::Onbuild(trigger) => state.image.config.on_build.push(trigger_text(trigger)),
        Kind::Maintainer(name) => state.image.author.clone_from(name),
        // These change more than the configuration.
        Kind::Add(_) | Kind::Arg(_) | Kind::Copy(_) | Kind::From(_) | Kind::Run(_) | Kind::Workdir(_) => {}
    }
    Ok(())
}

fn trigger_text(trigger: &Instruction) -> String {
    let heredocs = match &trigger.kind {
        Kind::Run(run) => &run.heredocs[..],
        Kind::Copy(copy) | Kind::Add(copy) => &copy.heredocs,
        _ => &[],
    };
    let mut text = trigger.text.clone();
    heredocs.iter().for_each(|heredoc| text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name)));
    text
}

fn expanded(state: &State, env: &[String], pairs: &[Pair]) -> Result<Vec<(String, String)>, String> {
    let word = |text: &str| state.scope.word(env, text);
    pairs.iter().map(|pair| Ok((word(&pair.key)?, word(&pair.value)?))).collect()
}

/// Sets a variable, at the place it has if it is set already.
pub(crate) fn set_env(env: &mut Vec<String>, key: &str, value: &str) {
    let entry = format!("{key}={value}");
    match env.iter_mut().find(|known| known.split('=').next() == Some(key)) {
        Some(known) => *known = entry,
        None => env.push(entry),
    }
}

/// The words that are executed.
pub(crate) fn command(config: &Config, arguments: &Arguments) -> Vec<String> {
    match arguments {
        Arguments::Exec(words) => words.clone(),
        Arguments::Shell(text) => shell(config).into_iter().chain([text.clone()]).collect(),
    }
}

/// What shell-form commands are run by.
pub(crate) fn shell(config: &Config) -> Vec<String> {
    if config.shell.is_empty() { SHELL.map(str::to_owned).to_vec() } else { config.shell.clone() }
}

/// `PORT[-PORT][/PROTOCOL]`: every port of a range by itself.
fn expose(config: &mut Config, port: &str) -> Result<(), String> {
    let invalid = || format!("invalid containerPort: {port}");
    let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    // An address and a port of the host have no meaning here, and are warned of.
    let range = range.rsplit(':').next().unwrap_or(range);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(invalid());
    }
    for number in first..=last {
        config.exposed_ports.insert(format!("{number}/{protocol}"), Empty {});
    }
    Ok(())
}

fn healthcheck(check: &Check) -> Healthcheck {
    match check {
        Check::None => Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() },
        Check::Command { command, interval, timeout, start_period, start_interval, retries } => {
            let test = match command {
                Arguments::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                Arguments::Exec(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
            };
            let nanoseconds = |value: &Option<u64>| value.and_then(|value| i64::try_from(value).ok()).unwrap_or(0);
            Healthcheck {
                test,
                interval: nanoseconds(interval),
                timeout: nanoseconds(timeout),
                start_period: nanoseconds(start_period),
                start_interval: nanoseconds(start_interval),
                retries: retries.map_or(0, i64::from),
            }
        }
    }
}
