//! Taking samples in turn, and the few numbers that describe them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stdx::{Context, Error, Kind, Result};

/// Somebody who takes part: a name, and how to make the commands that are timed.
pub(crate) struct Contender<'a> {
    name: &'a str,
    commands: Box<dyn Fn() -> Vec<Command> + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'a str, command: impl Fn() -> Command + 'a) -> Self {
        Self::of_steps(name, move || vec![command()])
    }

    /// Somebody who needs several commands, one after the other.
    pub(crate) fn of_steps(name: &'a str, commands: impl Fn() -> Vec<Command> + 'a) -> Self {
        Self { name, commands: Box::new(commands) }
    }
}

/// What the numbers of a figure count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Kibibytes,
    PerSecond,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Kibibytes => "KiB",
            Self::PerSecond => "/s",
        }
    }
}

/// The samples of one contender in one measurement.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) measurement: &'static str,
    pub(crate) who: String,
    pub(crate) unit: Unit,
    sorted: Vec<f64>,
}

impl Figure {
    pub(crate) fn new(measurement: &'static str, who: &str, unit: Unit, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { measurement, who: who.to_owned(), unit, sorted: samples }
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The sample below which this share of all samples lies; not a number without samples.
    fn quantile(&self, share: f64) -> f64 {
        let index = (self.sorted.len().saturating_sub(1)) as f64 * share;
        self.sorted.get(index.round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// Runs every contender once a round, for `rounds` rounds after one to warm up, with a pause before each sample.
pub(crate) fn interleave(
    measurement: &'static str,
    contenders: &[Contender<'_>],
    rounds: usize,
    pause: Duration,
) -> Result<Vec<Figure>> {
    let mut samples = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..=rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            std::thread::sleep(pause);
            let elapsed = timed(&mut (contender.commands)())?;
            if round > 0 {
                samples.push(elapsed);
            }
        }
    }
    let figures = contenders.iter().zip(samples);
    let figures = figures.map(|(c, samples)| Figure::new(measurement, c.name, Unit::Milliseconds, samples));
    Ok(figures.collect())
}

/// Runs commands that must succeed; their milliseconds from the first spawn to the last exit.
fn timed(commands: &mut [Command]) -> Result<f64> {
    let started = Instant::now();
    commands.iter_mut().try_for_each(quiet)?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

/// Runs a command that must succeed; what it says on standard error is part of the error otherwise.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().context(|| format!("cannot run {:?}", command.get_program()))?;
    // Not `output()`: a detached container may keep the pipe open long after its engine returned.
    finish(child, command)
}

fn finish(mut child: std::process::Child, command: &Command) -> Result<()> {
    let status = child.wait().context(|| format!("cannot wait for {:?}", command.get_program()))?;
    if status.success() {
        return Ok(());
    }
    let mut said = [0; 4096];
    let count = child.stderr.as_mut().map_or(0, |pipe| std::io::Read::read(pipe, &mut said).unwrap_or(0));
    let said = String::from_utf8_lossy(&said[..count]);
    Err(Error::new(Kind::Internal, format!("{command:?} failed ({status}): {}", said.trim())))
}

/// One line a figure.
pub(crate) fn print_table(figures: &[Figure]) {
    println!("{:<40} {:<24} {:>9} {:>9} {:>9}", "measurement", "who", "median", "min", "p90");
    let mut previous = "";
    for figure in figures {
        let shown = if figure.measurement == previous { "" } else { figure.measurement };
        previous = figure.measurement;
        let (median, min, p90) = (figure.median(), figure.quantile(0.0), figure.quantile(0.9));
        println!("{shown:<40} {:<24} {median:>9.2} {min:>9.2} {p90:>9.2} {}", figure.who, figure.unit.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let figure = Figure::new("x", "y", Unit::Milliseconds, vec![3.0, 1.0, 2.0]);
        assert!((figure.median() - 2.0).abs() < f64::EPSILON);
        assert!((figure.quantile(0.0) - 1.0).abs() < f64::EPSILON);
        assert!(Figure::new("x", "y", Unit::Milliseconds, vec![]).median().is_nan());
    }
}
