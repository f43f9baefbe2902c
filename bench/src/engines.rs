//! The engines of this machine, each with a private data root and the same image.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stdx::{Context, Error, Kind, Result};

use crate::scratch::Scratch;
use crate::{IMAGE, budget, sample};

/// A command line that speaks Docker's words.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: String,
    /// The program, and the options that lead it to its private directories.
    prefix: Vec<String>,
    environment: Vec<(&'static str, String)>,
    daemon: Option<Child>,
}

/// tare first, then those that are installed and start.
pub(crate) fn installed(tare: &Path, image: &Path, scratch: &Scratch) -> Result<Vec<Engine>> {
    let mut engines = vec![self::tare(tare, scratch)?];
    engines[0].import(image)?;
    for (name, start) in [(budget::PODMAN, podman as fn(&Scratch) -> Result<Engine>), (budget::DOCKER, docker)] {
        match start(scratch).and_then(|engine| engine.import(image).map(|()| engine)) {
            Ok(engine) => engines.push(engine),
            Err(error) => eprintln!("without {name}: {error}"),
        }
    }
    Ok(engines)
}

pub(crate) fn tare(binary: &Path, scratch: &Scratch) -> Result<Engine> {
    let root = scratch.data("tare")?;
    let environment =
        vec![("TARE_ROOT", root.display().to_string()), ("TARE_RUN", scratch.run.join("tare").display().to_string())];
    Ok(Engine { name: budget::TARE.into(), prefix: vec![binary.display().to_string()], environment, daemon: None })
}

/// All that start, with empty storage; those that want to be told that a registry has no TLS are told.
pub(crate) fn with_registry(tare: &Path, registry: &str, scratch: &Scratch) -> Vec<Engine> {
    let starts: [(&str, &dyn Fn() -> Result<Engine>); 3] = [
        (budget::TARE, &|| self::tare(tare, scratch)),
        (budget::PODMAN, &|| podman(scratch)),
        (budget::DOCKER, &|| docker_in(scratch, &["dockerd"], &[registry])),
    ];
    let mut engines = Vec::new();
    for (name, start) in starts {
        match start().and_then(|engine| engine.output(&["version"]).map(|_| engine)) {
            Ok(engine) => engines.push(engine),
            Err(error) => eprintln!("without {name}: {error}"),
        }
    }
    engines
}

/// The limits are named because a machine that may not raise them fails podman's own.
const CONTAINERS_CONF: &str = r#"[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

fn podman(scratch: &Scratch) -> Result<Engine> {
    let root = scratch.data("podman")?;
    let conf = scratch.file("containers.conf", CONTAINERS_CONF)?;
    let root = format!("--root={}", root.display());
    let runroot = format!("--runroot={}", scratch.run.join("podman").display());
    let prefix = vec!["podman".to_owned(), root, runroot, "--storage-driver=overlay".to_owned()];
    let environment = vec![("CONTAINERS_CONF", conf.display().to_string())];
    Ok(Engine { name: budget::PODMAN.into(), prefix, environment, daemon: None })
}

/// A daemon in a network namespace of its own, so that this machine's network stays as it is.
fn docker(scratch: &Scratch) -> Result<Engine> {
    docker_in(scratch, &["unshare", "--net", "dockerd"], &[])
}

fn docker_in(scratch: &Scratch, program: &[&str], insecure: &[&str]) -> Result<Engine> {
    let root = scratch.data("docker")?;
    let socket = scratch.run.join("docker.sock");
    let limit = serde_json::json!({"Name": "nofile", "Hard": 20000, "Soft": 20000});
    let config = serde_json::json!({
        "data-root": root,
        "exec-root": scratch.run.join("docker"),
        "pidfile": scratch.run.join("docker.pid"),
        "hosts": [format!("unix://{}", socket.display())],
        "storage-driver": "overlay2",
        "bridge": "none",
        "iptables": false,
        "insecure-registries": insecure,
        "default-ulimits": {"nofile": limit},
    });
    let config = scratch.file("daemon.json", &config.to_string())?;
    let log = fs::File::create(scratch.data.join("dockerd.log")).context(|| "cannot make dockerd.log".into())?;
    let mut dockerd = Command::new(program[0]);
    dockerd.args(&program[1..]).arg("--config-file").arg(config);
    dockerd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let daemon = dockerd.spawn().context(|| format!("cannot run {:?}", program[0]))?;
    let prefix = vec!["docker".to_owned(), "-H".to_owned(), format!("unix://{}", socket.display())];
    let environment = vec![("DOCKER_API_VERSION", "1.41".to_owned())];
    let mut engine = Engine { name: budget::DOCKER.into(), prefix, environment, daemon: Some(daemon) };
    engine.wait_until_ready().map(|()| engine)
}

impl Engine {
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.prefix[0]);
        command.args(&self.prefix[1..]).args(arguments).envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    fn import(&self, image: &Path) -> Result<()> {
        sample::quiet(&mut self.command(["import", &image.to_string_lossy(), IMAGE]))
    }

    fn output(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(arguments.iter().copied());
        let output = command.stdin(Stdio::null()).output().context(|| format!("cannot run {}", self.name))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::new(Kind::Internal, format!("{} {arguments:?} failed: {}", self.name, said.trim())));
        }
        String::from_utf8(output.stdout).context(|| format!("cannot read what {} says", self.name))
    }

    fn container_ids(&self) -> Result<Vec<String>> {
        Ok(self.output(&["ps", "-a", "-q"])?.split_whitespace().map(str::to_owned).collect())
    }

    /// The init process of every container.
    pub(crate) fn container_pids(&self) -> Result<Vec<u32>> {
        let ids = self.container_ids()?;
        let arguments: Vec<&str> = ["inspect"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let text = self.output(&arguments)?;
        let inspected: Value = serde_json::from_str(&text).context(|| format!("{} inspect is not JSON", self.name))?;
        let pids = inspected.as_array().into_iter().flatten().map(|one| one["State"]["Pid"].as_u64());
        Ok(pids.flatten().filter(|pid| *pid > 0).map(|pid| pid as u32).collect())
    }

    pub(crate) fn remove_all(&self) -> Result<()> {
        for ids in self.container_ids()?.chunks(25) {
            self.output(&["rm", "-f"].into_iter().chain(ids.iter().map(String::as_str)).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.output(&["version"]).is_err() {
            let gone = self.daemon.as_mut().is_none_or(|daemon| daemon.try_wait().is_ok_and(|status| status.is_some()));
            if gone || Instant::now() > deadline {
                return Err(Error::new(Kind::Internal, format!("the daemon of {} does not start", self.name)));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.remove_all();
        if let Some(daemon) = &mut self.daemon {
            let _ = kill_process(Pid::from_child(daemon), Signal::TERM);
            let _ = daemon.wait();
        }
    }
}
