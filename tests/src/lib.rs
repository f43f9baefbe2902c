//! The harness of the end-to-end tests: the built binary in a private data root, driven as a person or a script would,
//! and a look around afterwards that nothing of it is left.
//!
//! `cargo xtask test` builds the binary and the images and names them in `TARE_BIN` and `TARE_FIXTURES`.

mod archive;
mod host;
mod neighbour;
mod outcome;
pub mod registry;
mod terminal;
mod wait;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use archive::{Archive, EntryType};
pub use host::{
    Cgroups, cgroup_hierarchies, cgroups_of, is_alive, kernel_is_at_least, process_field, systemd_makes_cgroups,
};
pub use neighbour::{Neighbour, in_network_of, ip};
pub use outcome::Outcome;
pub use terminal::Terminal;
pub use wait::{until, until_some};

/// How long anything that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A tare with a data root and a run directory of its own. Dropping it removes every container, checks that no process,
/// mount, cgroup or run directory of theirs is left, and removes the directories.
#[derive(Debug)]
pub struct Tare {
    base: PathBuf,
    /// The test has a network namespace for itself.
    has_host: bool,
    /// Containers that were seen, for the look around at the end.
    seen: Mutex<BTreeSet<String>>,
}

impl Tare {
    /// With the image `busybox`.
    pub fn new() -> Self {
        let tare = Self::empty();
        tare.tare(["import", "--change", "CMD [\"sh\"]", &fixture("busybox.tar"), "busybox"]).ok();
        tare
    }

    /// With the image `debian`.
    pub fn debian() -> Self {
        let tare = Self::empty();
        tare.tare(["import", "--change", "CMD [\"bash\"]", &fixture("debian.tar"), "debian:bookworm"]).ok();
        tare
    }

    /// Without an image, but `host`.
    pub fn empty() -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let base = std::env::temp_dir().join(format!("tare-e2e-{}-{number}", std::process::id()));
        fs::create_dir(&base).unwrap();
        Self { base, has_host: false, seen: Mutex::default() }
    }

    /// With the image `busybox`, on a host of the test's own: its thread, and all that is started from there, is in a new
    /// network namespace, where nothing touches this machine's network.
    pub fn on_own_host() -> Self {
        own_host();
        let mut tare = Self::empty();
        tare.has_host = true;
        tare.tare(["import", "--change", "CMD [\"sh\"]", &fixture("busybox.tar"), "busybox"]).ok();
        tare
    }

    /// A directory for the test's own files, removed with the rest.
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.base.join("files").join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.dir("").join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The data root.
    pub fn root(&self) -> PathBuf {
        self.base.join("root")
    }

    /// The run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.base.join("run")
    }

    /// `tare ARGUMENTS`, not yet started.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("TARE_ROOT", self.root()).env("TARE_RUN", self.run_dir()).stdin(Stdio::null());
        // A bridge is made only on a host that the test has for itself.
        command.env("TARE_NETWORK", if self.has_host { "bridge" } else { "none" });
        command
    }

    /// Runs `tare ARGUMENTS` to its end.
    pub fn tare<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        let outcome = Outcome::of(&mut self.command(arguments));
        self.look();
        outcome
    }

    /// Runs `tare ARGUMENTS` with these bytes on its standard input.
    pub fn tare_with_input<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Outcome {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // The program may end without reading everything: that is its right.
            scope.spawn(move || drop(pipe.write_all(input)));
            let output = child.wait_with_output().unwrap();
            Outcome::new(format!("{command:?}"), output)
        })
    }

    /// `tare run --rm --network=none ARGUMENTS`: the usual short container.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.tare(run_arguments(arguments))
    }

    /// The same in busybox, with one shell script for a command.
    pub fn sh(&self, options: &[&str], script: &str) -> Outcome {
        self.run(options.iter().copied().chain(["busybox", "sh", "-c", script]))
    }

    /// The same, not waited for: its standard streams are pipes.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Child {
        let mut command = self.command(run_arguments(arguments));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts a detached busybox container that runs a script; returns its full ID.
    pub fn detached(&self, options: &[&str], script: &str) -> String {
        let arguments = ["run", "-d", "--network=none"].into_iter();
        let arguments = arguments.chain(options.iter().copied()).chain(["busybox", "sh", "-c", script]);
        self.tare(arguments).ok().trim().to_owned()
    }

    /// What `tare inspect` says of one container.
    pub fn inspect(&self, container: &str) -> serde_json::Value {
        let text = self.tare(["inspect", container]).ok();
        let mut list: serde_json::Value = serde_json::from_str(&text).unwrap();
        list[0].take()
    }

    /// The process that is pid 1 of a running container, as the host numbers it.
    pub fn pid(&self, container: &str) -> u32 {
        let pid = self.inspect(container)["State"]["Pid"].as_u64().unwrap();
        assert!(pid > 1, "a running container has a pid");
        u32::try_from(pid).unwrap()
    }

    /// Waits until a container runs that a started command was asked for.
    pub fn wait_until_running(&self, container: &str, child: &mut Child) {
        until(&format!("{container} runs"), || {
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut said));
                panic!("{container} ended early: {status} {said}");
            }
            self.tare(["inspect", container]).stdout().contains("\"Running\": true")
        });
    }

    /// Waits until a container's log holds this text.
    pub fn wait_for_log(&self, container: &str, text: &str) {
        until(&format!("{text:?} in the log of {container}"), || {
            self.tare(["logs", container]).stdout().contains(text)
        });
    }

    /// The host's directory of one of this root's containers.
    pub fn container_dir(&self, id: &str) -> PathBuf {
        self.root().join("containers").join(id)
    }

    /// Processes that belong to this data root: monitors by their command line, containers by their mounts.
    pub fn processes(&self) -> Vec<u32> {
        host::processes_mentioning(&self.base)
    }

    /// Remembers which containers there are, so that their cgroups are looked for at the end.
    fn look(&self) {
        let entries = fs::read_dir(self.root().join("containers")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        self.seen.lock().unwrap().extend(names);
    }

    /// Waits until nothing of this data root runs, is mounted or has a cgroup; panics with what is left.
    pub fn assert_nothing_runs(&self) {
        let seen = self.seen.lock().unwrap().clone();
        let left = || {
            let mut left: Vec<String> = self.processes().iter().map(|pid| host::describe(*pid)).collect();
            left.extend(host::mounts_below(&self.base));
            left.extend(seen.iter().flat_map(|id| cgroups_of(id)).map(|dir| dir.display().to_string()));
            left.extend(names(&self.run_dir().join("containers")).into_iter().map(|id| format!("run directory {id}")));
            left
        };
        wait::until_or("nothing is left", || left().is_empty(), || format!("{:#?}", left()));
    }

    fn remove_everything(&self) {
        let ids = self.tare(["ps", "-a", "-q", "--no-trunc"]).ok();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            self.tare(["rm", "-f"].into_iter().chain(ids)).ok();
        }
        self.assert_nothing_runs();
        assert_eq!(names(&self.root().join("containers")), [""; 0], "no container directory is left");
    }
}

