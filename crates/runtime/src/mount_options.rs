//! The words of a mount's options (config.md, "Linux mount options") and what they mean.

use sys::mount::{Attributes, attribute};

/// What an option of fstab(5) means to a mount.
enum Meaning {
    Set(u64),
    Clear(u64),
    AccessTime(u64),
    Propagation(u64),
}

/// Words without a meaning here: how the kernel behaves anyway, or what concerns the messages of mount(8). Whoever counts
/// versions of files does so always, since Linux 4.17.
const NO_EFFECT: [&str; 9] =
    ["defaults", "auto", "noauto", "async", "silent", "loud", "iversion", "noiversion", "nomand"];

/// Options of every filesystem, not of a mount: they cannot differ between two mounts of one, so on a bind mount they are
/// without effect.
const OF_FILESYSTEMS: [&str; 5] = ["sync", "dirsync", "lazytime", "nolazytime", "mand"];

/// The options of a mount that are known, for `features` (config.md, "Linux mount options").
pub fn mount_options() -> Vec<String> {
    const PLAIN: [&str; 19] = [
        "atime",
        "dev",
        "diratime",
        "exec",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "nosymfollow",
        "relatime",
        "ro",
        "rw",
        "strictatime",
        "suid",
        "symfollow",
        "private",
    ];
    let propagation = ["shared", "slave", "unbindable"];
    let recursive = PLAIN.iter().chain(&propagation).map(|option| format!("r{option}"));
    let others = ["bind", "rbind", "idmap", "ridmap", "remount", "tmpcopyup"];
    let plain = PLAIN.iter().chain(&propagation).chain(&others).chain(&NO_EFFECT[0..1]).chain(&NO_EFFECT[3..]);
    let mut all: Vec<String> = plain.chain(&OF_FILESYSTEMS).map(|&option| option.to_owned()).chain(recursive).collect();
    all.sort();
    all
}

fn meaning(option: &str) -> Option<Meaning> {
    Some(match option {
        "ro" => Meaning::Set(attribute::RDONLY),
        "rw" => Meaning::Clear(attribute::RDONLY),
        "nosuid" => Meaning::Set(attribute::NOSUID),
        "suid" => Meaning::Clear(attribute::NOSUID),
        "nodev" => Meaning::Set(attribute::NODEV),
        "dev" => Meaning::Clear(attribute::NODEV),
        "noexec" => Meaning::Set(attribute::NOEXEC),
        "exec" => Meaning::Clear(attribute::NOEXEC),
        "nodiratime" => Meaning::Set(attribute::NODIRATIME),
        "diratime" => Meaning::Clear(attribute::NODIRATIME),
        "nosymfollow" => Meaning::Set(attribute::NOSYMFOLLOW),
        "symfollow" => Meaning::Clear(attribute::NOSYMFOLLOW),
        "noatime" => Meaning::AccessTime(attribute::NOATIME),
        "strictatime" => Meaning::AccessTime(attribute::STRICTATIME),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => Meaning::AccessTime(0),
        "private" => Meaning::Propagation(attribute::PRIVATE),
        "shared" => Meaning::Propagation(attribute::SHARED),
        "slave" => Meaning::Propagation(attribute::SLAVE),
        "unbindable" => Meaning::Propagation(attribute::UNBINDABLE),
        _ => return None,
    })
}

fn apply(attributes: &mut Attributes, meaning: &Meaning) {
    match *meaning {
        Meaning::Set(bit) => {
            attributes.set |= bit;
            attributes.clear &= !bit;
        }
        Meaning::Clear(bit) => {
            attributes.clear |= bit;
            attributes.set &= !bit;
        }
        Meaning::AccessTime(mode) => {
            attributes.clear |= attribute::ATIME;
            attributes.set = attributes.set & !attribute::ATIME | mode;
        }
        Meaning::Propagation(kind) => attributes.propagation = kind,
    }
}

/// The options of one mount, sorted into what they ask for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Of the mount itself.
    pub(crate) attributes: Attributes,
    /// Of the mounts below it too.
    pub(crate) recursive: Attributes,
    /// `Some(true)`: with the mounts below.
    pub(crate) bind: Option<bool>,
    pub(crate) remount: bool,
    /// `Some(true)`: the mounts below too.
    pub(crate) idmap: Option<bool>,
    pub(crate) copy_up: bool,
    /// What the filesystem itself has to understand.
    pub(crate) data: Vec<(String, Option<String>)>,
}

impl Options {
    pub(crate) fn parse(words: &[String]) -> Self {
        let mut options = Self::default();
        words.iter().for_each(|word| options.add(word));
        if options.bind.is_some() {
            options.data.retain(|(key, _)| !OF_FILESYSTEMS.contains(&key.as_str()));
        }
        options
    }

    fn add(&mut self, word: &str) {
        if let Some(known) = meaning(word) {
            return apply(&mut self.attributes, &known);
        }
        if let Some(known) = word.strip_prefix('r').and_then(meaning) {
            return apply(&mut self.recursive, &known);
        }
        match word {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "idmap" => self.idmap = Some(self.idmap.unwrap_or(false)),
            "ridmap" => self.idmap = Some(true),
            "tmpcopyup" => self.copy_up = true,
            word if NO_EFFECT.contains(&word) => {}
            other => self.data.push(match other.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (other.to_owned(), None),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_known_word_is_understood() {
        for word in mount_options().iter().filter(|word| !OF_FILESYSTEMS.contains(&word.as_str())) {
            assert!(parse(&[word]).data.is_empty(), "{word} would be the filesystem's");
        }
        assert!(parse(&["rbind", "sync", "dirsync", "lazytime"]).data.is_empty());
        assert_eq!(parse(&["sync", "size=1"]).data, [("sync".into(), None), ("size".into(), Some("1".into()))]);
    }

    #[test]
    fn the_later_word_decides() {
        let options = parse(&["ro", "rw", "nosuid", "rro", "rslave"]);
        assert_eq!((options.attributes.set, options.attributes.clear), (attribute::NOSUID, attribute::RDONLY));
        assert_eq!((options.recursive.set, options.recursive.propagation), (attribute::RDONLY, attribute::SLAVE));
        assert_eq!((parse(&["rbind", "bind"]).bind, parse(&["ridmap", "idmap"]).idmap), (Some(true), Some(true)));
    }
}
