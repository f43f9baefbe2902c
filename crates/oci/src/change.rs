//! `--change` of `import` and `commit`: one Dockerfile instruction that edits a configuration.

use crate::image_config::{Config, Empty, Healthcheck};
use crate::{ParseError, duration};

/// Applies `INSTRUCTION arguments` to `config`. Only instructions that change nothing but the configuration are known:
/// CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR.
pub fn apply(config: &mut Config, change: &str) -> Result<(), ParseError> {
    let change = change.trim();
    let (name, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
    let rest = rest.trim();
    let name = name.to_ascii_uppercase();
    let known = matches!(
        name.as_str(),
        "CMD"
            | "ENTRYPOINT"
            | "ENV"
            | "EXPOSE"
            | "HEALTHCHECK"
            | "LABEL"
            | "ONBUILD"
            | "STOPSIGNAL"
            | "USER"
            | "VOLUME"
            | "WORKDIR"
    );
    if !known {
        return Err(ParseError::new(format!("{name:?} is not a valid change instruction")));
    }
    if rest.is_empty() {
        return Err(ParseError::new(format!("change instruction {name:?} needs an argument")));
    }
    match name.as_str() {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(config, rest)),
        "ENV" => {
            for (key, value) in pairs(&name, rest)? {
                let prefix = format!("{key}=");
                let entry = format!("{prefix}{value}");
                match config.env.iter_mut().find(|old| old.starts_with(&prefix)) {
                    Some(old) => *old = entry,
                    None => config.env.push(entry),
                }
            }
        }
        "LABEL" => config.labels.extend(pairs(&name, rest)?),
        "EXPOSE" => {
            for port in words(rest)? {
                config.exposed_ports.insert(exposed_port(&port)?, Empty {});
            }
        }
        "VOLUME" => {
            for path in json_array(rest).map_or_else(|| words(rest), Ok)? {
                config.volumes.insert(path, Empty {});
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        "STOPSIGNAL" => config.stop_signal = single(&name, rest)?,
        "USER" => config.user = single(&name, rest)?,
        _ => config.working_dir = join(&config.working_dir, &single(&name, rest)?),
    }
    Ok(())
}

fn json_array(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// The exec form as it is; anything else is a command line for the shell.
fn command(config: &Config, text: &str) -> Vec<String> {
    json_array(text).unwrap_or_else(|| {
        let mut command = config.shell.clone();
        if command.is_empty() {
            command = vec!["/bin/sh".to_owned(), "-c".to_owned()];
        }
        command.push(text.to_owned());
        command
    })
}

fn single(name: &str, text: &str) -> Result<String, ParseError> {
    match <[String; 1]>::try_from(words(text)?) {
        Ok([word]) => Ok(word),
        Err(_) => Err(ParseError::new(format!("change instruction {name:?} needs exactly one argument"))),
    }
}

/// `K=V K2="V 2"`, or the old form `K the rest`.
fn pairs(name: &str, text: &str) -> Result<Vec<(String, String)>, ParseError> {
    let malformed = || ParseError::new(format!("change instruction {name:?} needs KEY=VALUE, got {text:?}"));
    let parts = words(text)?;
    if !parts.first().is_some_and(|first| first.contains('=')) {
        let (key, value) = text.split_once(char::is_whitespace).ok_or_else(malformed)?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let pair = |part: &String| match part.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(malformed()),
    };
    parts.iter().map(pair).collect()
}

/// Splits at blanks; quotes and backslashes keep them, as in a Dockerfile.
fn words(text: &str) -> Result<Vec<String>, ParseError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(ParseError::new(format!("unterminated quote in {text:?}")));
    }
    words.extend(word);
    Ok(words)
}

fn exposed_port(text: &str) -> Result<String, ParseError> {
    let invalid = || ParseError::new(format!("invalid port {text:?}: must be PORT[-PORT][/tcp|udp|sctp]"));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let port = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    if port(first)? > port(last)? || !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(invalid());
    }
    Ok(format!("{range}/{protocol}"))
}

