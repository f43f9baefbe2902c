//! What a person sees of images on their way in and out: on a terminal one line a layer, with a bar while bytes move;
//! elsewhere a line whenever something about a layer changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::images::{pull, push};
use oci::Descriptor;
use registry::Pushed;
use rustix::stdio::{stderr, stdout};
use rustix::termios::{isatty, tcgetwinsize};
use stdx::size::human;
use store::Step;

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    Stderr,
    Nowhere,
}

/// A terminal is drawn upon this often at the most.
const FRAME: Duration = Duration::from_millis(100);
/// Cells of a bar.
const BAR: usize = 25;

/// Follows one transfer; may be told by several threads.
pub(crate) struct Transfer {
    output: Output,
    /// Rows and columns of the terminal, if it is one.
    terminal: Option<(usize, usize)>,
    layers: Mutex<Layers>,
}

#[derive(Default)]
struct Layers {
    /// Bottom first.
    lines: Vec<Line>,
    /// Lines on the terminal that are ours.
    drawn: usize,
    last: Option<Instant>,
}

/// What is known of one layer.
struct Line {
    name: String,
    words: &'static str,
    /// Bytes done and in all, while they move.
    bytes: Option<(u64, u64)>,
    /// When they began to move, and from where.
    since: Option<(Instant, u64)>,
}

impl Transfer {
    pub(crate) fn new(output: Output) -> Self {
        let size = match output {
            Output::Stdout if isatty(stdout()) => tcgetwinsize(stdout()).ok(),
            Output::Stderr if isatty(stderr()) => tcgetwinsize(stderr()).ok(),
            _ => None,
        };
        let terminal = size.map(|size| (usize::from(size.ws_row).max(4), usize::from(size.ws_col).max(20)));
        Self { output, terminal, layers: Mutex::default() }
    }

    pub(crate) fn pulling(&self, event: pull::Event<'_>) {
        match event {
            pull::Event::Layers(layers) => self.begin(layers, "Pulling fs layer"),
            pull::Event::Layer { at, step } => match step {
                Step::Exists => self.say(at, "Already exists"),
                Step::Waiting => self.say(at, "Waiting"),
                Step::Downloading { done, total } => self.move_bytes(at, "Downloading", done, total),
                Step::Downloaded => self.say(at, "Download complete"),
                Step::Extracting { done, total } => self.move_bytes(at, "Extracting", done, total),
                Step::Complete => self.say(at, "Pull complete"),
            },
        }
    }

    pub(crate) fn pushing(&self, event: push::Event<'_>) {
        match event {
            push::Event::Packing { .. } => {}
            push::Event::Layers(layers) => self.begin(layers, "Preparing"),
            push::Event::Sending { at, done, total } => self.move_bytes(at, "Pushing", done, total),
            push::Event::Sent { at, how: Pushed::Existed } => self.say(at, "Layer already exists"),
            push::Event::Sent { at, how: Pushed::Mounted } => self.say(at, "Mounted from another repository"),
            push::Event::Sent { at, how: Pushed::Uploaded } => self.say(at, "Pushed"),
        }
    }

    /// Shows how it ended; what is printed next stands below.
    pub(crate) fn finish(&self) {
        let mut layers = self.lock();
        self.draw(&mut layers);
        layers.drawn = 0;
    }

    fn begin(&self, descriptors: &[Descriptor], words: &'static str) {
        let line = |layer: &Descriptor| Line { name: layer.digest.short(), words: "", bytes: None, since: None };
        self.lock().lines = descriptors.iter().map(line).collect();
        (0..descriptors.len()).for_each(|at| self.say(at, words));
    }

    fn say(&self, at: usize, words: &'static str) {
        let mut layers = self.lock();
        let Some(line) = layers.lines.get_mut(at).filter(|line| line.words != words) else { return };
        (line.words, line.bytes, line.since) = (words, None, None);
        if self.terminal.is_some() {
            self.draw(&mut layers);
        } else {
            let text = format!("{}: {words}\n", line.name);
            self.print(&text);
        }
    }

