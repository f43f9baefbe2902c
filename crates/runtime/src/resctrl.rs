//! Shares of caches and of memory bandwidth, through the kernel's `resctrl` filesystem (config-linux.md, "IntelRdt").
//!
//! A directory there is a class of service; the processes in its `tasks`, and what they start, have the shares that its
//! `schemata` says. A monitoring group below it counts for some of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use oci::runtime_spec::IntelRdt;
use stdx::{Context, Error, Result};

/// One container's class, and its monitoring group where it has one.
#[derive(Debug)]
pub(crate) struct Class<'a> {
    root: PathBuf,
    id: &'a str,
    config: &'a IntelRdt,
}

impl<'a> Class<'a> {
    /// The class of container `id`.
    ///
    /// # Errors
    /// No `resctrl` is mounted, or the configuration's values cannot be lines of `schemata`.
    pub(crate) fn new(id: &'a str, config: &'a IntelRdt) -> Result<Self> {
        let table = fs::read("/proc/self/mountinfo").context(|| "cannot read the mount table".into())?;
        let table = String::from_utf8_lossy(&table).into_owned();
        let mounted = table.lines().find(|line| line.contains(" - resctrl "));
        let root = mounted.and_then(|line| line.split(' ').nth(4)).ok_or_else(|| {
            Error::unsupported("cannot apply the configuration's linux.intelRdt: no resctrl filesystem is mounted")
        })?;
        Self::at(root.into(), id, config)
    }

    fn at(root: PathBuf, id: &'a str, config: &'a IntelRdt) -> Result<Self> {
        let class = Self { root, id, config };
        let bad = |what: &str| Error::invalid(format!("invalid linux.intelRdt: {what}"));
        let name = config.clos_id.as_deref().unwrap_or(id);
        if name != "/" && (name.is_empty() || name.contains('/') || [".", "..", "info", "mon_groups"].contains(&name)) {
            return Err(bad(&format!("closID \"{name}\"")));
        }
        if let Some(line) = class.lines().find(|line| line.contains('\n') || !line.contains(':')) {
            return Err(bad(&format!("\"{}\" is no line of schemata", line.escape_debug())));
        }
        match config.mem_bw_schema.as_deref().filter(|line| !line.starts_with("MB:")) {
            Some(line) => Err(bad(&format!("memBwSchema \"{line}\" does not begin with \"MB:\""))),
            None => Ok(class),
        }
    }

    /// In the order in which they are to be written.
    fn lines(&self) -> impl Iterator<Item = &'a str> {
        let old = [&self.config.l3_cache_schema, &self.config.mem_bw_schema].into_iter().flatten();
        old.chain(&self.config.schemata).map(String::as_str)
    }

    fn dir(&self) -> PathBuf {
        match self.config.clos_id.as_deref() {
            Some("/") => self.root.clone(),
            name => self.root.join(name.unwrap_or(self.id)),
        }
    }

    fn monitoring(&self) -> PathBuf {
        self.dir().join("mon_groups").join(self.id)
    }

    /// Makes what is missing and puts a process there.
    pub(crate) fn make(&self, pid: i32) -> Result<()> {
        let dir = self.dir();
        let what = || format!("cannot use the class of service {dir:?}");
        let fresh = match fs::create_dir(&dir) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error).context(what),
        };
        if fresh && self.config.clos_id.is_some() && self.lines().next().is_none() {
            // Nothing says what it is to be: it has to be there already.
            fs::remove_dir(&dir).context(what)?;
            return Err(Error::not_found(format!("{}: there is none, and no schemata to make it of", what())));
        }
        if fresh || self.config.clos_id.is_none() {
            self.lines().try_for_each(|line| write(&dir, "schemata", &format!("{line}\n")))?;
        } else {
            self.compare(&dir)?;
        }
        if self.config.enable_monitoring {
            let group = self.monitoring();
            fs::create_dir_all(&group).context(|| format!("cannot make monitoring group {group:?}"))?;
        }
        self.enter(pid)
    }

    /// Puts a process there.
    pub(crate) fn enter(&self, pid: i32) -> Result<()> {
        write(&self.dir(), "tasks", &pid.to_string())?;
        if self.config.enable_monitoring { write(&self.monitoring(), "tasks", &pid.to_string()) } else { Ok(()) }
    }

    /// A class that others have made may not be another than is asked for.
    fn compare(&self, dir: &Path) -> Result<()> {
        let path = dir.join("schemata");
        let present = fs::read_to_string(&path).context(|| format!("cannot read {path:?}"))?;
        for line in self.lines() {
            let (resource, shares) = parse(line);
            let same = present.lines().map(parse).find(|(name, _)| *name == resource);
            let same = same.is_some_and(|(_, has)| shares.iter().all(|(domain, share)| has.get(domain) == Some(share)));
            if !same {
                return Err(Error::conflict(format!("class of service {dir:?} exists and is not \"{line}\"")));
            }
        }
        Ok(())
    }

    /// Removes what was made for the container alone.
    pub(crate) fn remove(&self) -> Result<()> {
        let made = [
            self.config.enable_monitoring.then(|| self.monitoring()),
            self.config.clos_id.is_none().then(|| self.dir()),
        ];
        for dir in made.into_iter().flatten() {
            match fs::remove_dir(&dir) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).context(|| format!("cannot remove {dir:?}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    fs::write(dir.join(name), text).context(|| format!("cannot write \"{}\" to {name} of {dir:?}", text.trim_end()))
}

