//! The mounts of a configuration, with every option of the specification.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::Tare;
use serde_json::{Value, json};

use super::Bundle;

fn add(bundle: &Bundle<'_>, mount: &Value) {
    bundle.change(|config| config["mounts"].as_array_mut().unwrap().push(mount.clone()));
}

fn mount(arguments: &[&str], target: &Path) {
    assert!(Command::new("mount").args(arguments).arg(target).status().unwrap().success(), "{arguments:?}");
}

/// A directory of the host with a filesystem mounted in it; taken down with the test's files.
fn tree(tare: &Tare) -> PathBuf {
    let dir = tare.dir("tree");
    mount(&["-t", "tmpfs", "tree"], &dir);
    fs::create_dir(dir.join("below")).unwrap();
    mount(&["-t", "tmpfs", "below"], &dir.join("below"));
    dir
}

/// The same of directories of one filesystem, which is likelier to be able to map owners.
fn tree_of_binds(tare: &Tare) -> PathBuf {
    let (dir, other) = (tare.dir("tree"), tare.dir("other"));
    mount(&["--bind", dir.to_str().unwrap()], &dir);
    fs::create_dir(dir.join("below")).unwrap();
    mount(&["--bind", other.to_str().unwrap()], &dir.join("below"));
    dir
}

/// The line of `/proc/self/mountinfo` for a target, in what a container has said.
fn line<'a>(text: &'a str, target: &str) -> &'a str {
    let found = text.lines().find(|line| line.split(' ').nth(4) == Some(target));
    found.unwrap_or_else(|| panic!("{target} in {text}"))
}

