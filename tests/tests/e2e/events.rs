//! Events: what happens is written down by whoever does it, and told in Docker's words.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use e2e::{Tare, until};

/// What has happened so far, as a template says.
fn past(tare: &Tare, format: &str, filters: &[&str]) -> Vec<String> {
    let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
    let arguments = ["events", "--since=1", "--until=0s", "--format", format].into_iter().chain(filters);
    tare.tare(arguments).ok().lines().map(str::to_owned).collect()
}

fn actions(tare: &Tare, filters: &[&str]) -> Vec<String> {
    past(tare, "{{.Type}} {{.Action}}", filters)
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_life_of_a_container_is_told_in_dockers_words() {
    let tare = Tare::new();
    let id = tare.detached(&["--name=box", "-ldept=sea", "-vdata:/data"], "exec sleep 1000");
    tare.tare(["exec", "box", "true"]).ok();
    for verb in [["pause", "box"].as_slice(), &["unpause", "box"], &["rename", "box", "other"], &["top", "other"]] {
        tare.tare(verb).ok();
    }
    tare.tare(["update", "--cpu-shares=512", "other"]).ok();
    tare.tare(["commit", "other", "made"]).ok();
    tare.tare(["export", "-o", &tare.file("root.tar", ""), "other"]).ok();
    tare.tare(["kill", "-s", "KILL", "other"]).ok();
    until("it has ended", || tare.inspect("other")["State"]["Status"] == "exited");
    tare.tare(["start", "other"]).ok();
    tare.tare(["stop", "-t0", "other"]).ok();
    tare.tare(["restart", "other"]).ok();
    tare.tare(["rm", "-f", "other"]).ok();
    tare.tare(["volume", "rm", "data"]).ok();
    let told = actions(&tare, &["container=other", "container=box"]);
    let container = |list: &[&str]| list.iter().map(|action| format!("container {action}")).collect::<Vec<_>>();
    let expected = [
        "create",
        "start",
        "exec_create: true",
        "exec_start: true",
        "exec_die",
        "pause",
        "unpause",
        "rename",
        "top",
        "update",
        "commit",
        "export",
        "kill",
        "die",
        "start",
        "kill",
        "kill",
        "die",
        "stop",
        "start",
        "restart",
        "kill",
        "die",
        "stop",
        "destroy",
    ];
    assert_eq!(told, container(&expected));
    let of_volume = actions(&tare, &["volume=data"]);
    let volume = ["create", "mount", "unmount", "mount", "unmount", "mount", "unmount", "destroy"];
    assert_eq!(of_volume, volume.map(|action| format!("volume {action}")));
    // A label, the image and the name are told with each; what a few have besides.
    assert!(
        past(&tare, "{{.Actor.Attributes.image}} {{.ID}}", &["label=dept=sea"])
            .iter()
            .all(|line| *line == format!("busybox {id}"))
    );
    let attribute = |name: &str, event: &str| past(&tare, &format!("{{{{.Actor.Attributes.{name}}}}}"), &[event]);
    assert_eq!(attribute("exitCode", "event=die"), ["137"; 3]);
    assert_eq!(attribute("oldName", "event=rename"), ["/box"]);
    assert_eq!(attribute("signal", "event=kill")[0], "9");
    assert_eq!(attribute("exitCode", "event=exec_die"), ["0"]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_forms_are_dockers() {
    let tare = Tare::new();
    tare.tare(["create", "--name=box", "busybox"]).ok();
    let id = tare.inspect("box")["Id"].as_str().unwrap().to_owned();
    let past = ["events", "--since=1", "--until=0s", "-f", "event=create", "-f", "type=container"];
    let plain = tare.tare(past).ok();
    let (time, rest) = plain.split_once(' ').unwrap();
    assert_eq!(rest, format!("container create {id} (image=busybox, name=box)\n"));
    assert!(time.len() >= 30 && time.contains('T'), "{time}");
    for format in ["json", "{{json .}}"] {
        let line = tare.tare(past.into_iter().chain(["--format", format])).ok();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (seconds, nanos) = (event["time"].as_i64().unwrap(), event["timeNano"].as_i64().unwrap());
        assert_eq!(seconds, nanos / 1_000_000_000);
        let expected = serde_json::json!({
            "status": "create", "id": id, "from": "busybox", "Type": "container", "Action": "create",
            "Actor": {"ID": id, "Attributes": {"image": "busybox", "name": "box"}},
            "scope": "local", "time": seconds, "timeNano": nanos,
        });
        assert_eq!(event, expected);
    }
    let filter = |text: &str| tare.tare(["events", "--since=1", "--until=0s", "-f", text]);
    filter("colour=red").fails(1, "invalid filter");
    filter("node=x").fails(1, "there is no node here");
    tare.tare(["events", "--since=soon"]).fails(1, "invalid time");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn images_are_told_of() {
    let tare = Tare::new();
    let archive = tare.file("busybox.tar", "");
    tare.tare(["tag", "busybox", "other:1"]).ok();
    tare.tare(["save", "-o", &archive, "other:1"]).ok();
    tare.tare(["rmi", "busybox"]).ok();
    tare.tare(["rmi", "other:1"]).ok();
    tare.tare(["load", "-i", &archive]).ok();
    tare.tare(["image", "prune", "-f"]).ok();
    let told = past(&tare, "{{.Action}} {{.Actor.Attributes.name}}", &["type=image"]);
    let expected = [
        "import busybox:latest",
        "tag other:1",
        "save other:1",
        "untag busybox:latest",
        "untag other:1",
        "delete other:1",
        "load other:1",
        "prune <no value>",
    ];
    assert_eq!(told, expected);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn they_are_followed_as_they_happen_from_many_at_once() {
    let tare = Tare::new();
    let mut follower =
        tare.command(["events", "--format={{.Action}} {{.Actor.Attributes.name}}", "-f", "type=container"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    // It follows from the moment it has begun, which only it knows.
    until("it follows", || {
        std::fs::read_dir(format!("/proc/{}/fd", follower.id()))
            .unwrap()
            .flatten()
            .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy().contains("inotify")))
    });
    let names: Vec<String> = (0..8).map(|number| format!("box{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let tare = &tare;
            scope.spawn(move || tare.run([&format!("--name={name}"), "busybox", "true"]).ok());
        }
    });
    let mut seen = Vec::new();
    while seen.iter().filter(|line: &&String| line.starts_with("destroy")).count() < names.len() {
        seen.push(lines.next().unwrap().unwrap());
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    for name in &names {
        let own: Vec<&str> = seen.iter().filter_map(|line| line.strip_suffix(&format!(" {name}"))).collect();
        assert_eq!(own, ["create", "attach", "start", "die", "destroy"], "{name}");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_befalls_a_container_is_told_too() {
    let tare = Tare::new();
    let options = ["--name=box", "--health-interval=100ms", "--health-retries=1", "--health-cmd=false"];
    tare.detached(&options, "exec sleep 1000");
    until("it is told unhealthy", || {
        !past(&tare, "{{.Action}}", &["event=health_status: unhealthy", "container=box"]).is_empty()
    });
    let told = actions(&tare, &["event=health_status"]);
    assert_eq!(told, ["container health_status: unhealthy"]);
    // A monitor that was killed tells nothing: whoever finds out does.
    let monitor: u32 = e2e::process_field(tare.pid("box"), "PPid:").unwrap().parse().unwrap();
    let number = rustix::process::Pid::from_raw(monitor as i32).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
    until("it has ended", || tare.inspect("box")["State"]["Status"] == "exited");
    assert_eq!(actions(&tare, &["event=die", "container=box"]).len(), 1);
}
