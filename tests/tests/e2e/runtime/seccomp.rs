//! System calls that are reported to an agent (`SCMP_ACT_NOTIFY`).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use e2e::Tare;
use serde_json::{Value, json};

use super::Bundle;

/// Shows what it is told of every process, and answers its calls: `mkdir` and `mkdirat` of x86_64 with ENOMEDIUM, others
/// with "go on".
const AGENT: &str = r#"
import fcntl, socket, struct, sys, threading
RECEIVE, SEND, GO_ON = 0xC0502100, 0xC0182101, 1
def answer(fd):
    while True:
        call = bytearray(80)
        try:
            fcntl.ioctl(fd, RECEIVE, call)
        except FileNotFoundError:
            continue
        except OSError:
            return
        number = struct.unpack_from('=QIIi', call)
        refused = number[3] in (83, 258)
        reply = struct.pack('=QqiI', number[0], 0, -123 if refused else 0, 0 if refused else GO_ON)
        try:
            fcntl.ioctl(fd, SEND, bytearray(reply))
        except FileNotFoundError:
            pass
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print('ready', flush=True)
while True:
    connection = listener.accept()[0]
    message, fds, _, _ = socket.recv_fds(connection, 65536, 8)
    print(message.decode(), flush=True)
    threading.Thread(target=answer, args=(fds[0],), daemon=True).start()
"#;

/// A running agent.
struct Agent {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Agent {
    fn listen(socket: &Path) -> Self {
        let mut command = Command::new("python3");
        let mut child = command.args(["-c", AGENT]).arg(socket).stdout(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let mut agent = Self { child, told };
        assert_eq!(agent.line(), "ready\n");
        agent
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line
    }

    /// What it was told of the next process.
    fn told(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn report(bundle: &Bundle<'_>, names: &[&str], no_new_privileges: bool, listener: &Path) {
    bundle.change(|config| {
        config["process"]["noNewPrivileges"] = no_new_privileges.into();
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": listener,
            "listenerMetadata": "of this test",
            "syscalls": [{ "names": names, "action": "SCMP_ACT_NOTIFY" }],
        });
    });
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_agent_answers_for_init_and_for_exec() {
    an_agent_answers(true);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_agent_answers_for_programs_that_may_gain_privileges() {
    an_agent_answers(false);
}

fn an_agent_answers(no_new_privileges: bool) {
    let tare = Tare::empty();
    let socket = tare.dir("agent").join("socket");
    let mut agent = Agent::listen(&socket);
    let bundle = Bundle::new(&tare, "mkdir /dev/shm/init 2>/dev/shm/said; exec sleep 1000");
    report(&bundle, &["mkdir", "mkdirat"], no_new_privileges, &socket);
    bundle.start();
    let told = agent.told();
    let state: Value = serde_json::from_str(&bundle.ok(&["state", &bundle.id])).unwrap();
    assert_eq!((&told["fds"], &told["metadata"]), (&json!(["seccompFd"]), &json!("of this test")), "{told}");
    assert_eq!((&told["pid"], &told["state"]["pid"]), (&state["pid"], &state["pid"]), "{told}");
    assert_eq!(told["state"]["id"], json!(bundle.id), "{told}");
    e2e::until("mkdir was answered", || {
        bundle.ok(&["exec", &bundle.id, "cat", "/dev/shm/said"]).contains("No medium found")
    });
    bundle.ok(&["exec", &bundle.id, "sh", "-c", "! mkdir /dev/shm/exec 2>/dev/null && ! test -e /dev/shm/exec"]);
    let told = agent.told();
    assert!(told["pid"] != state["pid"] && told["state"]["pid"] == state["pid"], "{told}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_runtimes_own_calls_may_be_reported_too() {
    let tare = Tare::empty();
    let socket = tare.dir("agent").join("socket");
    let _agent = Agent::listen(&socket);
    let bundle = Bundle::new(&tare, "echo went on");
    let names = [
        "execve",
        "openat",
        "open",
        "read",
        "close",
        "sendmsg",
        "recvmsg",
        "prctl",
        "capset",
        "setresuid",
        "close_range",
        "brk",
        "mmap",
        "rt_sigaction",
    ];
    for no_new_privileges in [true, false] {
        report(&bundle, &names, no_new_privileges, &socket);
        assert_eq!(bundle.says(), "went on\n");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn reports_that_nobody_could_hear_are_refused() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "echo ran");
    report(&bundle, &["mkdir"], true, Path::new(""));
    bundle.change(|config| config["linux"]["seccomp"]["listenerMetadata"] = "".into());
    bundle.is_refused("needs a listenerPath");
    report(&bundle, &["mkdir"], true, Path::new("/nobody/here"));
    bundle.is_refused("/nobody/here");
    report(&bundle, &["write"], true, Path::new("/nobody/here"));
    bundle.is_refused("cannot be used for the write syscall");
    // The path alone, without a call that is reported, is nobody's business.
    report(&bundle, &["mkdir"], true, Path::new("/nobody/here"));
    bundle.change(|config| config["linux"]["seccomp"]["syscalls"][0]["action"] = "SCMP_ACT_ERRNO".into());
    assert_eq!(bundle.says(), "ran\n");
}
