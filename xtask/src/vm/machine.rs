//! One run of the virtual machine: its console is passed on and read for how the tests ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use stdx::{Context, Error, Kind, Result};

use super::Boot;
use super::kernel::Kernel;

/// How many of the console's lines an error repeats.
const TAIL: usize = 40;

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
    let console = follow(console, &log)?;
    let status = child.wait().context(|| "cannot wait for qemu".into())?;
    let tests =
        console.passed.map_or_else(|| "no result of tests".to_owned(), |passed| format!("{passed} tests passed"));
    println!("the {} machine took {} s: {tests}", boot.name, started.elapsed().as_secs());
    let failed = match (console.code.as_deref(), console.passed) {
        (Some("0"), Some(1..)) => return Ok(()),
        (Some("0"), _) => return Err(Error::new(Kind::Internal, format!("no test ran in the {} machine", boot.name))),
        (Some(_), Some(_)) => {
            return Err(Error::new(Kind::Internal, format!("tests failed in the {} machine", boot.name)));
        }
        (Some(code), None) => format!("the tests in the {} machine ended with {code} and no result", boot.name),
        (None, _) if status.code() == Some(124) => {
            format!("the {} machine did not end in {} s and was killed", boot.name, boot.limit.as_secs())
        }
        (None, _) => format!("the {} machine ended early", boot.name),
    };
    Err(Error::new(Kind::Internal, format!("{failed}; the end of its console ({log:?}):\n{}", console.tail())))
}

/// What the console has told.
#[derive(Default)]
struct Console {
    /// How the tests have ended, as the machine wrote it.
    code: Option<String>,
    /// How many tests passed, by the summary of the test program.
    passed: Option<u32>,
    last: VecDeque<String>,
}

impl Console {
    fn line(&mut self, line: &str) {
        if let Some(code) = line.strip_prefix("vm: exit code ") {
            self.code = Some(code.to_owned());
        }
        if let Some(summary) = line.strip_prefix("test result: ") {
            self.passed = passed(summary);
        }
        if self.last.len() == TAIL {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    fn tail(&self) -> String {
        self.last.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
    }
}

/// The number in `ok. 12 passed; 0 failed; …`.
fn passed(summary: &str) -> Option<u32> {
    let (before, _) = summary.split_once(" passed;")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// Keeps the console's lines, each with its second, and prints those of the tests.
fn follow(console: impl std::io::Read, log: &Path) -> Result<Console> {
    let mut file = File::create(log).context(|| format!("cannot make {log:?}"))?;
    let started = Instant::now();
    let mut told = Console::default();
    let mut shown = false;
    for line in BufReader::new(console).split(b'\n') {
        let line = line.context(|| "cannot read the machine's console".into())?;
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        writeln!(file, "{:6.1} {line}", started.elapsed().as_secs_f32()).context(|| format!("cannot write {log:?}"))?;
        shown |= line.starts_with("vm: ");
        told.line(&line);
        if shown && told.code.is_none() {
            println!("{line}");
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_tells_the_code_the_count_and_its_end() {
        let mut console = Console::default();
        (0..100).for_each(|number| console.line(&format!("line {number}")));
        assert_eq!((console.code.as_deref(), console.passed), (None, None));
        console.line("test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 9 filtered out");
        console.line("vm: exit code 101");
        assert_eq!((console.code.as_deref(), console.passed), (Some("101"), Some(12)));
        assert_eq!(console.last.len(), TAIL);
        assert!(console.tail().ends_with("vm: exit code 101"));
    }
}
