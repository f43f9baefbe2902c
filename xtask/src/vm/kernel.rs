//! The machine's kernel, unpacked from the distribution's package and never installed, and the little file system it
//! starts from: busybox and the modules for the disks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stdx::{Context, Error, Kind, Result};

use super::{ensure, remove};
use crate::command;

/// Debian's name and Ubuntu's for the newest kernel that is made for virtual machines.
const KERNELS: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-virtual"];

/// What the machine needs before it has a disk, and what containers and tests need. Not every kernel has all of them as
/// modules.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "ext4", "overlay", "fuse"];

const INIT: &str = include_str!("initramfs.sh");

/// Where they are.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) initramfs: PathBuf,
}

/// The kernel in `dir`, unpacked if it is not there.
pub(super) fn make(dir: &Path) -> Result<Kernel> {
    let tree = ensure(dir, "kernel", unpack)?;
    let image = entry(&tree.join("boot"), "vmlinuz-")?;
    let initramfs = dir.join("initramfs.cpio");
    make_initramfs(&tree, &initramfs)?;
    Ok(Kernel { image, initramfs })
}

fn unpack(into: &Path) -> Result<()> {
    let download = into.with_extension("download");
    remove(&download)?;
    fs::create_dir_all(&download).context(|| format!("cannot make {download:?}"))?;
    let mut apt = Command::new("apt-get");
    apt.args(["download", "-qq", "-o", "APT::Sandbox::User=root"]).args(packages()?).current_dir(&download);
    command::run(&mut apt)?;
    for package in list(&download)? {
        command::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(into))?;
    }
    remove(&download)?;
    let modules = modules_dir(into)?;
    let version = modules.file_name().unwrap_or_default().to_owned();
    // Where /lib is a link to /usr/lib, so it is in the package.
    let base = if into.join("lib").exists() { into.to_owned() } else { into.join("usr") };
    command::run(Command::new("depmod").arg("-b").arg(base).arg(version))
}

/// The packages that hold the kernel and its modules, behind the name that always means the newest.
fn packages() -> Result<Vec<String>> {
    let find = || KERNELS.iter().map(|name| kernel_dependencies(name)).find(|found| !found.is_empty());
    if let Some(mut found) = find().or_else(|| update().then(find).flatten()) {
        let modules: Vec<String> = found.iter().flat_map(|name| kernel_dependencies(name)).collect();
        found.extend(modules);
        return Ok(found);
    }
    Err(Error::new(Kind::NotFound, format!("no package of a kernel: looked for {}", KERNELS.join(" and "))))
}

fn update() -> bool {
    Command::new("apt-get").args(["update", "-qq"]).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn kernel_dependencies(package: &str) -> Vec<String> {
    let output = Command::new("apt-cache").args(["depends", "--important", package]).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let kernel = |name: &&str| name.starts_with("linux-image-") || name.starts_with("linux-modules-");
    names.filter(kernel).map(str::to_owned).collect()
}

/// The archive that the kernel unpacks as its first root.
fn make_initramfs(kernel: &Path, path: &Path) -> Result<()> {
    let root = path.with_extension("root");
    remove(&root)?;
    let what = || format!("cannot make {root:?}");
    for dir in ["bin", "dev", "modules", "proc", "root", "sys"] {
        fs::create_dir_all(root.join(dir)).context(what)?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context(what)?;
    fs::write(root.join("init"), INIT).context(what)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).context(what)?;
    let order = copy_modules(&modules_dir(kernel)?, &root.join("modules"))?;
    fs::write(root.join("modules/order"), order.join("\n") + "\n").context(what)?;
    let pack = "find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0";
    let archive = fs::File::create(path).context(|| format!("cannot make {path:?}"))?;
    command::run(Command::new("sh").args(["-c", pack]).current_dir(&root).stdout(archive))?;
    remove(&root)
}

/// Copies the modules and what they depend on, uncompressed; gives their names in the order in which they can be loaded.
fn copy_modules(from: &Path, to: &Path) -> Result<Vec<String>> {
    let table = from.join("modules.dep");
    let table = fs::read_to_string(&table).context(|| format!("cannot read {table:?}"))?;
    let mut order: Vec<String> = Vec::new();
    for path in MODULES.iter().flat_map(|module| load_order(&table, module)) {
        let file = path.rsplit('/').next().unwrap_or_default();
        let (name, unpack) = match file.rsplit_once('.') {
            Some((name, "xz")) => (name, "xz"),
            Some((name, "zst")) => (name, "zstd"),
            _ => (file, "cat"),
        };
        if order.iter().any(|known| known == name) {
            continue;
        }
        let mut copy = Command::new(unpack);
        if unpack != "cat" {
            copy.args(["-q", "-d", "-c"]);
        }
        let target = fs::File::create(to.join(name)).context(|| format!("cannot make module {name}"))?;
        command::run(copy.arg(from.join(path)).stdout(target))?;
        order.push(name.to_owned());
    }
    Ok(order)
}

/// `PATH: DEPENDENCY…`, each before what it needs itself: loading goes from the last to the first.
fn load_order<'a>(table: &'a str, module: &str) -> Vec<&'a str> {
    let is_it = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.split(".ko").next().is_some_and(|name| name.replace('-', "_") == module)
    };
    let line = table.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| is_it(path));
    line.map(|(path, needs)| needs.split_whitespace().rev().chain([path]).collect()).unwrap_or_default()
}

fn modules_dir(kernel: &Path) -> Result<PathBuf> {
    let dir = ["lib/modules", "usr/lib/modules"].iter().map(|dir| kernel.join(dir)).find(|dir| dir.exists());
    entry(&dir.unwrap_or_else(|| kernel.join("lib/modules")), "")
}

/// The one entry of a directory that starts like this.
fn entry(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let starts = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let found = list(dir)?.into_iter().find(starts);
    found.ok_or_else(|| Error::not_found(format!("the kernel's package has no \"{prefix}*\" in {dir:?}")))
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).context(|| format!("cannot list {dir:?}"))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn modules_are_loaded_after_what_they_need() {
        let table = "kernel/a/virtio-blk.ko.xz: kernel/a/ring.ko kernel/a/core.ko\nkernel/a/core.ko:\n";
        let order = super::load_order(table, "virtio_blk");
        assert_eq!(order, ["kernel/a/core.ko", "kernel/a/ring.ko", "kernel/a/virtio-blk.ko.xz"]);
        assert_eq!(super::load_order(table, "core"), ["kernel/a/core.ko"]);
        assert!(super::load_order(table, "ext4").is_empty());
    }
}
