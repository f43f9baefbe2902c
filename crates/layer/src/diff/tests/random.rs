//! Trees of everything at random, there and back: through our own reader, GNU tar and Python.

use std::ffi::OsStr;
use std::io::{Seek, SeekFrom as From};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::*;

/// The same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

struct Grower {
    random: Random,
    /// Marks of the overlay, which other programs know nothing of.
    marks: bool,
    files: Vec<PathBuf>,
}

impl Grower {
    fn grow(seed: u64, marks: bool, root: &Path) {
        let mut grower = Self { random: Random(seed), marks, files: Vec::new() };
        grower.fill(root, 0);
    }

    fn fill(&mut self, dir: &Path, depth: usize) {
        for _ in 0..self.random.below(8) {
            let path = dir.join(OsStr::from_bytes(&self.name()));
            // Names come up twice.
            if fs::symlink_metadata(&path).is_err() {
                self.make(&path, depth);
            }
        }
    }

    fn name(&mut self) -> Vec<u8> {
        let names: [&[u8]; 14] = [
            b"a",
            b"a.b",
            b"a-b",
            b"A",
            b".wh",
            b"...",
            b"-n",
            b" ",
            b"new\nline",
            b"\xc3\xa9",
            b"caf\xe9",
            b"\xff",
            b"\\t",
            b"=",
        ];
        match self.random.below(6) {
            0 => vec![b'l'; 1 + self.random.below(255)],
            1 => format!("n{}", self.random.below(1000)).into_bytes(),
            _ => self.random.of(&names).to_vec(),
        }
    }

    fn make(&mut self, path: &Path, depth: usize) {
        match self.random.below(12) {
            0..=3 if depth < 5 => return self.directory(path, depth),
            4 => symlink(OsStr::from_bytes(&vec![b't'; 1 + self.random.below(400)]), path).unwrap(),
            5 if !self.files.is_empty() => {
                let target = self.files[self.random.below(self.files.len())].clone();
                return fs::hard_link(target, path).unwrap();
            }
            6 => node(path, FileType::Fifo, 0),
            7 => {
                let kind = self.random.of(&[FileType::CharacterDevice, FileType::BlockDevice]);
                node(path, kind, makedev(1 + self.random.below(4095) as u32, self.random.below(1 << 20) as u32));
            }
            8 if self.marks => return node(path, FileType::CharacterDevice, 0),
            _ => self.file(path),
        }
        self.files.push(path.to_owned());
        self.dress(path);
    }

    fn directory(&mut self, path: &Path, depth: usize) {
        fs::create_dir(path).unwrap();
        self.fill(path, depth + 1);
        if self.marks && self.random.one_in(4) {
            attribute(path, "trusted.overlay.opaque", b"y");
        }
        self.dress(path);
    }

    fn file(&mut self, path: &Path) {
        let size = self.random.of(&[0, 0, 1, 511, 512, 513, 5000, 300_000]);
        let mut file = File::create(path).unwrap();
        if self.random.one_in(4) {
            file.seek(From::Start(self.random.below(200_000) as u64)).unwrap();
        }
        file.write_all(&vec![self.random.below(256) as u8; size]).unwrap();
        if self.random.one_in(8) {
            file.set_len(self.random.below(1 << 20) as u64).unwrap();
        }
    }

    /// Owner, mode, attributes and time.
    fn dress(&mut self, path: &Path) {
        let found = meta(path);
        let ids = [0, 0, 7, 65534, 2_097_151, 2_097_152, 4_294_967_294];
        std::os::unix::fs::lchown(path, Some(self.random.of(&ids)), Some(self.random.of(&ids))).unwrap();
        if found.is_file() || found.is_dir() {
            for _ in 0..self.random.below(3) {
                let name = format!("user.{}", self.random.below(5));
                attribute(path, &name, &vec![b'\n'; self.random.below(300)]);
            }
        }
        if found.is_file() && self.random.one_in(5) {
            attribute(path, "security.capability", &CAPABILITY);
        }
        if !found.is_symlink() {
            let mode = self.random.of(&[0o644, 0o755, 0o4755, 0o2711, 0o1777, 0, 0o7777]);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let seconds = self.random.of(&[0, 1, -1, 1_700_000_000, -2_000_000_000, 8_589_934_591, 8_589_934_592]);
        touch(path, seconds, self.random.of(&[0, 1, 500_000_000, 999_999_999]));
    }
}

/// All that a tree is, without any code of ours: two with the same are the same.
fn shape(root: &Path) -> Vec<String> {
    let mut shape = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for name in names(&dir) {
            let path = dir.join(name);
            let found = meta(&path);
            let content = match () {
                () if found.is_dir() => String::new(),
                () if found.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
                () if found.is_file() => format!("{} {}", found.len(), Digest::of(&fs::read(&path).unwrap())),
                () => format!("device {}", found.rdev()),
            };
            let owner = (found.mode(), found.uid(), found.gid(), found.nlink());
            let time = (found.mtime(), found.mtime_nsec());
            let whiteout = is_white(&path);
            let attributes = ["user.0", "user.1", "user.2", "user.3", "user.4", "security.capability"];
            let attributes = attributes.map(|name| if found.is_symlink() { None } else { xattr(&path, name) });
            let inside = path.strip_prefix(root).unwrap();
            shape.push(match whiteout {
                // It has nothing else that counts.
                true => format!("{inside:?} whiteout"),
                false => format!("{inside:?} {owner:?} {time:?} {content} {attributes:x?}"),
            });
            todo.extend(found.is_dir().then_some(path));
        }
    }
    shape.sort();
    shape
}

