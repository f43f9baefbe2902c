//! How a container is asked whether it is well: what the user says over what the image says.

use std::path::Path;
use std::time::Duration;

use monitor::health::{self, Health, Settings, TEMPLATE};
use monitor::state::Process;
use oci::image_config::Healthcheck;
use stdx::{Error, Result};

use crate::Engine;
use crate::containers::exec::{self, ExecOptions};
use crate::containers::record::Record;
use crate::containers::stop;

const INTERVAL: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;
/// What runs a check in shell form, if the image does not say.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// A shorter pause between checks would be no pause.
const LEAST: i64 = 1_000_000;

/// The check of a container: each thing the user does not say is the image's. `None`: it has none.
pub(crate) fn merge(user: &Healthcheck, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let image = image.cloned().unwrap_or_default();
    let or = |ours: i64, theirs: i64| if ours == 0 { theirs } else { ours };
    let merged = Healthcheck {
        test: if user.test.is_empty() { image.test } else { user.test.clone() },
        interval: or(user.interval, image.interval),
        timeout: or(user.timeout, image.timeout),
        start_period: or(user.start_period, image.start_period),
        start_interval: or(user.start_interval, image.start_interval),
        retries: or(user.retries, image.retries),
    };
    (!merged.test.is_empty()).then_some(merged)
}

/// Refuses what makes no sense.
pub(crate) fn check(health: &Healthcheck) -> Result<()> {
    let durations = [
        ("interval", health.interval),
        ("timeout", health.timeout),
        ("start period", health.start_period),
        ("start interval", health.start_interval),
    ];
    if let Some((name, _)) = durations.iter().find(|(_, time)| *time != 0 && *time < LEAST) {
        return Err(Error::invalid(format!("the health check's {name} cannot be less than 1ms")));
    }
    if health.retries < 0 {
        return Err(Error::invalid("the health check's retries cannot be negative"));
    }
    Ok(())
}

/// Whether something is executed: `NONE` takes an image's check away.
pub fn is_checked(record: &Record) -> bool {
    record.process.healthcheck.as_ref().is_some_and(|check| command(check, &record.process.shell).is_some())
}

/// How well a container is. `None`: it has no check, or none has been due yet.
pub fn health(engine: &Engine, record: &Record) -> Option<Health> {
    if is_checked(record) { Health::load(&health::file(&record.state_path(engine))) } else { None }
}

/// What the monitor is told.
pub(crate) fn settings(record: &Record) -> Option<Settings> {
    let check = record.process.healthcheck.as_ref().filter(|_| is_checked(record))?;
    let time = |nanos: i64, default| match u64::try_from(nanos) {
        Ok(0) | Err(_) => default,
        Ok(nanos) => Duration::from_nanos(nanos),
    };
    Some(Settings {
        interval: time(check.interval, INTERVAL),
        start_interval: time(check.start_interval, START_INTERVAL),
        start_period: time(check.start_period, Duration::ZERO),
        timeout: time(check.timeout, TIMEOUT),
        retries: u32::try_from(check.retries).ok().filter(|&retries| retries > 0).unwrap_or(RETRIES),
        on_failure: record.options.health_on_failure,
        stop_signal: record.process.stop_signal,
        stop_timeout: stop::patience(record, None),
    })
}

/// Writes down what a check of this container executes, now that its init is known.
pub(crate) fn write_template(engine: &Engine, record: &Record, init: i32, run_dir: &Path) -> Result<()> {
    let check = record.process.healthcheck.as_ref();
    let Some(command) = check.and_then(|check| command(check, &record.process.shell)) else { return Ok(()) };
    let options = ExecOptions { command, ..ExecOptions::default() };
    let config = exec::config(engine, record, Process::current(init)?, &options, (0, 0))?;
    config.save_template(&run_dir.join(TEMPLATE))
}

fn command(check: &Healthcheck, shell: &[String]) -> Option<Vec<String>> {
    let (form, rest) = check.test.split_first()?;
    match form.as_str() {
        "CMD" if !rest.is_empty() => Some(rest.to_vec()),
        "CMD-SHELL" if !rest.is_empty() => {
            let default = SHELL.map(str::to_owned);
            let shell = if shell.is_empty() { &default } else { shell };
            Some(shell.iter().cloned().chain([rest.join(" ")]).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(words: &[&str]) -> Healthcheck {
        Healthcheck { test: words.iter().map(|&word| word.to_owned()).collect(), ..Healthcheck::default() }
    }

    #[test]
    fn the_user_wins_thing_by_thing() {
        let image = Healthcheck { interval: 7, retries: 9, ..test(&["CMD", "true"]) };
        let user = Healthcheck { interval: 5, ..Healthcheck::default() };
        let merged = merge(&user, Some(&image)).unwrap();
        assert_eq!((merged.test, merged.interval, merged.retries), (image.test.clone(), 5, 9));
        assert_eq!(merge(&test(&["NONE"]), Some(&image)).unwrap().test, ["NONE"]);
        assert_eq!(merge(&user, None), None);
    }

    #[test]
    fn forms_are_told_apart() {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(command(&test(&["CMD", "a", "b c"]), &[]), Some(words(&["a", "b c"])));
        assert_eq!(command(&test(&["CMD-SHELL", "a; b"]), &[]), Some(words(&["/bin/sh", "-c", "a; b"])));
        assert_eq!(command(&test(&["CMD-SHELL", "a"]), &words(&["bash", "-ec"])), Some(words(&["bash", "-ec", "a"])));
        assert_eq!(command(&test(&["NONE"]), &[]), None);
        assert_eq!(command(&test(&["CMD"]), &[]), None);
    }
}
