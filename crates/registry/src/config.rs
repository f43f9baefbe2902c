//! What the administrator decides about registries: section `[registry]` of tare's configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Settings of all registries. Times are given in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `HOST`, `HOST:PORT` or a network (`10.0.0.0/8`) whose registries may have certificates nobody vouches for, or
    /// none: plain HTTP is tried when TLS fails. This machine (`localhost`, `127.0.0.0/8`, `[::1]`) always belongs here.
    pub insecure: Vec<String>,
    /// For a registry, the hosts or URLs that are asked before it when something is pulled.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Directories with a directory for each host, as Docker has them: `DIR/HOST[:PORT]/*.crt` are further
    /// authorities, `*.cert` with its `*.key` is shown to the host. The first directory that has the host counts.
    pub ca_dirs: Vec<PathBuf>,
    /// How often a question that failed in passing is asked again.
    pub retries: u32,
    /// How long the first pause before asking again is; each further one is about twice as long.
    #[serde(deserialize_with = "seconds")]
    pub pause: Duration,
    /// The longest pause, and the longest that a registry's `Retry-After` is obeyed.
    #[serde(deserialize_with = "seconds")]
    pub longest_pause: Duration,
    /// How long a host has to accept a connection, TLS included.
    #[serde(deserialize_with = "seconds")]
    pub connect_timeout: Duration,
    /// How long a stream may stand still.
    #[serde(deserialize_with = "seconds")]
    pub stall_timeout: Duration,
    /// How long a registry has to confirm a whole upload, which it may have to copy and to hash first.
    #[serde(deserialize_with = "seconds")]
    pub commit_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: BTreeMap::new(),
            ca_dirs: ["/etc/tare/certs.d", "/etc/docker/certs.d"].map(PathBuf::from).into(),
            retries: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            commit_timeout: Duration::from_secs(900),
        }
    }
}

/// A number of seconds, whole or not, at most a day.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err(serde::de::Error::custom(format!("{seconds} is not a number of seconds between 0 and 86400")));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_a_default_and_what_is_unknown_is_refused() {
        let config: Config =
            serde_json::from_str(r#"{"insecure": ["a:5000"], "stall_timeout": 0.5, "pause": 2}"#).unwrap();
        assert_eq!(config.insecure, ["a:5000"]);
        assert_eq!((config.stall_timeout, config.retries), (Duration::from_millis(500), 5));
        assert_eq!(config.pause, Duration::from_secs(2));
        for bad in [r#"{"insecure_registries": []}"#, r#"{"pause": -1}"#, r#"{"pause": 1e99}"#, r#"{"pause": "1s"}"#] {
            assert!(serde_json::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }
}
