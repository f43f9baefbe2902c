//! `logs`: what a container has written, from its files.

mod attributes;
mod files;

use std::collections::VecDeque;

use jiff::Timestamp;
use monitor::client::Connection;
use monitor::config::LogDriver;
use monitor::log::Stream;
use monitor::protocol::Event;
use rustix::event::{PollFd, PollFlags, poll};
use stdx::watch::DirWatch;
use stdx::{Error, Result};

use crate::Engine;
use crate::containers::attach::{self, Streams};
use crate::containers::options::Log;
use crate::containers::{Container, find};
use files::Chain;

pub use attributes::details;
pub(crate) use attributes::{attributes, journal_fields};

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub stream: Stream,
    /// RFC 3339 with nanoseconds.
    pub time: String,
    /// With its newline, unless the line was cut or never ended.
    pub text: Vec<u8>,
}

/// What of a log is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only this many entries from the end.
    pub tail: Option<usize>,
    /// Go on until the container ends.
    pub follow: bool,
    /// Only what was written between these two.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Wanted {
    fn has(&self, entry: &Entry) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        // Another program's file may hold other times: what cannot be read is shown.
        let Ok(time) = entry.time.parse::<Timestamp>() else { return true };
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
    }
}

/// Gives a container's log to `each`, the oldest entry first.
///
/// Whoever follows reads the files as they grow: one that stops reading does not keep the container waiting. It misses
/// what is rotated away before it comes to read it.
pub fn logs(
    engine: &Engine,
    container: &Container,
    wanted: Wanted,
    each: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let record = &container.record;
    let log = &record.options.log;
    refuse_unreadable(&record.name, log)?;
    let path = record.log_path(engine);
    // Before the first line is read, so that nothing falls between reading and following.
    let mut follower = match wanted.follow {
        true => Some(Follower::begin(engine, container)?),
        false => None,
    };
    let mut each = |entry: Entry| if wanted.has(&entry) { each(entry) } else { Ok(()) };
    let mut chain = Chain::open(&path, log)?;
    match wanted.tail {
        None => chain.read_on(&mut each)?,
        Some(count) => {
            let mut last: VecDeque<Entry> = VecDeque::new();
            chain.read_on(&mut |entry| {
                last.extend(wanted.has(&entry).then_some(entry));
                if last.len() > count {
                    last.pop_front();
                }
                Ok(())
            })?;
            last.into_iter().try_for_each(&mut each)?;
        }
    }
    while let Some(following) = &mut follower {
        let goes_on = following.wait()?;
        chain.read_on(&mut each)?;
        if !goes_on {
            follower = None;
        }
    }
    Ok(())
}

fn refuse_unreadable(name: &str, log: &Log) -> Result<()> {
    match log.driver {
        Some(LogDriver::JsonFile | LogDriver::Local) => Ok(()),
        None => {
            Err(Error::unsupported(format!("container {name} keeps no log"))
                .hint("it was created with --log-driver none"))
        }
        Some(LogDriver::Journald) => Err(Error::unsupported(format!("the log of container {name} is in the journal"))
            .hint(format!("read it with \"journalctl CONTAINER_NAME={name}\""))),
    }
}

/// Waits for more of a log, for as long as its container goes on.
struct Follower<'a> {
    engine: &'a Engine,
    id: String,
    watch: DirWatch,
    /// To the monitor, which tells of the end. `None` between two runs.
    connection: Option<Connection>,
}

impl<'a> Follower<'a> {
    fn begin(engine: &'a Engine, container: &Container) -> Result<Self> {
        let id = container.record.id.clone();
        let watch = DirWatch::new(&engine.dirs().container(&id))?;
        let mut follower = Self { engine, id, watch, connection: None };
        follower.connect();
        Ok(follower)
    }

    /// Waits until there may be more. `false`: this was the end.
    fn wait(&mut self) -> Result<bool> {
        if self.connection.is_none() && !self.is_in_use() {
            return Ok(false);
        }
        self.connect();
        let mut fds = vec![PollFd::new(&self.watch, PollFlags::IN)];
        fds.extend(self.connection.as_ref().map(|connection| PollFd::new(connection, PollFlags::IN)));
        // Interrupted: it is asked again.
        let _ = poll(&mut fds, None);
        let has_spoken = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        self.watch.drain();
        if has_spoken && self.has_ended()? {
            self.connection = None;
            return Ok(self.is_in_use());
        }
        Ok(true)
    }

    fn connect(&mut self) {
        if self.connection.is_none() {
            // One that cannot be reached is between two runs, or at its end.
            let found = find::find(self.engine, &self.id).ok().filter(Container::is_running);
            self.connection =
                found.and_then(|container| attach::connect(self.engine, &container, Streams::default()).ok());
        }
    }

    fn has_ended(&mut self) -> Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(true) };
        let mut ended = !connection.fill()?;
        while let Some(event) = connection.pending()? {
            ended |= matches!(event, Event::Exited(_));
        }
        Ok(ended)
    }

    fn is_in_use(&self) -> bool {
        find::find(self.engine, &self.id).is_ok_and(|container| container.is_in_use())
    }
}
