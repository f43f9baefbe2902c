//! The user's terminal: its size, raw mode, and the keys that leave a container.

use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use stdx::{Context, Error, Result};

/// Whether standard input is a terminal.
pub(crate) fn is_terminal() -> bool {
    isatty(stdin())
}

/// Rows and columns of the terminal; 0 if there is none.
pub(crate) fn size() -> (u16, u16) {
    [stdin(), rustix::stdio::stdout()]
        .into_iter()
        .find_map(|fd| tcgetwinsize(fd).ok())
        .map_or((0, 0), |size| (size.ws_row, size.ws_col))
}

/// Raw mode of standard input, until dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Every key goes to the container as it is typed.
    pub(crate) fn enter() -> Result<Self> {
        Self::enter_with(OutputModes::empty())
    }

    /// The same, for a container whose terminal leaves newlines to this one.
    pub(crate) fn enter_but_output() -> Result<Self> {
        Self::enter_with(OutputModes::OPOST)
    }

    fn enter_with(output: OutputModes) -> Result<Self> {
        let what = || "cannot set the terminal to raw mode".to_owned();
        let before = tcgetattr(stdin()).context(what)?;
        let mut raw = before.clone();
        raw.make_raw();
        raw.output_modes |= before.output_modes & output;
        tcsetattr(stdin(), OptionalActions::Now, &raw).context(what)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Typing without being shown, until dropped.
pub(crate) struct Hidden {
    before: Termios,
}

impl Hidden {
    pub(crate) fn enter() -> Result<Self> {
        let what = || "cannot hide what is typed".to_owned();
        let before = tcgetattr(stdin()).context(what)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(rustix::termios::LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &hidden).context(what)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Finds the detach sequence in what is typed.
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`, `a`, `ctrl-[` …; the default is ctrl-p, ctrl-q.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self> {
        let bad = |text: &str| {
            Error::invalid(format!(
                "invalid detach keys \"{text}\": use letters, ctrl-LETTER, ctrl-@ …, separated by commas"
            ))
        };
        let key = |name: &str| -> Option<u8> {
            if let [byte] = name.as_bytes() {
                return Some(*byte);
            }
            match name.strip_prefix("ctrl-")?.as_bytes() {
                [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
                [byte @ (b'@' | b'['..=b'_')] => Some(byte - b'@'),
                _ => None,
            }
        };
        let keys = match text {
            None => vec![16, 17],
            Some("") => Vec::new(),
            Some(text) => text.split(',').map(|name| key(name).ok_or_else(|| bad(text))).collect::<Result<_>>()?,
        };
        Ok(Self { keys, matched: 0 })
    }

    /// What of `typed` goes to the container; `true` if the sequence is complete. A beginning of the sequence is held
    /// back until it is clear that it is none.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (pass, true);
                }
                continue;
            }
            pass.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(self.keys.first() == Some(&byte));
            if self.matched == 0 {
                pass.push(byte);
            } else if self.keys.len() == 1 {
                return (pass, true);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_across_reads_and_false_starts_pass() {
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(keys.filter(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"b\x10\x10"), (b"\x10b\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11rest"), (Vec::new(), true));
        let mut none = DetachKeys::parse(Some("")).unwrap();
        assert_eq!(none.filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
        assert_eq!(DetachKeys::parse(Some("x,ctrl-a")).unwrap().keys, [b'x', 1]);
        assert!(DetachKeys::parse(Some("ctrl-1")).is_err());
    }
}