impl Default for Tare {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Tare {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.root().join("containers").exists() {
            let removed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.remove_everything()));
            self.sweep();
            if let Err(panic) = removed {
                std::panic::resume_unwind(panic);
            }
        }
        self.sweep();
    }
}

impl Tare {
    /// Ends what is left by force, so that a test that failed does not disturb the others.
    fn sweep(&self) {
        host::kill_all(&self.processes());
        for dir in self.seen.lock().unwrap().iter().flat_map(|id| cgroups_of(id)) {
            host::kill_all(&host::members(&dir));
            let _ = fs::remove_dir(dir);
        }
        host::unmount_below(&self.base);
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// Puts this thread into a network namespace of its own, with a loopback.
pub fn own_host() {
    sys::namespace::unshare(sys::namespace::flag::NETWORK).unwrap();
    sys::net::loopback_up().unwrap();
}

fn run_arguments<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Vec<std::ffi::OsString> {
    let usual = ["run", "--rm", "--network=none"].into_iter().map(Into::into);
    usual.chain(arguments.into_iter().map(|argument| argument.as_ref().to_owned())).collect()
}

/// The names in a directory; none if it does not exist.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Blobs in a data root that are being written, or were when something failed.
pub fn unfinished(root: &Path) -> Vec<String> {
    names(&root.join("ingest")).into_iter().filter(|name| name != "lock").collect()
}

/// The built binary.
pub fn binary() -> PathBuf {
    PathBuf::from(std::env::var_os("TARE_BIN").expect("TARE_BIN names the binary: run `make test`"))
}

/// The path of one of the images that `cargo xtask fixtures` makes.
pub fn fixture(name: &str) -> String {
    let dir = std::env::var("TARE_FIXTURES").expect("TARE_FIXTURES names the images: run `make test`");
    format!("{dir}/{name}")
}