/// `L3:0=7f0;1=1f`: the resource, and each domain's share. Leading zeros mean nothing.
fn parse(line: &str) -> (&str, BTreeMap<&str, &str>) {
    let (resource, shares) = line.split_once(':').unwrap_or((line, ""));
    let shares = shares.split(';').filter_map(|text| text.split_once('='));
    (resource.trim(), shares.map(|(domain, share)| (domain.trim(), share.trim().trim_start_matches('0'))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(clos: Option<&str>, schemata: &[&str]) -> IntelRdt {
        let schemata = schemata.iter().map(|&line| line.to_owned()).collect();
        IntelRdt { clos_id: clos.map(str::to_owned), schemata, ..IntelRdt::default() }
    }

    /// A directory in the place of the filesystem, which makes no files by itself.
    struct Root(PathBuf);

    impl Root {
        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn root(name: &str) -> Root {
        let dir = std::env::temp_dir().join(format!("tare-resctrl-{}-{name}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Root(dir)
    }

    #[test]
    fn a_class_of_its_own_is_made() {
        let root = root("own");
        let config = IntelRdt { enable_monitoring: true, ..config(None, &["L3:0=f"]) };
        let class = Class::at(root.path().into(), "id", &config).unwrap();
        class.make(42).unwrap();
        let dir = root.path().join("id");
        assert_eq!(fs::read_to_string(dir.join("schemata")).unwrap(), "L3:0=f\n");
        assert_eq!(fs::read_to_string(dir.join("tasks")).unwrap(), "42");
        assert_eq!(fs::read_to_string(dir.join("mon_groups/id/tasks")).unwrap(), "42");
    }

    #[test]
    fn a_class_of_others_must_be_what_is_asked_for() {
        let root = root("others");
        let there = config(Some("gold"), &[]);
        assert!(Class::at(root.path().into(), "id", &there).unwrap().make(1).is_err());
        let dir = root.path().join("gold");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("schemata"), "    MB:0=100;1=100\n    L3:0=07f0;1=001f\n").unwrap();
        Class::at(root.path().into(), "id", &there).unwrap().make(1).unwrap();
        let same = config(Some("gold"), &["L3:0=7f0", "MB:1=100"]);
        Class::at(root.path().into(), "id", &same).unwrap().make(2).unwrap();
        assert_eq!(fs::read_to_string(dir.join("tasks")).unwrap(), "2");
        let other = config(Some("gold"), &["L3:0=f"]);
        assert!(Class::at(root.path().into(), "id", &other).unwrap().make(3).is_err());
        Class::at(root.path().into(), "id", &same).unwrap().remove().unwrap();
        assert!(dir.exists());
    }

    #[test]
    fn the_root_is_a_class_too_and_names_are_no_paths() {
        let root = root("root");
        fs::write(root.path().join("schemata"), "").unwrap();
        let default = config(Some("/"), &[]);
        Class::at(root.path().into(), "id", &default).unwrap().make(5).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("tasks")).unwrap(), "5");
        for bad in ["", "..", "a/b", "info"] {
            assert!(Class::at(root.path().into(), "id", &config(Some(bad), &[])).is_err(), "{bad}");
        }
        assert!(Class::at(root.path().into(), "id", &config(None, &["L3:0=f\nMB:0=1"])).is_err());
    }
}
