//! SPDX licence expressions, as far as packages use them.

/// Licences under which code may be linked into one static binary without conditions on the rest of it.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Whether the expression can be met with permissive licences alone: any one of an `OR`, every one of an `AND`.
pub(super) fn is_permissive(expression: &str) -> bool {
    // "MIT/Apache-2.0" is the older way to write "OR".
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> bool {
    let mut met = all_of(words);
    while take(words, "OR") {
        met |= all_of(words);
    }
    met
}

fn all_of(words: &mut &[&str]) -> bool {
    let mut met = one(words);
    while take(words, "AND") {
        met &= one(words);
    }
    met
}

fn one(words: &mut &[&str]) -> bool {
    if take(words, "(") {
        return any_of(words) & take(words, ")");
    }
    let Some((name, rest)) = words.split_first() else { return false };
    *words = rest;
    if take(words, "WITH") {
        let Some((exception, rest)) = words.split_first() else { return false };
        *words = rest;
        return PERMISSIVE.contains(&format!("{name} WITH {exception}").as_str()) || PERMISSIVE.contains(name);
    }
    PERMISSIVE.contains(name)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    let found = words.first() == Some(&word);
    if found {
        *words = &words[1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::is_permissive;

    #[test]
    fn an_alternative_needs_one_and_a_sum_needs_all() {
        for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(is_permissive(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND LGPL-2.1", "(MIT", "MPL-2.0"] {
            assert!(!is_permissive(bad), "{bad}");
        }
        assert!(is_permissive("Apache-2.0 WITH LLVM-exception OR MIT"));
    }
}
