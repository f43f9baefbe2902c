//! Hooks that fail, and what they are given.

use std::fs;
use std::path::Path;

use e2e::Tare;
use serde_json::{Value, json};

use super::Bundle;

fn hook(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script] })
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_hook_after_the_start_that_fails_stops_the_container() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "exec sleep 1000");
    let log = tare.dir("hooks").join("log");
    let append = |word: &str| hook(&format!("echo {word} >>{}", log.display()));
    bundle.change(|config| {
        config["hooks"] = json!({ "poststart": [append("one"), hook("echo told >&2; exit 1"), append("two")] });
    });
    bundle.create();
    bundle.fails(&["start", &bundle.id], "told");
    assert_eq!((bundle.status().as_str(), text(&log).as_str()), ("stopped", "one\n"));
    bundle.ok(&["delete", &bundle.id]);
    assert!(bundle.cgroups().is_empty());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_hook_after_the_end_that_fails_is_told_and_the_others_run() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    let mark = tare.dir("hooks").join("mark");
    bundle.change(|config| {
        config["hooks"] = json!({
            "poststop": [hook("echo told >&2; exit 1"), hook(&format!("touch {}", mark.display()))],
        });
    });
    let output = bundle.run_here();
    let told = String::from_utf8_lossy(&output.stderr).contains("WARNING") && output.status.success();
    assert!(told && mark.exists(), "{output:?}");
    bundle.fails(&["state", &bundle.id], "does not exist");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_hook_has_its_own_environment_or_the_runtimes() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    let log = tare.dir("hooks").join("log");
    let with = |env: Value| {
        bundle.change(|config| {
            let mut hook = hook(&format!("echo ${{A-none}} ${{PATH:+path}} >>{}", log.display()));
            hook["env"] = env.clone();
            config["hooks"] = json!({ "createRuntime": [hook] });
        });
        assert!(bundle.run_here().status.success());
    };
    // A shell gives itself a path if it is given none: one that is set tells nothing there.
    with(json!(["A=b"]));
    with(json!([]));
    with(Value::Null);
    assert_eq!(
        text(&log).lines().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["b", "none", "none"]
    );
    let inherited = std::process::Command::new(e2e::binary())
        .args(["runtime", "--root"])
        .arg(tare.run_dir().join("runtime"))
        .args(["run", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id])
        .env("A", "inherited")
        .status();
    assert!(inherited.unwrap().success() && text(&log).ends_with("inherited path\n"), "{}", text(&log));
}
