//! Groups below a container's own, which the container or somebody else has made, and a further process is to enter.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use stdx::{Error, Result};

/// Where below the container's groups. Without any it is the groups themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subgroups {
    everywhere: Option<PathBuf>,
    /// By controller, in version 1.
    of: BTreeMap<String, PathBuf>,
}

impl Subgroups {
    /// Reads `PATH`, once, or any number of `CONTROLLER[,CONTROLLER...]:PATH`.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut groups = Self::default();
        for argument in arguments {
            let bad = |why: &str| Error::invalid(format!("invalid control group \"{argument}\": {why}"));
            let Some((controllers, path)) = argument.split_once(':') else {
                if arguments.len() > 1 {
                    return Err(bad("several need \"CONTROLLER:\" before them"));
                }
                groups.everywhere = Some(below(argument).ok_or_else(|| bad("it leads out of the container's"))?);
                continue;
            };
            let path = below(path).ok_or_else(|| bad("it leads out of the container's"))?;
            for controller in controllers.split(',') {
                if controller.is_empty() || path.to_string_lossy().contains(':') {
                    return Err(bad("it must be \"[CONTROLLER:]PATH\""));
                }
                if groups.of.insert(controller.to_owned(), path.clone()).is_some() {
                    return Err(bad("its controller is named twice"));
                }
            }
        }
        Ok(groups)
    }

    /// The same place in every hierarchy.
    pub(super) fn everywhere(&self) -> Option<&Path> {
        self.everywhere.as_deref()
    }

    /// In a hierarchy of these controllers.
    pub(super) fn of(&self, controllers: &[String]) -> Option<&Path> {
        let named = controllers.iter().find_map(|controller| self.of.get(controller));
        named.map(PathBuf::as_path).or(self.everywhere())
    }

    /// Those named that are not among `known`.
    pub(super) fn unknown(&self, known: impl Fn(&str) -> bool) -> Option<&str> {
        self.of.keys().map(String::as_str).find(|name| !known(name))
    }
}

/// The path without its first slashes, if no part of it leads up.
fn below(path: &str) -> Option<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    plain.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Subgroups> {
        Subgroups::parse(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn paths_and_controllers_are_told_apart() {
        let groups = parse(&["/a/b"]).unwrap();
        assert_eq!(groups.of(&["cpu".into()]), Some(Path::new("a/b")));
        let groups = parse(&["cpu,cpuacct:a", "pids:/b"]).unwrap();
        assert_eq!(groups.of(&["cpuacct".into()]), Some(Path::new("a")));
        assert_eq!(groups.of(&["pids".into()]), Some(Path::new("b")));
        assert_eq!((groups.of(&["memory".into()]), groups.everywhere()), (None, None));
        assert_eq!(groups.unknown(|name| name != "cpuacct"), Some("cpuacct"));
    }

    #[test]
    fn nothing_leads_out() {
        for bad in [&["../x"][..], &["cpu:a/../../b"], &["a", "b"], &["cpu:a", "cpu:b"], &[":a"], &["cpu:a:b"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