fn assert_same(one: &Path, other: &Path, what: &str) {
    let (one, other) = (shape(one), shape(other));
    if let Some((one, other)) = one.iter().zip(&other).find(|(one, other)| one != other) {
        panic!("{what}: {one}\nis now {other}");
    }
    assert_eq!(one.len(), other.len(), "{what}");
}

#[test]
fn any_tree_comes_back_as_it_was() {
    let mut entries = 0;
    for seed in 0..60 {
        let scratch = Scratch::new();
        let [from, to] = ["from", "to"].map(|name| scratch.dir(name));
        Grower::grow(seed, true, &from);
        let (first, archive) = diffed(&from, &Options::default()).unwrap();
        let applied = apply(&archive, &to, &[]).unwrap();
        assert_eq!((applied.diff_id, applied.size), (first.diff_id, first.size), "seed {seed}");
        assert_eq!(diffed(&to, &Options::default()).unwrap().0, first, "seed {seed}");
        assert_same(&from, &to, &format!("seed {seed}"));
        entries += first.entries;
    }
    assert!(entries > 1000, "the trees are hardly any: {entries}");
}

#[test]
fn any_tree_is_what_others_read() {
    for seed in 100..115 {
        let scratch = Scratch::new();
        let [from, to] = ["from", "to"].map(|name| scratch.dir(name));
        Grower::grow(seed, false, &from);
        let (first, archive) = diffed(&from, &Options::default()).unwrap();
        fs::write(scratch.0.join("tar"), &archive).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let input = File::open(scratch.0.join("tar")).unwrap();
            let output = Command::new(program).args(arguments).stdin(input).stderr(Stdio::piped()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "seed {seed}: {program}: {said}");
            output.stdout
        };
        let options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--warning=no-unknown-keyword"];
        run("tar", &[&["-xpf", "-", "-C", to.to_str().unwrap()], &options[..]].concat());
        assert_eq!(diffed(&to, &Options::default()).unwrap().0, first, "seed {seed}: GNU tar");
        assert_same(&from, &to, &format!("seed {seed}: GNU tar"));
        let listed = run("python3", &["-c", LIST]);
        assert_eq!(String::from_utf8(listed).unwrap(), listing(&archive), "seed {seed}: Python");
    }
}

/// Name, type, mode, owner, size, whole seconds and target of each entry.
const LIST: &str = "import sys, tarfile, math
hex = lambda text: text.encode('utf-8', 'surrogateescape').hex()
for m in tarfile.open(fileobj=sys.stdin.buffer, mode='r:'):
    device = (m.devmajor, m.devminor) if m.isdev() and not m.isfifo() else (0, 0)
    link = hex(m.linkname) if m.issym() or m.islnk() else ''
    print(hex(m.name), m.type.decode(), m.mode, m.uid, m.gid, m.size, math.floor(m.mtime), *device, link)
";

fn listing(archive: &[u8]) -> String {
    let line = |entry: &Entry| {
        let path = stdx::id::hex(entry.path.strip_suffix(b"/").unwrap_or(&entry.path));
        let kind = match entry.kind {
            EntryKind::File => 0,
            EntryKind::HardLink => 1,
            EntryKind::Symlink => 2,
            EntryKind::CharDevice => 3,
            EntryKind::BlockDevice => 4,
            EntryKind::Directory => 5,
            EntryKind::Fifo => 6,
        };
        let Entry { mode, uid, gid, size, mtime, device, link, .. } = entry;
        let link = stdx::id::hex(link);
        // A number with a fraction as large as these is rounded there.
        let seconds = if mtime.1 == 999_999_999 { (mtime.0 as f64 + 0.999_999_999).floor() as i64 } else { mtime.0 };
        format!("{path} {kind} {mode} {uid} {gid} {size} {seconds} {} {} {link}\n", device.0, device.1)
    };
    entries(archive).iter().map(line).collect()
}