    fn move_bytes(&self, at: usize, words: &'static str, done: u64, total: u64) {
        if self.terminal.is_none() {
            return;
        }
        let mut layers = self.lock();
        let Some(line) = layers.lines.get_mut(at) else { return };
        if line.words != words || line.since.is_none() {
            line.since = Some((Instant::now(), done));
        }
        (line.words, line.bytes) = (words, Some((done, total)));
        if layers.last.is_none_or(|last| last.elapsed() >= FRAME) {
            self.draw(&mut layers);
        }
    }

    /// Draws over what was drawn before. What does not fit onto the terminal is left out: those that have ended first.
    fn draw(&self, layers: &mut Layers) {
        let Some((rows, columns)) = self.terminal else { return };
        let shown = visible(&layers.lines, rows - 1);
        let mut text = if layers.drawn > 0 { format!("\x1b[{}A", layers.drawn) } else { String::new() };
        for line in &shown {
            let line: String = line.text().chars().take(columns - 1).collect();
            text.push_str(&format!("\r\x1b[2K{line}\n"));
        }
        // Fewer lines than before: the rest is wiped.
        text.push_str("\x1b[J");
        layers.drawn = shown.len();
        layers.last = Some(Instant::now());
        self.print(&text);
    }

    fn print(&self, text: &str) {
        match self.output {
            Output::Stdout => crate::table::out(text),
            Output::Stderr => eprint!("{text}"),
            Output::Nowhere => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many lines as there is room for, in their order: what moves goes before what has ended.
fn visible(lines: &[Line], room: usize) -> Vec<&Line> {
    let surplus = lines.len().saturating_sub(room);
    let ended = lines.iter().enumerate().filter(|(_, line)| line.bytes.is_none()).map(|(at, _)| at);
    let mut hidden: Vec<usize> = ended.take(surplus).collect();
    hidden.extend((0..lines.len()).filter(|at| lines[*at].bytes.is_some()).take(surplus - hidden.len()));
    lines.iter().enumerate().filter(|(at, _)| !hidden.contains(at)).map(|(_, line)| line).collect()
}

impl Line {
    fn text(&self) -> String {
        let Self { name, words, bytes, since } = self;
        let Some((done, total)) = *bytes else { return format!("{name}: {words}") };
        let filled = usize::try_from((done * BAR as u64).checked_div(total).unwrap_or(0)).unwrap_or(BAR).min(BAR);
        let bar = format!("{}>{}", "=".repeat(filled), " ".repeat(BAR - filled));
        let rate = since.map_or(String::new(), |(since, from)| {
            let seconds = since.elapsed().as_secs_f64();
            let rate = (done.saturating_sub(from)) as f64 / seconds;
            if seconds > 0.5 { format!("  {}/s", human(rate as u64)) } else { String::new() }
        });
        format!("{name}: {words} [{bar}] {}/{}{rate}", human(done), human(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, words: &'static str, bytes: Option<(u64, u64)>) -> Line {
        Line { name: name.to_owned(), words, bytes, since: None }
    }

    #[test]
    fn a_line_has_a_bar_while_bytes_move() {
        assert_eq!(line("abc", "Waiting", None).text(), "abc: Waiting");
        let half = line("abc", "Downloading", Some((5_000_000, 10_000_000))).text();
        assert_eq!(half, format!("abc: Downloading [{}>{}] 5MB/10MB", "=".repeat(12), " ".repeat(13)));
        let empty = line("abc", "Downloading", Some((0, 0))).text();
        assert!(empty.contains("[>"), "{empty}");
    }

    #[test]
    fn what_has_ended_makes_room_for_what_moves() {
        let lines = [
            line("a", "Pull complete", None),
            line("b", "Downloading", Some((1, 2))),
            line("c", "Pull complete", None),
            line("d", "Downloading", Some((1, 2))),
        ];
        let names = |room| -> Vec<&str> { visible(&lines, room).iter().map(|line| &line.name[..]).collect() };
        assert_eq!(names(9), ["a", "b", "c", "d"]);
        assert_eq!(names(3), ["b", "c", "d"]);
        assert_eq!(names(2), ["b", "d"]);
        assert_eq!(names(1), ["d"]);
    }
}
