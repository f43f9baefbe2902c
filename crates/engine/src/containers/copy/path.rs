//! What a path on the command line says besides where it leads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path from the root on, `.` and `..` worked out as text, as Docker does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Without a slash at either end; empty: the root.
    path: Vec<u8>,
    /// It ends in `/.`: what is in the directory is meant, not the directory.
    contents: bool,
    /// It ends in a slash or in `/.`.
    directory: bool,
    /// For the kernel: with what says that it is a directory.
    lookup: Vec<u8>,
}

impl Named {
    pub(super) fn new(path: &Path) -> Self {
        let bytes = path.as_os_str().as_bytes();
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in bytes.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let contents = bytes == b"." || bytes.ends_with(b"/.") || parts.is_empty();
        let directory = contents || bytes.ends_with(b"/");
        let path = parts.join(&b'/');
        let lookup = match (path.is_empty(), directory) {
            (true, _) => b".".to_vec(),
            (false, true) => [&path, &b"/."[..]].concat(),
            (false, false) => path.clone(),
        };
        Self { path, contents, directory, lookup }
    }

    /// The last name; `None` if only what is in the directory is meant.
    pub(super) fn name(&self) -> Option<&[u8]> {
        if self.contents { None } else { self.path.rsplit(|b| *b == b'/').next() }
    }

    pub(super) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// What to look up: a link at the end is followed if the name says that it is a directory.
    pub(super) fn lookup(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.lookup))
    }

    pub(super) fn is_directory(&self) -> bool {
        self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_paths_have_a_meaning() {
        let check = |text: &str, lookup: &str, name: Option<&str>, directory: bool| {
            let named = Named::new(Path::new(text));
            assert_eq!((named.lookup(), named.is_directory()), (Path::new(lookup), directory), "{text}");
            assert_eq!(named.name(), name.map(str::as_bytes), "{text}");
        };
        check("/a/b", "a/b", Some("b"), false);
        check("a//b/", "a/b/.", Some("b"), true);
        check("/a/b/.", "a/b/.", None, true);
        check("/a/../b/./c", "b/c", Some("c"), false);
        check("../../x", "x", Some("x"), false);
        check("/", ".", None, true);
        check("", ".", None, true);
        check(".", ".", None, true);
        check("a/..", ".", None, true);
        check("a/.b", "a/.b", Some(".b"), false);
    }
}
