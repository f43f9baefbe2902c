//! The options about health checks.

use monitor::health::OnFailure;
use oci::duration;
use oci::image_config::Healthcheck;
use stdx::{Error, Result};

#[derive(clap::Args, Debug)]
pub(crate) struct HealthArgs {
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between running the check (1m30s)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_interval: Option<String>,
    /// What to do when the container becomes unhealthy: none, kill, restart or stop
    #[arg(long, value_name = "ACTION", default_value = "none")]
    health_on_failure: String,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    health_retries: Option<i64>,
    /// Time between running the check during the start period
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_start_interval: Option<String>,
    /// Time for the container to start before failures count
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_start_period: Option<String>,
    /// Maximum time one check may take
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    health_timeout: Option<String>,
    /// Disable the health check that the image has
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    no_healthcheck: Option<bool>,
}

impl HealthArgs {
    /// What the user says of the check; the rest is the image's.
    pub(crate) fn check(&self) -> Result<Healthcheck> {
        let time = |name: &str, text: &Option<String>| -> Result<i64> {
            let Some(text) = text else { return Ok(0) };
            let invalid = || {
                Error::invalid(format!("invalid --health-{name} \"{text}\"")).hint("a time as in 30s, 1m30s or 500ms")
            };
            if text == "0" { Ok(0) } else { duration::parse(text).ok_or_else(invalid) }
        };
        let check = Healthcheck {
            test: self.health_cmd.iter().flat_map(|command| ["CMD-SHELL".to_owned(), command.clone()]).collect(),
            interval: time("interval", &self.health_interval)?,
            timeout: time("timeout", &self.health_timeout)?,
            start_period: time("start-period", &self.health_start_period)?,
            start_interval: time("start-interval", &self.health_start_interval)?,
            retries: self.health_retries.unwrap_or(0),
        };
        match self.no_healthcheck {
            Some(true) if check != Healthcheck::default() => {
                Err(Error::invalid("conflicting options: --no-healthcheck and --health-*"))
            }
            Some(true) => Ok(Healthcheck { test: vec!["NONE".to_owned()], ..check }),
            _ => Ok(check),
        }
    }

    /// What is done about an unhealthy container, whose restart policy is this.
    pub(crate) fn on_failure(&self, restart: &str) -> Result<OnFailure> {
        match self.health_on_failure.as_str() {
            "none" => Ok(OnFailure::None),
            "kill" => Ok(OnFailure::Kill),
            "stop" => Ok(OnFailure::Stop),
            "restart" if matches!(restart, "no" | "") => Ok(OnFailure::Restart),
            "restart" => Err(Error::invalid("conflicting options: --restart and --health-on-failure=restart")
                .hint("with a restart policy, --health-on-failure=kill starts the container again")),
            other => Err(Error::invalid(format!("invalid --health-on-failure \"{other}\""))
                .hint("it is none, kill, restart or stop")),
        }
    }
}
