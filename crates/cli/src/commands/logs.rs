//! `tare logs`.

use std::ffi::OsString;
use std::io::Write;

use engine::Engine;
use engine::containers::{find, logs};
use monitor::log::Stream;
use stdx::{Context, Error};

use crate::error::Failure;

/// Fetch the logs of a container
#[derive(clap::Parser, Debug)]
#[command(name = "tare logs")]
pub(crate) struct Args {
    /// Follow the output until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Show only this many lines from the end
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Show only what was written since: a time (2026-01-31T12:00:00Z), seconds since 1970, or how long ago (42m)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show only what was written before: likewise
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show what the log options tag, labels and env add to each entry
    #[arg(long)]
    details: bool,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(super) fn main(engine: &Engine, args: &[OsString]) -> Result<i32, Failure> {
    let Some(args) = super::parse::<Args>(args)? else { return Ok(0) };
    let tail = match args.tail.as_str() {
        "all" | "-1" => None,
        text => Some(text.parse().map_err(|_| Error::invalid(format!("invalid number of lines \"{text}\"")))?),
    };
    let time = |text: &Option<String>| text.as_deref().map(crate::filter::point_in_time).transpose();
    let (since, until) = (time(&args.since)?, time(&args.until)?);
    let container = find::find(engine, &args.container)?;
    let details = if args.details { format!("{} ", logs::details(&container.record)?) } else { String::new() };
    let (mut stdout, mut stderr) = (std::io::stdout().lock(), std::io::stderr().lock());
    logs::logs(engine, &container, logs::Wanted { tail, follow: args.follow, since, until }, &mut |entry| {
        let stream: &mut dyn Write = if entry.stream == Stream::Stdout { &mut stdout } else { &mut stderr };
        let time = if args.timestamps { format!("{} ", entry.time) } else { String::new() };
        let line = [time.as_bytes(), details.as_bytes(), &entry.text].concat();
        match stream.write_all(&line).and_then(|()| stream.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(141),
            written => written.context(|| "cannot write the log".into()),
        }
    })?;
    stdout.flush().context(|| "cannot write the log".into())?;
    Ok(0)
}
