use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use oci::runtime_spec::IdMapping;
use rustix::fs::{XattrFlags, setxattr};

use super::*;
use crate::testing::{Archive, CAPABILITY, Scratch, apply, names};

/// An overlay upon two layers, and what is done to it.
struct Mounted {
    scratch: Scratch,
    layers: [PathBuf; 2],
    upper: PathBuf,
    merged: PathBuf,
}

impl Mounted {
    fn new() -> Self {
        let scratch = Scratch::new();
        let [one, two, upper, work, merged] = ["one", "two", "upper", "work", "merged"].map(|name| scratch.dir(name));
        let below = Archive::new()
            .dir("etc", 0o755)
            .file("etc/passwd", b"root")
            .file("etc/group", b"root")
            .file("etc/opened", b"as it was")
            .dir("etc/sub", 0o755)
            .file("etc/sub/a", b"a")
            .file("etc/sub/b", b"b")
            .file("etc/sub/deep/x", b"x")
            .file("etc/sub/deep/y", b"y")
            .dir("gone", 0o755)
            .file("gone/in", b"")
            .file("lower", b"")
            .dir("still", 0o755)
            .file("still/here", b"")
            .link('2', "link", "etc")
            .file("whited", b"");
        let between = Archive::new().file("etc/group", b"wheel").file("etc/sub/c", b"c").file(".wh.whited", b"");
        apply(&below.finish(), &one, &[]).unwrap();
        apply(&between.finish(), &two, &[&one]).unwrap();
        let paths = [&two, &one, &upper, &work].map(|path| path.display().to_string());
        let [two_path, one_path, upper_path, work_path] = paths;
        let options = format!("lowerdir={two_path}:{one_path},upperdir={upper_path},workdir={work_path}");
        let options = CString::new(options + ",redirect_dir=off,metacopy=off,index=off").unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("overlay", &merged, "overlay", flags, options.as_c_str()).unwrap();
        Self { scratch, layers: [one, two], upper, merged }
    }

    fn changes(&self) -> Vec<String> {
        changed(&self.upper, &self.layers, &IdMaps::default())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

fn changed(upper: &Path, layers: &[PathBuf], ids: &IdMaps) -> Vec<String> {
    let layers: Vec<File> = layers.iter().map(|layer| File::open(layer).unwrap()).collect();
    let layers: Vec<_> = layers.iter().map(AsFd::as_fd).collect();
    let changes = changes(File::open(upper).unwrap(), &layers, ids).unwrap();
    changes.iter().map(|change| format!("{} {}", change.kind, lossy(&change.path))).collect()
}

#[test]
fn nothing_done_is_no_change() {
    let mounted = Mounted::new();
    assert_eq!(names(&mounted.scratch.0).len(), 5);
    assert_eq!(mounted.changes(), [] as [&str; 0]);
    // Copied up, and left as it was.
    drop(File::options().append(true).open(mounted.merged.join("etc/opened")).unwrap());
    assert!(mounted.upper.join("etc/opened").exists());
    assert_eq!(mounted.changes(), [] as [&str; 0]);
}

#[test]
fn what_is_done_is_told() {
    let mounted = Mounted::new();
    let at = |path: &str| mounted.merged.join(path);
    fs::write(at("etc/passwd"), "root, too").unwrap();
    fs::remove_file(at("etc/group")).unwrap();
    fs::write(at("etc/new"), "").unwrap();
    fs::create_dir_all(at("new/dir")).unwrap();
    fs::write(at("new.file"), "").unwrap();
    fs::remove_dir_all(at("gone")).unwrap();
    fs::remove_file(at("link")).unwrap();
    fs::create_dir(at("link")).unwrap();
    symlink("x", at("link/x")).unwrap();
    fs::remove_file(at("lower")).unwrap();
    fs::write(at("lower"), "again").unwrap();
    fs::write(at("whited"), "again").unwrap();
    fs::write(at("short"), "").unwrap();
    fs::remove_file(at("short")).unwrap();
    fs::set_permissions(at("still"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(
        mounted.changes(),
        [
            "C /etc",
            "D /etc/group",
            "A /etc/new",
            "C /etc/passwd",
            "D /gone",
            "C /link",
            "A /link/x",
            "C /lower",
            "A /new",
            "A /new/dir",
            "A /new.file",
            "C /still",
            "A /whited",
        ]
    );
}

#[test]
fn a_replaced_directory_tells_what_is_gone_from_it() {
    let mounted = Mounted::new();
    let at = |path: &str| mounted.merged.join(path);
    fs::remove_dir_all(at("etc/sub")).unwrap();
    fs::create_dir_all(at("etc/sub/deep")).unwrap();
    fs::write(at("etc/sub/b"), "new").unwrap();
    fs::write(at("etc/sub/deep/x"), "new").unwrap();
    let expected = [
        "C /etc",
        "C /etc/sub",
        "D /etc/sub/a",
        "C /etc/sub/b",
        "D /etc/sub/c",
        "C /etc/sub/deep",
        "C /etc/sub/deep/x",
        "D /etc/sub/deep/y",
    ];
    assert_eq!(mounted.changes(), expected);
}

#[test]
fn owners_and_capabilities_count_as_the_container_sees_them() {
    let scratch = Scratch::new();
    let [lower, upper] = ["lower", "upper"].map(|name| scratch.dir(name));
    for (layer, owner) in [(&lower, 7), (&upper, 100_007)] {
        for name in ["same", "owner", "capability"] {
            fs::write(layer.join(name), "").unwrap();
            chown(layer.join(name), Some(owner), Some(owner)).unwrap();
            File::open(layer.join(name)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }
    chown(upper.join("owner"), Some(100_008), Some(100_007)).unwrap();
    setxattr(upper.join("capability"), "security.capability", &CAPABILITY, XattrFlags::empty()).unwrap();
    let range = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
    let ids = IdMaps { users: range.clone(), groups: range };
    assert_eq!(changed(&upper, std::slice::from_ref(&lower), &ids), ["C /capability", "C /owner"]);
    assert_eq!(changed(&upper, &[lower], &IdMaps::default()).len(), 3);
}
