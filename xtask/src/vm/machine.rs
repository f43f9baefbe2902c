//! One run of the virtual machine: its console is passed on and read for how the tests ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use stdx::{Context, Error, Kind, Result};

use super::Boot;
use super::kernel::Kernel;

/// Starts the machine and waits until the tests have ended or the time is over.
pub(super) fn run(dir: &Path, boot: &Boot, kernel: &Kernel, system: &Path, payload: &Path) -> Result<()> {
    let started = Instant::now();
    let mut qemu = Command::new("timeout");
    qemu.args(["--kill-after=5", &boot.limit.as_secs().to_string(), "qemu-system-x86_64"]);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G"]);
    qemu.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(&kernel.initramfs);
    let arguments = "console=ttyS0 loglevel=3 panic=-1 systemd.unit=tare-vm.target systemd.show_status=false";
    qemu.args(["-append", &format!("{arguments} init={}", boot.init)]);
    for (disk, option) in [(system, "snapshot=on"), (payload, "readonly=on")] {
        qemu.args(["-drive", &format!("file={},format=raw,if=virtio,{option}", disk.display())]);
    }
    let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context(|| "cannot run qemu".into())?;
    let console = child.stdout.take().expect("asked for as a pipe");
    let log = dir.join(format!("{}.log", boot.name));
    let code = follow(console, &log)?;
    let status = child.wait().context(|| "cannot wait for qemu".into())?;
    println!("the {} machine took {} s", boot.name, started.elapsed().as_secs());
    match code.as_deref() {
        Some("0") => Ok(()),
        Some(_) => Err(Error::new(Kind::Internal, format!("tests failed in the {} machine", boot.name))),
        None if status.code() == Some(124) => Err(Error::new(
            Kind::Internal,
            format!("the {} machine did not end in {} s", boot.name, boot.limit.as_secs()),
        )),
        None => Err(Error::new(Kind::Internal, format!("the {} machine ended early: see {log:?}", boot.name))),
    }
}

/// Keeps the console's lines, each with its second, and prints those of the tests; gives the exit code that the machine has written.
fn follow(console: impl std::io::Read, log: &Path) -> Result<Option<String>> {
    let mut file = File::create(log).context(|| format!("cannot make {log:?}"))?;
    let started = Instant::now();
    let mut code = None;
    let mut shown = false;
    for line in BufReader::new(console).split(b'\n') {
        let line = line.context(|| "cannot read the machine's console".into())?;
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        writeln!(file, "{:6.1} {line}", started.elapsed().as_secs_f32()).context(|| format!("cannot write {log:?}"))?;
        shown |= line.starts_with("vm: ");
        match line.strip_prefix("vm: exit code ") {
            Some(number) => code = Some(number.to_owned()),
            None if shown && code.is_none() => println!("{line}"),
            None => {}
        }
    }
    Ok(code)
}
