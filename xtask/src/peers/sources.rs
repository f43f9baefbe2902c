//! Source packages of Debian, by an `apt` configuration of the lane's own: what this machine installs, and from where,
//! stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stdx::{Context, Error, Result};

use crate::{command, debian};

/// The release after this machine's: its archive may have what this one's lacks.
pub(crate) const NEXT: &str = "trixie";

/// The unpacked sources of a package, in `dir/sources/NAME`; fetched once. From the release of this machine, or if its
/// archive does not have them whole, from the next, which is said.
pub(super) fn fetch(dir: &Path, package: &str) -> Result<PathBuf> {
    let base = dir.join("sources");
    let tree = base.join(package);
    if tree.exists() {
        return Ok(tree);
    }
    debian::install(&["dpkg-dev", "xz-utils"])?;
    let archive = Archive::of_this_machine()?;
    let own = fetch_from(&base, package, &archive, &archive.release);
    let unpacked = own.or_else(|error| {
        println!("{error}: taking {NEXT}'s");
        fetch_from(&base, package, &archive, NEXT)
    })?;
    fs::rename(&unpacked, &tree).context(|| format!("cannot move {unpacked:?} to {tree:?}"))?;
    Ok(tree)
}

/// The unpacked sources of a package as `release` has them, in `dir/sources/NAME-RELEASE`; fetched once.
pub(super) fn fetch_of(dir: &Path, package: &str, release: &str) -> Result<PathBuf> {
    let base = dir.join("sources");
    let tree = base.join(format!("{package}-{release}"));
    if tree.exists() {
        return Ok(tree);
    }
    debian::install(&["dpkg-dev", "xz-utils"])?;
    let unpacked = fetch_from(&base, package, &Archive::of_this_machine()?, release)?;
    fs::rename(&unpacked, &tree).context(|| format!("cannot move {unpacked:?} to {tree:?}"))?;
    Ok(tree)
}

/// Where Debian's packages come from here.
struct Archive {
    uri: String,
    release: String,
}

impl Archive {
    fn of_this_machine() -> Result<Self> {
        let format = "$(ORIGIN) $(REPO_URI) $(RELEASE)";
        let targets = command::output(Command::new("apt-get").args(["indextargets", "--format", format]))?;
        // The main archive, not the one for security updates or the one between releases.
        let debian = targets.lines().filter_map(|line| line.strip_prefix("Debian ")?.split_once(' '));
        let mut main = debian.filter(|(_, release)| !release.contains('-') && !release.contains('/'));
        let (uri, release) = main.next().ok_or_else(|| Error::not_found("apt-get knows no archive of Debian"))?;
        Ok(Self { uri: uri.to_owned(), release: release.to_owned() })
    }
}

/// Downloads and unpacks one release's sources of a package; the directory is the caller's to move.
fn fetch_from(base: &Path, package: &str, archive: &Archive, release: &str) -> Result<PathBuf> {
    let apt_dir = base.join("apt").join(release);
    let download = base.join(format!("unfinished-{package}"));
    let what = || format!("cannot make {download:?}");
    let _ = fs::remove_dir_all(&download);
    fs::create_dir_all(&download).context(what)?;
    let options = configure(&apt_dir, "deb-src", archive, release)?;
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(&options).args(words).current_dir(&download).stdin(Stdio::null()).stdout(Stdio::null());
        command::run(&mut apt)
    };
    println!("fetching the sources of {package} ({release})");
    apt(&["update", "-qq"])?;
    // What arrives has been compared with the archive's signed list, file by file; all that is needed is the original.
    let fetched = apt(&["source", "-qq", "--download-only", package]);
    let original = find(&download, |name| name.contains(".orig.tar."));
    let original = original.ok_or_else(|| match fetched {
        Err(error) => error,
        Ok(()) => Error::not_found(format!("package {package:?} has no original sources")),
    })?;
    let tree = base.join(format!("unpacked-{package}"));
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir(&tree).context(what)?;
    command::run(Command::new("tar").args(["-x", "--strip-components=1", "-C"]).arg(&tree).arg("-f").arg(original))?;
    fs::remove_dir_all(&download).context(|| format!("cannot remove {download:?}"))?;
    Ok(tree)
}

/// Programs of a release, unpacked in `dir/NAME` and never installed; fetched once.
pub(crate) fn unpack(dir: &Path, name: &str, packages: &[&str], release: &str) -> Result<PathBuf> {
    let tree = dir.join(name);
    if tree.exists() {
        return Ok(tree);
    }
    let download = dir.join(format!("unfinished-{name}"));
    let what = || format!("cannot make {download:?}");
    let _ = fs::remove_dir_all(&download);
    fs::create_dir_all(download.join("tree")).context(what)?;
    let mut options =
        configure(&dir.join("sources/apt-binary").join(release), "deb", &Archive::of_this_machine()?, release)?;
    // What is installed here has no say in it.
    options.extend(["-o".to_owned(), "Dir::State::status=/dev/null".to_owned()]);
    for words in [&["update", "-qq"][..], &[&["download", "-qq"], packages].concat()] {
        let mut apt = Command::new("apt-get");
        apt.args(&options).args(words).current_dir(&download).stdin(Stdio::null()).stdout(Stdio::null());
        command::run(&mut apt)?;
    }
    let entries = fs::read_dir(&download).context(|| format!("cannot list {download:?}"))?;
    for package in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        command::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(download.join("tree")))?;
    }
    fs::rename(download.join("tree"), &tree).context(|| format!("cannot make {tree:?}"))?;
    fs::remove_dir_all(&download).context(|| format!("cannot remove {download:?}"))?;
    Ok(tree)
}

fn find(dir: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries = fs::read_dir(dir).ok()?.flatten();
    let archive = |name: &str| wanted(name) && !name.ends_with(".asc");
    entries.find(|entry| archive(&entry.file_name().to_string_lossy())).map(|entry| entry.path())
}

/// Options for `apt-get` by which it keeps its lists in `dir` and knows one release's packages: `deb-src`, its sources,
/// or `deb`.
fn configure(dir: &Path, kind: &str, archive: &Archive, release: &str) -> Result<Vec<String>> {
    let what = || format!("cannot make {dir:?}");
    fs::create_dir_all(dir.join("lists/partial")).context(what)?;
    let list = dir.join("sources.list");
    fs::write(&list, format!("{kind} {} {release} main\n", archive.uri)).context(what)?;
    let option = |name: &str, value: &Path| ["-o".to_owned(), format!("{name}={}", value.display())];
    let mut options = vec!["-o".to_owned(), "APT::Sandbox::User=root".to_owned()];
    options.extend(option("Dir::Etc::SourceList", &list));
    options.extend(option("Dir::Etc::SourceParts", Path::new("/dev/null")));
    options.extend(option("Dir::State::Lists", &dir.join("lists")));
    options.extend(option("Dir::Cache::srcpkgcache", Path::new("")));
    options.extend(option("Dir::Cache::pkgcache", Path::new("")));
    Ok(options)
}
