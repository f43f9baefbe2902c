//! The machine's two disks: one with a Debian system, made once, and one with what is tested.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stdx::{Context, Result};

use super::{Boot, ensure, remove};
use crate::{command, fixtures};

/// Besides the smallest system there is. Tests use the machine's own busybox too.
const PACKAGES: [&str; 3] = ["systemd", "systemd-sysv", "busybox-static"];

const RUN: &str = include_str!("run.sh");
const PLAIN: &str = include_str!("plain.sh");

/// What systemd is started for.
const UNIT: &str = "[Unit]
Description=The end-to-end tests
After=basic.target

[Service]
Type=oneshot
ExecStart=/vm/run
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
LimitNOFILE=524288
";

const TARGET: &str = "[Unit]
Description=The end-to-end tests and what they stand on
Requires=basic.target tare-vm.service
After=basic.target tare-vm.service
";

/// The disk with Debian and systemd. Both kinds of machine start from it, and write to a copy that is thrown away.
pub(super) fn system(dir: &Path) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (PACKAGES, UNIT, TARGET).hash(&mut hasher);
    // What is in it is in its name: another recipe makes another disk.
    ensure(dir, &format!("system-{:016x}.ext4", hasher.finish()), |path| {
        let tar = path.with_extension("tar");
        fixtures::debian::bootstrap(&tar, &PACKAGES)?;
        let root = path.with_extension("root");
        remove(&root)?;
        fs::create_dir_all(root.join("vm")).context(|| format!("cannot make {root:?}"))?;
        command::run(Command::new("tar").arg("-C").arg(&root).arg("-xpf").arg(&tar).args(["--exclude=./dev/*"]))?;
        for (name, text) in [("tare-vm.service", UNIT), ("tare-vm.target", TARGET)] {
            write(&root.join("etc/systemd/system").join(name), text, 0o644)?;
        }
        // A machine without an identity is set up by asking.
        write(&root.join("etc/machine-id"), "7461726500000000000000000000766d\n", 0o444)?;
        make_image(&root, path, "600M")?;
        remove(&root)?;
        remove(&tar)
    })
}

/// The disk with the programs, the images of the tests, and what to run.
pub(super) fn payload(
    dir: &Path,
    boot: &Boot,
    words: &[String],
    programs: &[PathBuf; 2],
    images: &[PathBuf],
) -> Result<PathBuf> {
    let root = dir.join("payload");
    remove(&root)?;
    let fixtures = root.join("fixtures");
    fs::create_dir_all(&fixtures).context(|| format!("cannot make {fixtures:?}"))?;
    for (from, name) in programs.iter().zip(["tare", "e2e"]) {
        // The disk is read through an emulated processor: what only a debugger reads stays out.
        let mut strip = Command::new("strip");
        command::run(strip.arg("-o").arg(root.join(name)).arg(from))?;
    }
    for image in images {
        let to = fixtures.join(image.file_name().unwrap_or_default());
        fs::hard_link(image, &to)
            .or_else(|_| fs::copy(image, &to).map(drop))
            .context(|| format!("cannot copy {image:?}"))?;
    }
    write(&root.join("run"), RUN, 0o755)?;
    write(&root.join("plain"), PLAIN, 0o755)?;
    write(&root.join("environment"), &format!("export TARE_CGROUP_DRIVER={}\n", boot.driver), 0o644)?;
    let given: Vec<&str> = words.iter().map(String::as_str).collect();
    let filters = if given.is_empty() { boot.filters } else { &given };
    let skip = boot.skip.iter().flat_map(|name| ["--skip", name]);
    let arguments: Vec<&str> = filters.iter().copied().chain(skip).collect();
    write(&root.join("arguments"), &arguments.join(" "), 0o644)?;
    let image = dir.join("payload.ext4");
    remove(&image)?;
    make_image(&root, &image, "400M")?;
    remove(&root)?;
    Ok(image)
}

fn make_image(root: &Path, image: &Path, size: &str) -> Result<()> {
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"]).arg(root).arg(image).arg(size);
    command::run(mke2fs.stdout(Stdio::null()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let written = fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    written.context(|| format!("cannot write {path:?}"))
}
