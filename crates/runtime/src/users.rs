//! User and group names, looked up in the container's own `/etc/passwd` and `/etc/group`.
//!
//! Those files belong to the image: they are read with a limit, and a line that is not one is passed over.

use std::fs::File;
use std::io::Read;

use rustix::fs::OFlags;
use stdx::{Context, Error, Result};
use sys::root::Root;

/// Larger files are refused: a real one has a few kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// Whom the program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// The home directory, `/` where the file names none.
    pub(crate) home: String,
}

/// Finds `user` (`name|uid[:group|gid]`, empty: root) and `extra_groups` (names or numbers) in the files of `root`.
/// Without a group the user's groups of `/etc/group` are added.
pub(crate) fn resolve(root: &Root, user: &str, extra_groups: &[String]) -> Result<Identity> {
    let passwd = read(root, "etc/passwd")?;
    let group = read(root, "etc/group")?;
    lookup(user, extra_groups, &passwd, &group)
}

/// Finds the owner `user[:group]`, names or numbers, as `--chown` means it: a user that is a number has the group of the
/// same number.
pub fn owner(root: &Root, text: &str) -> Result<(u32, u32)> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let group = group.filter(|group| !group.is_empty());
    let (uid, own) = match user.parse::<u32>() {
        Ok(number) => (number, number),
        Err(_) if user.is_empty() => (0, 0),
        Err(_) => {
            let identity = resolve(root, user, &[])?;
            (identity.uid, identity.gid)
        }
    };
    let gid = match group {
        None => own,
        Some(group) => match group.parse() {
            Ok(number) => number,
            Err(_) => group_number(group, &read(root, "etc/group")?)?,
        },
    };
    Ok((uid, gid))
}

/// The home directory of `uid`.
pub(crate) fn home_of(root: &Root, uid: u32) -> Result<String> {
    let passwd = read(root, "etc/passwd")?;
    Ok(entries(&passwd).find(|entry| entry.uid == uid).map_or("/".into(), |entry| entry.home.to_owned()))
}

fn read(root: &Root, path: &str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(fd) = root.open(path, flags) else { return Ok(String::new()) };
    let regular = sys::root::file_type(&fd).is_ok_and(|kind| kind.is_file());
    let mut bytes = Vec::new();
    if regular {
        File::from(fd)
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .context(|| format!("cannot read \"/{path}\" of the image"))?;
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::invalid(format!("\"/{path}\" of the image is larger than {MAX_FILE} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).filter(|home| !home.is_empty()).unwrap_or("/");
        Some(Entry { name, uid, gid, home })
    })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

fn lookup(user: &str, extra_groups: &[String], passwd: &str, group: &str) -> Result<Identity> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    // A name wins over a number, as a user may be called "100".
    let entry = entries(passwd).find(|entry| entry.name == user);
    let number = user.parse::<u32>().ok();
    let entry = entry.or_else(|| entries(passwd).find(|entry| Some(entry.uid) == number));
    let (uid, mut gid, name, home) = match (entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, Some(entry.name), entry.home),
        (None, Some(uid)) => (uid, 0, None, "/"),
        (None, None) => {
            return Err(Error::not_found(format!("unable to find user {user}: no matching entries in passwd file")));
        }
    };
    let mut all = Vec::new();
    match wanted_group {
        Some(wanted) => gid = group_number(wanted, group)?,
        None => {
            let member = |entry: &Group<'_>| name.is_some_and(|name| entry.members.split(',').any(|m| m == name));
            all.extend(groups(group).filter(member).map(|entry| entry.gid));
        }
    }
    for wanted in extra_groups {
        all.push(group_number(wanted, group)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|gid| seen.insert(*gid));
    Ok(Identity { uid, gid, groups: all, home: home.to_owned() })
}

fn group_number(wanted: &str, group: &str) -> Result<u32> {
    let named = groups(group).find(|entry| entry.name == wanted).map(|entry| entry.gid);
    named
        .or_else(|| wanted.parse().ok())
        .ok_or_else(|| Error::not_found(format!("unable to find group {wanted}: no matching entries in group file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34:w:/var/www:/bin/false\n100:x:7:8:n:/seven:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\naudio:x:29:web,other\nbad:x\nvideo:x:44:other,web\n";

    fn ids(user: &str, extra: &[&str]) -> Result<Identity> {
        let extra: Vec<String> = extra.iter().map(|&s| s.into()).collect();
        lookup(user, &extra, PASSWD, GROUP)
    }

    #[test]
    fn names_numbers_and_groups() {
        let web = ids("web", &[]).unwrap();
        assert_eq!((web.uid, web.gid, web.groups.as_slice(), web.home.as_str()), (33, 34, &[29, 44][..], "/var/www"));
        assert_eq!(ids("33", &[]).unwrap(), web, "a known number has the user's groups");
        let bare = ids("web:audio", &["video", "1234", "video"]).unwrap();
        assert_eq!((bare.gid, bare.groups.as_slice()), (29, &[44, 1234][..]));
        assert_eq!(ids("100", &[]).unwrap().uid, 7, "a name wins over a number");
        assert_eq!(ids("4321", &[]).unwrap().home, "/");
        assert_eq!(ids("", &[]).unwrap().home, "/root");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(ids("nobody", &[]).is_err());
        assert!(ids("web:nogroup", &[]).is_err());
        assert!(ids("-1", &[]).is_err());
    }
}
