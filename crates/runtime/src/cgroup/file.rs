//! Reading and writing the small files of a control group.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use stdx::{Context, Error, Result};

/// Writes `value` to file `name` of group `dir`, in one write as the kernel wants it.
///
/// # Errors
/// A file that does not exist is reported as something this kernel does not have.
pub(super) fn write(dir: &Path, name: &str, value: &str) -> Result<()> {
    let path = dir.join(name);
    let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(value.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::NotFound && dir.is_dir() => Err(Error::unsupported(format!(
            "cannot set {name} to \"{value}\": this kernel's cgroups have no such setting"
        ))),
        result => result.context(|| format!("cannot set {name} of cgroup {dir:?} to \"{value}\"")),
    }
}

/// Opens file `name` of group `dir` for writing.
pub(super) fn open_write(dir: &Path, name: &str) -> Result<File> {
    let path = dir.join(name);
    OpenOptions::new().write(true).open(&path).context(|| format!("cannot open cgroup file {path:?}"))
}

/// Opens group `dir` itself.
pub(super) fn open_dir(dir: &Path) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("cannot open cgroup {dir:?}"))
}

/// Whether group `dir` has a file `name`.
pub(super) fn exists(dir: &Path, name: &str) -> bool {
    dir.join(name).exists()
}

/// The text of file `name` of group `dir`, without the last newline.
pub(super) fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(1 << 20).read_to_string(&mut text))
        .context(|| format!("cannot read cgroup file {path:?}"))?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// The number in file `name`; `max` is `u64::MAX`. 0 if it cannot be read: accounting never fails an operation.
pub(super) fn number(dir: &Path, name: &str) -> u64 {
    read(dir, name).map_or(0, |text| parse(&text))
}

/// The number behind `key` in a file of `key value` lines; 0 if there is none.
pub(super) fn keyed(dir: &Path, name: &str, key: &str) -> u64 {
    read(dir, name).map_or(0, |text| value_of(&text, key))
}

fn value_of(text: &str, key: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ').map(parse);
    text.lines().find_map(value).unwrap_or(0)
}

fn parse(text: &str) -> u64 {
    if text == "max" { u64::MAX } else { text.trim().parse().unwrap_or(0) }
}

/// The pids listed in `cgroup.procs` of `dir` and of every group below it; none if the group is gone.
pub(super) fn pids(dir: &Path) -> Result<Vec<i32>> {
    let mut all = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        let text = match fs::read_to_string(dir.join("cgroup.procs")) {
            // ENODEV: removed between open and read.
            Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(19) => continue,
            text => text.context(|| format!("cannot list the processes of cgroup {dir:?}"))?,
        };
        all.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|&pid| pid > 0));
        pending.extend(children(&dir));
    }
    Ok(all)
}

/// The groups directly below `dir`.
pub(super) fn children(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes group `dir` and the groups below it; gone is fine.
///
/// A group whose last process is just being reaped is busy for a moment: there is no event for that in v1, so it is
/// asked again, for at most two seconds.
pub(super) fn remove(dir: &Path) -> Result<()> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    loop {
        let error = match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        for child in children(dir) {
            remove(&child)?;
        }
        if error.kind() != ErrorKind::ResourceBusy && error.kind() != ErrorKind::DirectoryNotEmpty
            || std::time::Instant::now() > deadline
        {
            return Err(error).context(|| format!("cannot remove cgroup {dir:?}"));
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keyed_values_match_whole_keys() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3";
        assert_eq!(super::value_of(text, "oom_kill"), 3);
        assert_eq!(super::value_of(text, "oom"), 0);
    }
}