/// The options of the mount, and the propagation after them.
fn options<'a>(text: &'a str, target: &str) -> &'a str {
    line(text, target).splitn(6, ' ').nth(5).unwrap().split(" - ").next().unwrap().trim()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn recursive_attributes_reach_the_mounts_below() {
    let tare = Tare::empty();
    let source = tree(&tare);
    let bundle = Bundle::new(&tare, "cat /proc/self/mountinfo");
    let bind = |target: &str, options: &[&str]| {
        let options = [&["rbind"], options].concat();
        add(&bundle, &json!({ "destination": target, "source": source, "options": options }));
    };
    bind("/flat", &["ro", "nosuid", "nodev", "noexec", "noatime", "nosymfollow"]);
    bind("/deep", &["rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnosymfollow"]);
    bind("/mixed", &["rro", "rw", "rnosuid", "rsuid", "rstrictatime", "rnodiratime"]);
    let text = bundle.says();
    let all = "ro,nosuid,nodev,noexec,noatime,nosymfollow";
    assert_eq!((options(&text, "/flat"), options(&text, "/flat/below")), (all, "rw,relatime"));
    assert_eq!((options(&text, "/deep"), options(&text, "/deep/below")), (all, all));
    assert_eq!(options(&text, "/mixed/below"), "ro,nodiratime");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_is_mounted_inside_is_seen_outside_only_where_asked_for() {
    let tare = Tare::empty();
    let source = tree(&tare);
    mount(&["--make-rshared"], &source);
    let bundle = Bundle::new(&tare, "cat /proc/self/mountinfo");
    for option in ["", "rprivate", "rshared", "slave", "rslave", "unbindable"] {
        let target = format!("/with{option}");
        let options: Vec<&str> = ["rbind", option].into_iter().filter(|option| !option.is_empty()).collect();
        add(&bundle, &json!({ "destination": target, "source": source, "options": options }));
    }
    let text = bundle.says();
    let tags = |target: &str| {
        let words = options(&text, target).split(' ').skip(1);
        words.map(|word| word.split(':').next().unwrap()).collect::<Vec<_>>().join(" ")
    };
    for private in ["/with", "/with/below", "/withrprivate", "/withrprivate/below"] {
        assert_eq!(tags(private), "", "{private} in {text}");
    }
    assert_eq!((tags("/withrshared"), tags("/withrshared/below")), ("shared".into(), "shared".into()), "{text}");
    assert_eq!((tags("/withrslave"), tags("/withrslave/below")), ("master".into(), "master".into()), "{text}");
    assert_eq!(tags("/withslave"), "master", "{text}");
    assert_eq!(tags("/withunbindable"), "unbindable", "{text}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn owners_are_mapped_by_the_mounts_own_mappings() {
    let tare = Tare::empty();
    let source = tree_of_binds(&tare);
    for file in ["file", "below/file"] {
        fs::write(source.join(file), "").unwrap();
        chown(source.join(file), Some(1000), Some(1001)).unwrap();
    }
    chown(&source, Some(2000), Some(2001)).unwrap();
    let targets = ["/plain", "/flat", "/deep"];
    let files = targets.map(|target| format!("{target}/file {target}/below/file")).join(" ");
    let bundle = Bundle::new(&tare, &format!("stat -c %u:%g {files}; touch /flat/new"));
    let uids =
        json!([{ "containerID": 1000, "hostID": 5, "size": 1 }, { "containerID": 2000, "hostID": 0, "size": 1 }]);
    let gids =
        json!([{ "containerID": 1001, "hostID": 6, "size": 1 }, { "containerID": 2001, "hostID": 0, "size": 1 }]);
    add(&bundle, &json!({ "destination": "/plain", "source": source, "options": ["rbind"] }));
    for (target, option) in [("/flat", "idmap"), ("/deep", "ridmap")] {
        add(
            &bundle,
            &json!({
                "destination": target, "source": source, "options": ["rbind", option],
                "uidMappings": uids, "gidMappings": gids,
            }),
        );
    }
    assert_eq!(bundle.says(), "1000:1001\n1000:1001\n5:6\n1000:1001\n5:6\n5:6\n");
    let new = fs::metadata(source.join("new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (2000, 2001));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn owners_are_mapped_by_the_containers_mappings_on_request() {
    let tare = Tare::empty();
    let source = tree_of_binds(&tare);
    fs::write(source.join("file"), "").unwrap();
    chown(source.join("file"), Some(7), Some(8)).unwrap();
    let bundle = Bundle::new(&tare, "stat -c %u:%g /plain/file /mapped/file");
    Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.dir.join("rootfs")).status().unwrap();
    open_to_all(&bundle.dir);
    bundle.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        for name in ["uidMappings", "gidMappings"] {
            config["linux"][name] = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
        }
    });
    add(&bundle, &json!({ "destination": "/plain", "source": source, "options": ["rbind"] }));
    add(&bundle, &json!({ "destination": "/mapped", "source": source, "options": ["rbind", "ridmap"] }));
    assert_eq!(bundle.says(), "65534:65534\n7:8\n");
}

/// A user without rights has to get as far as the root.
fn open_to_all(dir: &Path) {
    for dir in dir.ancestors().take_while(|dir| *dir != std::env::temp_dir()) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn mappings_that_say_nothing_are_refused() {
    let map = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
    let cases = [
        (json!({ "options": ["bind", "idmap"] }), "no user namespace"),
        (json!({ "options": ["bind", "ridmap"] }), "no user namespace"),
        (json!({ "options": ["bind", "idmap"], "uidMappings": map }), "both uidMappings and gidMappings"),
        (json!({ "type": "tmpfs", "options": ["idmap"], "uidMappings": map, "gidMappings": map }), "no bind mount"),
    ];
    for (mut mount, words) in cases {
        let tare = Tare::empty();
        let bundle = Bundle::new(&tare, "true");
        mount["destination"] = "/mapped".into();
        mount["source"] = json!(bundle.dir);
        add(&bundle, &mount);
        bundle.is_refused(words);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_tmpfs_can_start_with_what_it_hides() {
    let tare = Tare::empty();
    let bundle = Bundle::new(
        &tare,
        "cd /full; stat -c '%n %a %u:%g' . file dir dir/file; readlink link; cat dir/file; echo changed >file; cat file",
    );
    let full = bundle.dir.join("rootfs/full");
    fs::create_dir_all(full.join("dir")).unwrap();
    for file in ["file", "dir/file"] {
        fs::write(full.join(file), "as it was\n").unwrap();
    }
    fs::set_permissions(full.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(full.join("dir"), fs::Permissions::from_mode(0o1777)).unwrap();
    chown(full.join("dir/file"), Some(3), Some(4)).unwrap();
    std::os::unix::fs::symlink("/elsewhere", full.join("link")).unwrap();
    add(
        &bundle,
        &json!({ "destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"] }),
    );
    let expected = ". 755 0:0\nfile 640 0:0\ndir 1777 0:0\ndir/file 644 3:4\n/elsewhere\nas it was\nchanged\n";
    assert_eq!(bundle.says(), expected);
    assert_eq!(fs::read_to_string(full.join("file")).unwrap(), "as it was\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_target_is_made_of_the_kind_of_its_source() {
    let tare = Tare::empty();
    let (file, dir) = (tare.file("source", "content"), tare.dir("source-dir"));
    let bundle = Bundle::new(&tare, "cat /made/file; test -d /made/dir && echo; stat -c %F /dev/pipe");
    bundle.change(|config| config["root"]["readonly"] = false.into());
    add(&bundle, &json!({ "destination": "/made/file", "source": file, "options": ["bind"] }));
    add(&bundle, &json!({ "destination": "/made/dir", "source": dir, "options": ["rbind"] }));
    let pipe = tare.dir("source-dir").join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    add(&bundle, &json!({ "destination": "/dev/pipe", "source": pipe, "options": ["bind"] }));
    assert_eq!(bundle.says(), "content\nfifo\n");
    add(&bundle, &json!({ "destination": "/bin", "source": file, "options": ["bind"] }));
    bundle.is_refused("cannot mount on \"/bin\"");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_mount_that_is_there_can_be_changed() {
    let tare = Tare::empty();
    let source = tree(&tare);
    let bundle = Bundle::new(&tare, "cat /proc/self/mountinfo");
    add(&bundle, &json!({ "destination": "/tree", "source": source, "options": ["rbind"] }));
    add(&bundle, &json!({ "destination": "/tree", "options": ["bind", "remount", "ro", "noexec"] }));
    add(&bundle, &json!({ "destination": "/tree/below", "options": ["remount", "nodev"] }));
    let text = bundle.says();
    assert_eq!(options(&text, "/tree"), "ro,noexec,relatime");
    assert_eq!(options(&text, "/tree/below"), "rw,nodev,relatime");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn options_of_filesystems_are_theirs() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /proc/self/mountinfo");
    let words =
        ["sync", "dirsync", "lazytime", "silent", "loud", "iversion", "noiversion", "nomand", "async", "defaults"];
    let new = [&words[..], &["size=64k"]].concat();
    add(&bundle, &json!({ "destination": "/new", "type": "tmpfs", "source": "named", "options": new }));
    let bind = [&words[..], &["bind"]].concat();
    add(&bundle, &json!({ "destination": "/bound", "source": tare.dir("bound"), "options": bind }));
    let text = bundle.says();
    let new = line(&text, "/new").split(" - ").nth(1).unwrap();
    assert!(new.starts_with("tmpfs named rw,sync,dirsync,lazytime") && new.contains("size=64k"), "{new}");
    line(&text, "/bound");
    add(&bundle, &json!({ "destination": "/bound", "source": "/", "options": ["bind", "nonsense"] }));
    bundle.is_refused("nonsense");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_root_is_shared_as_asked() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /proc/self/mountinfo");
    let shared = tare.dir("shared");
    mount(&["--bind", shared.to_str().unwrap()], &shared);
    mount(&["--make-shared"], &shared);
    let rootfs = bundle.dir.join("rootfs");
    assert!(Command::new("cp").arg("-a").args([&rootfs, &shared]).status().unwrap().success());
    for (word, tag) in
        [("", ""), ("private", ""), ("shared", "shared:"), ("slave", "master:"), ("unbindable", "unbindable")]
    {
        bundle.change(|config| {
            config["root"]["path"] = json!(shared.join("rootfs"));
            config["linux"]["rootfsPropagation"] = if word.is_empty() { Value::Null } else { word.into() };
        });
        let text = bundle.says();
        let found = options(&text, "/").split(' ').skip(1).collect::<Vec<_>>().join(" ");
        assert!(found.starts_with(tag) && found.is_empty() == tag.is_empty(), "{word}: {found:?}");
        assert!(word != "slave" || !found.contains("shared"), "{found}");
    }
}

/// The container's own groups are the root of what it sees, with a cgroup namespace and without.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn control_groups_are_seen_from_the_containers_own() {
    let tare = Tare::empty();
    let bundle = Bundle::new(
        &tare,
        "cd /sys/fs/cgroup; [ ! -e pids ] || cd pids; grep -c . cgroup.procs; mkdir made && echo made; rmdir made; \
         cat /proc/self/mountinfo",
    );
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "cgroup");
        mounts
            .push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"] }));
    });
    for own_namespace in [true, false] {
        bundle.change(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|namespace| namespace["type"] != "cgroup");
            namespaces.extend(own_namespace.then(|| json!({ "type": "cgroup" })));
        });
        let text = bundle.says();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].parse::<u32>().unwrap() > 0 && lines[1] == "made", "{text}");
        let groups: Vec<&&str> = lines.iter().filter(|line| line.contains(" - cgroup")).collect();
        let root = if own_namespace { "/".to_owned() } else { format!("/{}", bundle.id) };
        assert!(!groups.is_empty() && groups.iter().all(|line| line.split(' ').nth(3) == Some(&root)), "{text}");
    }
}

/// mount(8) hands a bind's options for filesystems to nobody, and other runtimes' configurations have them.
#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn options_of_filesystems_mean_nothing_to_a_bind() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "cat /proc/self/mountinfo");
    let source = tare.dir("source");
    add(
        &bundle,
        &json!({ "destination": "/mnt", "source": source, "options": ["nosuid", "mode=755", "size=1k", "bind"] }),
    );
    let mode = fs::metadata(&source).unwrap().mode();
    assert!(options(&bundle.says(), "/mnt").contains("nosuid"));
    assert_eq!(fs::metadata(&source).unwrap().mode(), mode);
}