fn healthcheck(text: &str) -> Result<Healthcheck, ParseError> {
    let invalid = |why: &str| ParseError::new(format!("invalid HEALTHCHECK {text:?}: {why}"));
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).ok_or_else(|| invalid("no CMD or NONE"))?;
        let (name, value) = option.split_once('=').ok_or_else(|| invalid("an option needs a value"))?;
        let time = || duration::parse(value).ok_or_else(|| invalid("malformed duration"));
        match name {
            "interval" => check.interval = time()?,
            "timeout" => check.timeout = time()?,
            "start-period" => check.start_period = time()?,
            "start-interval" => check.start_interval = time()?,
            "retries" => {
                let retries = value.parse::<u32>().map_err(|_| invalid("retries must be a number"))?;
                check.retries = i64::from(retries);
            }
            _ => return Err(invalid("unknown option")),
        }
        rest = after.trim_start();
    }
    let (form, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match (form.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") => vec!["NONE".to_owned()],
        ("CMD", command) if !command.is_empty() => match json_array(command) {
            Some(arguments) => std::iter::once("CMD".to_owned()).chain(arguments).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        _ => return Err(invalid("must end in CMD command or NONE")),
    };
    Ok(check)
}

/// A relative directory is meant below the one before it.
fn join(base: &str, path: &str) -> String {
    match (path.starts_with('/'), base.trim_end_matches('/')) {
        (true, _) => path.to_owned(),
        (false, base) => format!("{base}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Config {
        let mut config = Config::default();
        for change in changes {
            apply(&mut config, change).unwrap();
        }
        config
    }

    #[test]
    fn every_instruction_edits_its_field() {
        let config = changed(&[
            "CMD [\"a\", \"b c\"]",
            "entrypoint exec a  b",
            "ENV A=1 B=\"two words\" C=a\\ b",
            "ENV OLD the rest",
            "ENV A=2",
            "EXPOSE 80 53/UDP 8000-8010",
            "LABEL x=y 'k k'=v",
            "USER 1000:1000",
            "VOLUME /a /b",
            "VOLUME [\"/c d\"]",
            "WORKDIR /srv/",
            "WORKDIR app",
            "ONBUILD RUN make",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost",
        ]);
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec a  b"]);
        assert_eq!(config.env, ["A=2", "B=two words", "C=a b", "OLD=the rest"]);
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp", "8000-8010/tcp"]);
        assert_eq!(config.labels["x"], "y");
        assert_eq!(config.labels["k k"], "v");
        assert_eq!(config.user, "1000:1000");
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/a", "/b", "/c d"]);
        assert_eq!(config.working_dir, "/srv/app");
        assert_eq!(config.on_build, ["RUN make"]);
        assert_eq!(config.stop_signal, "SIGINT");
        let check = config.healthcheck.unwrap();
        assert_eq!((check.interval, check.retries), (90_000_000_000, 3));
        assert_eq!(check.test, ["CMD-SHELL", "curl -f localhost"]);
        assert_eq!(changed(&["HEALTHCHECK NONE"]).healthcheck.unwrap().test, ["NONE"]);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for bad in [
            "",
            "RUN x",
            "CMD",
            "ENV",
            "ENV A",
            "ENV =x",
            "LABEL a=b c",
            "EXPOSE 99999",
            "EXPOSE 2-1",
            "EXPOSE 1/ip",
            "USER a b",
            "ENV A=\"x",
            "HEALTHCHECK CMD",
            "HEALTHCHECK --x=1 NONE",
            "HEALTHCHECK --interval=1 NONE",
            "HEALTHCHECK --interval=99999999999h NONE",
            "HEALTHCHECK --retries=x CMD a",
        ] {
            assert!(apply(&mut Config::default(), bad).is_err(), "{bad}");
        }
        let error = apply(&mut Config::default(), "FROM x").unwrap_err();
        assert_eq!(error.to_string(), "\"FROM\" is not a valid change instruction");
    }
}
