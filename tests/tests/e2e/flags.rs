//! Every flag of Docker's container commands is taken, or refused by name with a reason.

use std::fs;

use e2e::{Outcome, Tare};
use serde_json::Value;

/// Command, names, kind of value, and whether it is taken: made from the reference of docker 28.
const TABLE: &str = include_str!("flags.txt");

#[test]
fn each_is_taken_or_refused_with_a_reason() {
    let tare = Tare::empty();
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<Vec<&str>> = rows.map(|line| line.split(' ').collect()).collect();
    let mut wrong = Vec::new();
    for command in [
        "attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs", "ls", "pause", "port",
        "prune", "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
    ] {
        let text = tare.tare(["__describe", "container", command]).ok();
        let description: Value = serde_json::from_str(&text).unwrap();
        for row in rows.iter().filter(|row| row[0] == command) {
            let [_, names, kind, verdict] = row[..] else { panic!("{row:?}") };
            for name in names.split(',') {
                let options = description["options"].as_array().unwrap();
                let option = options.iter().find(|option| option["names"].as_array().unwrap().contains(&name.into()));
                let right = match (verdict, option) {
                    ("taken", Some(option)) => option["value"].is_null() == (kind == "bool"),
                    ("refused", None) => is_refused(&tare.tare(["container", command, name]), name),
                    _ => false,
                };
                if !right {
                    wrong.push(format!("{command} {name} ({kind}, {verdict})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The message names the flag and says why.
fn is_refused(outcome: &Outcome, name: &str) -> bool {
    let start = format!("tare: option \"{name}\" is not supported: ");
    outcome.code() == 125 && outcome.stderr().strip_prefix(&start).is_some_and(|reason| reason.len() > 10)
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn switches_may_be_given_a_value() {
    let tare = Tare::new();
    tare.tare(["run", "--rm=true", "-i=false", "--network=none", "busybox", "echo", "hi"]).prints("hi");
    tare.tare(["run", "-d=true", "--name=box", "--network=none", "busybox", "sleep", "1000"]).ok();
    tare.tare(["exec", "--tty=false", "--privileged=F", "box", "echo", "hi"]).prints("hi");
    tare.tare(["rm", "--force=false", "box"]).fails(1, "running");
    tare.tare(["rm", "--force=maybe", "box"]).fails(125, "true or false");
    tare.tare(["rm", "-f=1", "box"]).ok();
    assert!(tare.tare(["rm", "--help"]).ok().contains("-f, --force\n"), "help shows a plain switch");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_has_one_value_only_takes_that_one() {
    let tare = Tare::new();
    let run = |option: &str| tare.run([option, "busybox", "true"]);
    for taken in ["--isolation=default", "--runtime=tare", "--volume-driver=local"] {
        run(taken).ok();
    }
    run("--isolation=hyperv").fails(125, "unknown isolation \"hyperv\"");
    run("--runtime=nvidia").fails(125, "unknown runtime \"nvidia\"");
    run("--volume-driver=nfs").fails(125, "unknown volume driver \"nfs\"");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn files_give_variables_labels_and_take_the_id() {
    let tare = Tare::new();
    let env = tare.file("env", "# a comment\nA=1\nB=two words\nFROM_HERE\n\n");
    let labels = tare.file("labels", "one=1\ntwo\n");
    let cid = tare.dir("").join("cid");
    let mut command =
        tare.command(["create", "--network=none", "--env-file", &env, "-e", "A=2", "--label-file", &labels]);
    command.args(["--annotation", "x.y=z", "--stop-timeout", "7", "--cidfile", cid.to_str().unwrap(), "busybox"]);
    let id = Outcome::of(command.env("FROM_HERE", "here")).ok();
    assert_eq!(fs::read_to_string(&cid).unwrap(), id.trim());
    let inspected = tare.inspect(id.trim());
    let env: Vec<&str> = inspected["Config"]["Env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(["A=2", "B=two words", "FROM_HERE=here"].iter().all(|entry| env.contains(entry)), "{env:?}");
    assert_eq!(
        (&inspected["Config"]["Labels"]["one"], &inspected["Config"]["Labels"]["two"]),
        (&"1".into(), &"".into())
    );
    assert_eq!(inspected["Config"]["StopTimeout"], 7);
    tare.tare(["run", "--dry-run", "--annotation", "x.y=z", "busybox"]).says("\"x.y\": \"z\"");
    tare.tare(["create", "--network=none", "--cidfile", cid.to_str().unwrap(), "busybox"]).fails(1, "exists already");
    tare.tare(["create", "--network=none", "--env-file", "/no/such/file", "busybox"]).fails(1, "/no/such/file");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn streams_are_attached_one_by_one() {
    let tare = Tare::new();
    let script = "echo out; echo err >&2; cat";
    let run = |options: &[&str]| {
        let command = ["busybox", "sh", "-c", script];
        tare.tare_with_input(["run", "--rm", "--network=none"].iter().chain(options).chain(&command), b"in\n")
    };
    let streams = |outcome: &Outcome| (outcome.ok(), outcome.stderr());
    assert_eq!(streams(&run(&["-a", "stdout"])), ("out\n".into(), String::new()));
    assert_eq!(streams(&run(&["-a", "stderr"])), (String::new(), "err\n".into()));
    assert_eq!(streams(&run(&["-a", "stdout", "-a", "stderr"])), ("out\n".into(), "err\n".into()));
    assert_eq!(streams(&run(&["-i", "-a", "stdin", "-a", "stdout"])), ("out\nin\n".into(), String::new()));
    run(&["-d", "-a", "stdout"]).fails(125, "conflicting options");
    run(&["-a", "nonsense"]).fails(125, "invalid stream");
}
