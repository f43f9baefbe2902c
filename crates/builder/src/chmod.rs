//! `--chmod`: octal, or the symbols of chmod(1).

/// A change of modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    Octal(u32),
    Symbols(Vec<Clause>),
}

/// `u+x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// The bits of a mode that whom it is about has.
    who: u32,
    operator: char,
    what: Vec<char>,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;

impl Chmod {
    /// Reads what was written; the error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid =
            || format!("invalid chmod parameter {text:?}: it is octal, as in 0755, or symbols, as in u=rwX,go=rX");
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(invalid);
        }
        let clauses: Option<Vec<Vec<Clause>>> = text.split(',').map(clauses).collect();
        clauses.map(|clauses| Self::Symbols(clauses.concat())).ok_or_else(invalid)
    }

    /// The mode that `mode` becomes.
    pub(crate) fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbols(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_dir)),
        }
    }
}

/// `go=rX`, or with several operators `u+x-w`.
fn clauses(text: &str) -> Option<Vec<Clause>> {
    let at = text.find(['+', '-', '='])?;
    let mut who = 0;
    for c in text[..at].chars() {
        who |= match c {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => USER | GROUP | OTHERS,
            _ => return None,
        };
    }
    if who == 0 {
        who = USER | GROUP | OTHERS;
    }
    let mut clauses: Vec<Clause> = Vec::new();
    for c in text[at..].chars() {
        match c {
            '+' | '-' | '=' => clauses.push(Clause { who, operator: c, what: Vec::new() }),
            'r' | 'w' | 'x' | 'X' | 's' | 't' | 'u' | 'g' | 'o' => clauses.last_mut()?.what.push(c),
            _ => return None,
        }
    }
    Some(clauses)
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let bits = self.what.iter().fold(0, |bits, c| bits | bits_of(*c, mode, is_dir)) & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => {
                // Set-id bits of directories stay unless they are named.
                let kept = if is_dir { 0o6000 & mode } else { 0 };
                mode & !(self.who & 0o7777) | bits | kept & self.who
            }
        }
    }
}

fn bits_of(c: char, mode: u32, is_dir: bool) -> u32 {
    let copied = |shift: u32| (mode >> shift & 7) * 0o111;
    match c {
        'r' => 0o444,
        'w' => 0o222,
        'x' => 0o111,
        'X' if is_dir || mode & 0o111 != 0 => 0o111,
        's' => 0o6000,
        't' => 0o1000,
        'u' => copied(6),
        'g' => copied(3),
        'o' => copied(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_chmod_gives_them() {
        let apply = |text: &str, mode: u32, is_dir: bool| Chmod::parse(text).unwrap().apply(mode, is_dir);
        for (text, before, is_dir, after) in [
            ("755", 0o644, false, 0o755),
            ("0", 0o644, false, 0),
            ("4711", 0o644, false, 0o4711),
            ("+x", 0o644, false, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("go=", 0o777, false, 0o700),
            ("u+s,o+t", 0o755, false, 0o5755),
            ("a-w", 0o666, false, 0o444),
            ("u+x-w", 0o644, false, 0o544),
            ("o=g", 0o750, false, 0o755),
        ] {
            assert_eq!(apply(text, before, is_dir), after, "{text} of {before:o}");
        }
        for bad in ["", "8", "10000", "x", "z+x", "u+q", "u", ","] {
            assert!(Chmod::parse(bad).is_err(), "{bad}");
        }
    }
}
