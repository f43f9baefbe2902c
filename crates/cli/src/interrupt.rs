//! Ctrl-C while an image is on its way. Everything stops at once, whatever it waits for: this program executes itself,
//! which ends all its threads and lets go of its locks, and then takes away what is of use to nobody: layers half
//! unpacked, an archive half written. What has arrived of blobs stays for the next attempt.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use engine::Engine;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use stdx::{Context, Error, Result};
use sys::signal::{self, SignalFd};

/// The argument that makes this program clean up after itself: a signal, a container, a file; empty if there is none.
pub(crate) const ARGUMENT: &str = "__interrupted";

/// What ends a program that a person or a script has enough of.
const SIGNALS: [i32; 3] = [signal::INT, signal::TERM, signal::HUP];

/// While it lives, the process can be interrupted without leaving anything. Begun before any thread that works.
pub(crate) struct Interruptible {
    /// Closed to end the thread that waits.
    end: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// What is to be put right after an interruption, apart from scratch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Undo<'a> {
    /// A container that stands still meanwhile.
    pub(crate) container: Option<&'a str>,
    /// A file that is being written.
    pub(crate) file: Option<PathBuf>,
}

impl Interruptible {
    pub(crate) fn begin(engine: &Engine, undo: &Undo<'_>) -> Result<Self> {
        let message = || "cannot collect signals".to_owned();
        let mut signals = SignalFd::new(&SIGNALS).context(message)?;
        let (ended, end) = pipe_with(PipeFlags::CLOEXEC).context(message)?;
        let mut arguments = own_arguments(engine);
        let container = undo.container.unwrap_or_default().into();
        let file = undo.file.as_deref().unwrap_or(Path::new("")).as_os_str().to_owned();
        let wait = move || {
            let Some(number) = wait_for(&mut signals, &ended) else { return };
            arguments.extend([number.to_string().into(), container, file]);
            // Nothing is left to do but to end.
            let _ = crate::execute(Path::new("/proc/self/exe"), arguments);
            std::process::exit(128 + number);
        };
        let thread = std::thread::Builder::new().name("interrupt".to_owned()).spawn(wait).context(message)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        signal::unblock(&SIGNALS);
    }
}

fn wait_for(signals: &mut SignalFd, ended: &OwnedFd) -> Option<i32> {
    loop {
        if let Ok(Some(number)) = signals.read() {
            return Some(number);
        }
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)];
        let polled = poll(&mut fds, None);
        if polled.is_ok() && !fds[1].revents().is_empty() {
            return None;
        }
    }
}

fn own_arguments(engine: &Engine) -> Vec<OsString> {
    let dirs = engine.dirs();
    let words = ["--root".into(), dirs.root.clone().into(), "--run-root".into(), dirs.run.clone().into()];
    words.into_iter().chain([ARGUMENT.into()]).collect()
}

/// What the program does that was executed instead; the exit code.
pub(crate) fn clean_up(engine: &Engine, arguments: &[OsString]) -> Result<i32> {
    // A second Ctrl-C ends this too.
    signal::reset();
    let [number, container, file] = arguments else { return Err(Error::invalid("three arguments are needed")) };
    let number: i32 = number.to_str().and_then(|text| text.parse().ok()).unwrap_or(signal::INT);
    if let Some(id) = container.to_str().filter(|id| !id.is_empty()) {
        engine::containers::commit::thaw(engine, id)?;
    }
    if !file.is_empty() {
        // It may be whole and in its place already.
        let _ = std::fs::remove_file(file);
    }
    engine.store()?.sweep_own()?;
    Ok(128 + number)
}
