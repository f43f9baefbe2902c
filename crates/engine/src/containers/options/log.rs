//! Where a container's output goes: `--log-driver` and `--log-opt`.

use std::collections::BTreeMap;
use std::path::Path;

use monitor::config::LogDriver;
use serde::{Deserialize, Serialize};
use stdx::{Error, Result};

use super::parse::bytes;

/// What happens to a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `None`: only clients see it.
    pub driver: Option<LogDriver>,
    /// A file is rotated before it grows beyond this.
    pub max_bytes: u64,
    /// How many files are kept, the current one included.
    pub max_files: u32,
    /// The options as given.
    pub options: BTreeMap<String, String>,
}

impl Default for Log {
    /// Rotation is on by default: a full disk is a worse surprise than a missing old line.
    fn default() -> Self {
        Self { driver: Some(LogDriver::JsonFile), max_bytes: 10_000_000, max_files: 3, options: BTreeMap::new() }
    }
}

impl Log {
    /// The driver's name.
    pub fn name(&self) -> &'static str {
        self.driver.map_or("none", LogDriver::name)
    }

    /// Whether it is kept in files, which can be read again.
    pub fn has_files(&self) -> bool {
        matches!(self.driver, Some(LogDriver::JsonFile | LogDriver::Local))
    }

    /// Reads a driver's name and its options.
    ///
    /// # Errors
    /// `Unsupported` for Docker's other drivers, and for the journal where there is none; `Invalid` for anything else.
    pub fn parse(driver: Option<&str>, options: &[String]) -> Result<Self> {
        let mut log = match driver.unwrap_or("json-file") {
            "json-file" => Self::default(),
            "local" => Self { driver: Some(LogDriver::Local), max_bytes: 20_000_000, max_files: 5, ..Self::default() },
            "journald" => Self { driver: Some(LogDriver::Journald), ..Self::default() },
            "none" => Self { driver: None, ..Self::default() },
            other => {
                return Err(Error::unsupported(format!("log driver \"{other}\" is not supported"))
                    .hint("use json-file, local, journald or none"));
            }
        };
        if log.driver == Some(LogDriver::Journald) && !Path::new(monitor::log::JOURNALD).exists() {
            return Err(Error::unsupported("log driver \"journald\" is not supported here: there is no journal")
                .hint("use json-file or local"));
        }
        for option in options {
            let (name, value) = option.split_once('=').ok_or_else(|| log.unknown(option))?;
            log.read(name, value, option)?;
            log.options.insert(name.into(), value.into());
        }
        Ok(log)
    }

    fn read(&mut self, name: &str, value: &str, option: &str) -> Result<()> {
        let in_files = self.has_files();
        let invalid = |why: &str| Error::invalid(format!("invalid log option \"{option}\": {why}"));
        match name {
            "max-size" if in_files && value == "-1" => self.max_bytes = u64::MAX,
            "max-size" if in_files => self.max_bytes = bytes("max-size", value)?.max(4096),
            "max-file" if in_files => {
                let files = value.parse().ok().filter(|files| (1..=1000).contains(files));
                self.max_files = files.ok_or_else(|| invalid("it must be a number from 1 to 1000"))?;
            }
            "compress" if in_files && value == "false" => {}
            "compress" if in_files => return Err(Error::unsupported("compressed logs are not supported")),
            // Entries are on their way when they have been read: there is nothing to wait in.
            "mode" if self.driver.is_some() && matches!(value, "blocking" | "non-blocking") => {}
            "mode" if self.driver.is_some() => return Err(invalid("it is blocking or non-blocking")),
            "max-buffer-size" if self.driver.is_some() => drop(bytes("max-buffer-size", value)?),
            "tag" if self.driver.is_some() => {
                template::Template::parse(value).map_err(|error| invalid(&error.to_string()))?;
            }
            "labels" | "env" if self.driver.is_some() => {}
            _ => return Err(self.unknown(option)),
        }
        Ok(())
    }

    fn unknown(&self, option: &str) -> Error {
        let known = match self.driver {
            None => "this driver has no options",
            Some(LogDriver::Journald) => "the options are tag, labels, env, mode and max-buffer-size",
            Some(_) => "the options are max-size, max-file, tag, labels, env, mode and max-buffer-size",
        };
        Error::invalid(format!("unknown log option \"{option}\" for driver {}", self.name())).hint(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: &str, options: &[&str]) -> Result<Log> {
        Log::parse(Some(driver), &options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn drivers_have_their_options() {
        let log = parse("json-file", &["max-size=1m", "max-file=7", "tag={{.Name}}", "mode=non-blocking"]).unwrap();
        assert_eq!((log.max_bytes, log.max_files, log.options["tag"].as_str()), (1 << 20, 7, "{{.Name}}"));
        assert_eq!(parse("local", &[]).unwrap().max_files, 5);
        assert_eq!(parse("none", &[]).unwrap().driver, None);
        assert_eq!(parse("json-file", &["max-size=-1"]).unwrap().max_bytes, u64::MAX);
        for (driver, option) in [
            ("json-file", "max-size"),
            ("json-file", "max-size=x"),
            ("json-file", "max-file=0"),
            ("json-file", "mode=fast"),
            ("json-file", "tag={{"),
            ("json-file", "compress=true"),
            ("json-file", "colour=red"),
            ("none", "max-size=1m"),
            ("fluentd", ""),
        ] {
            assert!(parse(driver, &[option]).is_err(), "{driver} {option}");
        }
    }
}
