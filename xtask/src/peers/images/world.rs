//! A network namespace with a registry and a Docker daemon in it, and tare and podman with stores of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stdx::{Context, Error, Kind, Result};

use crate::command;

/// The registry, as everybody inside knows it.
pub(super) const REGISTRY: &str = "127.0.0.1:5000";
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) dir: PathBuf,
    pub(super) tare: PathBuf,
    namespace: String,
    daemons: Vec<Child>,
}

impl World {
    pub(super) fn start(dir: &Path, tare: PathBuf) -> Result<Self> {
        let namespace = format!("tare-peers-{}", std::process::id());
        let mut world = Self { dir: dir.to_owned(), tare, namespace, daemons: Vec::new() };
        command::run(Command::new("ip").args(["netns", "add", &world.namespace]))?;
        command::run(Command::new("ip").args(["-n", &world.namespace, "link", "set", "lo", "up"]))?;
        let registry = dir.join("registry.yml");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {REGISTRY}}}\n",
            dir.join("registry").display()
        );
        fs::write(&registry, config).context(|| format!("cannot write {registry:?}"))?;
        world.daemon("docker-registry", &["serve", &registry.display().to_string()])?;
        let docker = dir.join("docker.json");
        let place = |name: &str| dir.join(name).display().to_string();
        let config = json!({
            "data-root": place("docker-data"), "exec-root": place("docker-exec"), "pidfile": place("docker.pid"),
            "hosts": [world.docker_host()], "storage-driver": "overlay2",
        });
        fs::write(&docker, config.to_string()).context(|| format!("cannot write {docker:?}"))?;
        world.daemon("dockerd", &["--config-file", &docker.display().to_string()])?;
        let began = Instant::now();
        while command::output(world.docker().args(["version", "--format={{.Server.Version}}"]).stderr(Stdio::null()))
            .is_err()
        {
            if began.elapsed() > PATIENCE {
                return Err(Error::new(Kind::Internal, "dockerd does not answer").hint(place("dockerd.log")));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(world)
    }

    /// A program inside.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg(program).stdin(Stdio::null());
        command
    }

    pub(super) fn docker(&self) -> Command {
        let mut docker = self.command("docker");
        docker.env("DOCKER_HOST", self.docker_host()).env("DOCKER_API_VERSION", "1.41");
        docker
    }

    pub(super) fn skopeo(&self, from: &str, to: &str, arguments: &[&str]) -> Result<()> {
        let mut skopeo = self.command("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]);
        command::run(skopeo.args(arguments).args([from, to]))
    }

    /// The id of an image wherever skopeo can look.
    pub(super) fn config_of(&self, image: &str) -> Result<String> {
        let mut skopeo = self.command("skopeo");
        let text = command::output(skopeo.args(["inspect", "--raw", "--tls-verify=false", image]))?;
        let manifest: Value = serde_json::from_str(&text).context(|| "cannot read a manifest".into())?;
        Ok(manifest["config"]["digest"].as_str().unwrap_or_default().to_owned())
    }

    pub(super) fn shell(&self, script: &str) -> Result<()> {
        command::run(self.command("sh").args(["-ec", script]).stdout(Stdio::null()))
    }

    fn docker_host(&self) -> String {
        format!("unix://{}", self.dir.join("docker.sock").display())
    }

    fn daemon(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let log = self.dir.join(format!("{program}.log"));
        let log = fs::File::create(&log).context(|| format!("cannot write {log:?}"))?;
        let mut command = self.command(program);
        let errors = log.try_clone().context(|| "cannot share a log".into())?;
        let child = command.args(arguments).stdout(log).stderr(errors).spawn();
        self.daemons.push(child.context(|| format!("cannot start {program}"))?);
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            // It ends what it started.
            let _ =
                rustix::process::kill_process(rustix::process::Pid::from_child(daemon), rustix::process::Signal::TERM);
            let _ = daemon.wait();
        }
        let _ = command::run(Command::new("ip").args(["netns", "del", &self.namespace]));
        unmount_below(&self.dir);
    }
}

/// Unmounts what engines left mounted: their stores cannot be removed otherwise.
pub(super) fn unmount_below(dir: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = format!("{}/", dir.display());
    let places = table.lines().filter_map(|line| line.split(' ').nth(4)).filter(|place| place.starts_with(&below));
    for place in places.collect::<Vec<_>>().into_iter().rev() {
        let _ = command::run(Command::new("umount").arg(place));
    }
}
