//! A large image from a registry on this machine into empty storage, and back: `cargo xtask bench pull`.
//!
//! Not within some minutes after many files were removed from the same ext4: making new ones is slow then, for everybody.
//!
//! Everything is in one network namespace, the registry and Docker's daemon too, so that nothing else can be reached.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stdx::{Context, Error, Kind, Result};

use crate::engines::{self, Engine};
use crate::sample::{self, Figure, Unit};
use crate::scratch::Scratch;
use crate::{budget, engines::with_registry};

const LAYERS: usize = 8;
const ROUNDS: usize = 2;
/// Between contenders: what one wrote is on the disk before the next begins.
const PAUSE: Duration = Duration::from_secs(2);

/// What is measured, and with what.
#[derive(Debug)]
pub struct Inputs {
    /// The release binary.
    pub tare: PathBuf,
    /// The program of a registry.
    pub registry: PathBuf,
    /// One with a program that needs no other file.
    pub busybox: PathBuf,
    /// A root file system of some hundred megabytes; each layer has it twice.
    pub debian: PathBuf,
    /// A directory for data roots, on an ordinary disk.
    pub scratch: PathBuf,
}

struct Registry {
    child: Child,
    address: String,
}

/// Measures and prints the tables; whether every budget that could be checked is kept.
pub fn run(inputs: &Inputs) -> Result<bool> {
    let scratch = Scratch::new(&inputs.scratch)?;
    let registry = Registry::start(&inputs.registry, &scratch)?;
    let image = format!("{}/bench/large:1", registry.address);
    let mut figures = Vec::new();
    let small = scratch.unpack(&inputs.busybox, "small")?;
    let archive = large_image(&inputs.debian, &scratch)?;
    let (mut push, mut pulls, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    let source = engines::tare(&inputs.tare, &scratch)?;
    sample::quiet(&mut source.command(["load", "-q", "-i", &archive.to_string_lossy()]))?;
    fs::remove_file(&archive).context(|| format!("cannot remove {archive:?}"))?;
    sample::quiet(&mut source.command(["tag", "large", &image]))?;
    push.push(timed(&mut source.command(["push", "-q", &image]))?.0);
    figures.push(Figure::new(budget::PUSH, budget::TARE, Unit::Milliseconds, push));
    figures.push(commit(&source, &image, &small)?);
    // Nothing is removed before the end: ext4 looks at every inode that was freed in the last minutes before it gives a
    // new one, and whoever came next would pay.
    let mut kept = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let scratch = Scratch::within(&scratch, &format!("round{round}"))?;
        for (at, engine) in with_registry(&inputs.tare, &registry.address, &scratch).into_iter().enumerate() {
            thread::sleep(PAUSE);
            rustix::fs::sync();
            let arguments: &[&str] = match engine.name.as_str() {
                budget::PODMAN => &["pull", "-q", "--tls-verify=false", &image],
                _ => &["pull", "-q", &image],
            };
            let (time, peak) = timed(&mut engine.command(arguments.iter().copied()))?;
            if pulls.len() <= at {
                pulls.push((engine.name.clone(), Vec::new()));
            }
            pulls[at].1.push(time);
            if engine.name == budget::TARE {
                peaks.push(peak);
            }
        }
        kept.push(scratch);
    }
    let pulls = pulls.into_iter().map(|(who, times)| Figure::new(budget::PULL, &who, Unit::Milliseconds, times));
    figures.extend(pulls);
    figures.push(Figure::new(budget::PULL_MEMORY, budget::TARE, Unit::Kibibytes, peaks));
    sample::print_table(&figures);
    Ok(budget::print_verdicts(&figures))
}

/// One changed file upon the large image.
fn commit(tare: &Engine, image: &str, rootfs: &Path) -> Result<Figure> {
    let program = format!("{}:/busybox:ro", rootfs.join("bin/busybox").display());
    let run = ["run", "--name=changed", "--network=none", "-v", &program, image, "/busybox", "touch", "/new"];
    sample::quiet(&mut tare.command(run))?;
    let times = (0..10).map(|_| Ok(timed(&mut tare.command(["commit", "changed", "committed"]))?.0));
    Ok(Figure::new(budget::COMMIT, budget::TARE, Unit::Milliseconds, times.collect::<Result<_>>()?))
}

/// Milliseconds from spawn to exit, and the most memory the process itself had, in KiB.
fn timed(command: &mut Command) -> Result<(f64, f64)> {
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context(|| "cannot run it".to_owned())?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    let code = loop {
        if let Some(code) = child.try_wait().context(|| "cannot wait".to_owned())? {
            break code;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).map_or(peak, |kib: f64| kib.max(peak));
        thread::sleep(Duration::from_millis(1));
    };
    let elapsed = started.elapsed().as_secs_f64() * 1000.0;
    if code.success() { Ok((elapsed, peak)) } else { Err(Error::new(Kind::Internal, format!("{command:?} failed"))) }
}

/// An archive `large` of layers that no two engines can share anything of.
fn large_image(debian: &Path, scratch: &Scratch) -> Result<PathBuf> {
    let rootfs = scratch.unpack(debian, "debian")?;
    let dir = scratch.data("image")?;
    let mut layers = Vec::new();
    for layer in 0..LAYERS {
        let name = format!("layer{layer}.tar");
        // The transformation leaves what links point to alone, but for hard links.
        let pack = |half: &str, mode: &str| {
            let transform = format!("s,^[.],layer{layer}/{half},rSh");
            let mut tar = Command::new("tar");
            tar.arg(mode).arg(dir.join(&name)).arg("-C").arg(&rootfs).args(["--transform", &transform, "."]);
            sample::quiet(&mut tar)
        };
        pack("a", "-cf")?;
        pack("b", "-rf")?;
        layers.push(name);
    }
    let digest = |name: &String| -> Result<String> {
        let output = Command::new("sha256sum").arg(dir.join(name)).output().context(|| "cannot hash".to_owned())?;
        Ok(format!("sha256:{}", String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default()))
    };
    let diff_ids: Vec<String> = layers.iter().map(digest).collect::<Result<_>>()?;
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": ["large:latest"], "Layers": layers}]);
    for (name, content) in [("config.json", config), ("manifest.json", manifest)] {
        fs::write(dir.join(name), content.to_string()).context(|| format!("cannot write {name}"))?;
    }
    let archive = scratch.data.join("large.tar");
    sample::quiet(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&dir).arg("."))?;
    fs::remove_dir_all(&dir).context(|| format!("cannot remove {dir:?}"))?;
    Ok(archive)
}

impl Registry {
    fn start(program: &Path, scratch: &Scratch) -> Result<Self> {
        let data = scratch.data("registry")?;
        let config = format!(
            "version: 0.1\nlog: {{level: info, formatter: json, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:0}}\n",
            data.display()
        );
        let config = scratch.file("registry.yml", &config)?;
        let mut command = Command::new(program);
        command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context(|| format!("cannot run {program:?}"))?;
        let mut log = BufReader::new(child.stderr.take().ok_or_else(|| Error::invalid("no standard error"))?);
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            if log.read_line(&mut line).context(|| "cannot read what the registry says".to_owned())? == 0 {
                return Err(Error::new(Kind::Internal, "the registry does not start"));
            }
        }
        let (_, rest) = line.split_once("listening on ").unwrap_or_default();
        let address = rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
        // It must not wait for somebody to read what it says.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(Self { child, address })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
