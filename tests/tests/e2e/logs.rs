//! What a container said, kept by its monitor.

use e2e::{Outcome, Tare, until};

fn finished(tare: &Tare, script: &str) -> String {
    let id = tare.detached(&[], script);
    tare.tare(["wait", &id]).ok();
    id
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn both_streams_are_kept() {
    let tare = Tare::new();
    let id = finished(&tare, "echo out; echo err >&2; printf unfinished");
    let outcome = tare.tare(["logs", &id]);
    assert_eq!((outcome.ok().as_str(), outcome.stderr().as_str()), ("out\nunfinished", "err\n"));
    tare.tare(["logs", "no-such-container"]).fails(1, "no-such-container");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_end_can_be_asked_for() {
    let tare = Tare::new();
    let id = finished(&tare, "seq 1 1000");
    tare.tare(["logs", "--tail", "3", &id]).prints("998\n999\n1000");
    tare.tare(["logs", "-n", "0", &id]).prints("");
    assert_eq!(tare.tare(["logs", "--tail=all", &id]).ok().lines().count(), 1000);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_stretch_of_time_can_be_asked_for() {
    let tare = Tare::new();
    let id = finished(&tare, "echo one; sleep 0.3; echo two; sleep 0.3; echo three");
    let times = tare.tare(["logs", "-t", &id]).ok();
    let times: Vec<&str> = times.lines().filter_map(|line| line.split_once(' ')).map(|(time, _)| time).collect();
    tare.tare(["logs", "--since", times[1], &id]).prints("two\nthree");
    tare.tare(["logs", "--until", times[1], &id]).prints("one\ntwo");
    tare.tare(["logs", "--since", times[1], "--until", times[1], &id]).prints("two");
    tare.tare(["logs", "--since", "1h", "-n", "1", "--details", &id]).prints("three");
    tare.tare(["logs", "--until", "1h", &id]).prints("");
    tare.tare(["logs", "--since", "yesterday", &id]).fails(1, "invalid time");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn times_can_be_shown() {
    let tare = Tare::new();
    let id = finished(&tare, "echo hello");
    let line = tare.tare(["logs", "-t", &id]).ok();
    let (time, text) = line.trim().split_once(' ').unwrap();
    assert!(text == "hello" && time.contains('T') && time.ends_with('Z'), "{line}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn following_ends_with_the_container() {
    let tare = Tare::new();
    let id = tare.detached(&[], "for i in 1 2 3; do echo $i; sleep 0.2; done");
    tare.tare(["logs", "-f", &id]).prints("1\n2\n3");
    let id = tare.detached(&[], "echo first; sleep 0.3; echo last");
    let follower = tare.command(["logs", "--follow", &id]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    assert_eq!(Outcome::of_child(follower).stdout(), "first\nlast\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_attached_streams_are_logged_too() {
    let tare = Tare::new();
    tare.tare(["run", "--network=none", "--name=seen", "busybox", "echo", "hello"]).prints("hello");
    tare.tare(["logs", "seen"]).prints("hello");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_log_does_not_fill_the_disk() {
    let tare = Tare::new();
    // About 55 MB of text.
    let id = finished(&tare, "yes 0123456789012345678901234567890123456789012345678 | head -n 1100000; echo the end");
    let files = tare.container_dir(&id);
    let sizes = ["log", "log.1", "log.2"].map(|name| std::fs::metadata(files.join(name)).unwrap().len());
    assert!(sizes.iter().all(|&size| size <= 10_000_000), "{sizes:?}");
    let size: u64 = walk(&tare.container_dir(&id)).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!(size <= 31_000_000, "{size} bytes");
    let tail = tare.tare(["logs", "--tail", "1", &id]).ok();
    assert_eq!(tail, "the end\n");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(dirs.iter().flat_map(|dir| walk(dir))).collect()
}

fn created(tare: &Tare, options: &[&str]) -> Outcome {
    tare.tare(["create"].iter().chain(options).chain(&["busybox", "true"]))
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn followers_of_many_lose_and_reorder_nothing_while_files_are_rotated() {
    let tare = Tare::new();
    const LINES: usize = 12_000;
    let expected: String = (1..=LINES).map(|number| format!("{number} of the lines\n")).collect();
    let followers: Vec<_> = (0..10)
        .map(|number| {
            // Of each kind of file five, and several times as many rotations as a follower could sit out.
            let driver = if number % 2 == 0 { ["json-file", "200k"] } else { ["local", "60k"] };
            let options = [format!("--log-driver={}", driver[0]), format!("--log-opt=max-size={}", driver[1])];
            let options = [options[0].as_str(), &options[1], "--log-opt=max-file=20"];
            let id = tare.detached(&options, &format!("seq 1 {LINES} | sed 's/$/ of the lines/'"));
            let child = tare.command(["logs", "-f", &id]).stdout(std::process::Stdio::piped()).spawn().unwrap();
            (id, std::thread::spawn(move || Outcome::of_child(child).stdout()))
        })
        .collect();
    for (id, follower) in followers {
        let seen = follower.join().unwrap();
        assert!(tare.container_dir(&id).join("log.4").exists(), "it was rotated often");
        assert!(seen == expected, "{} bytes instead of {}", seen.len(), expected.len());
        assert!(tare.tare(["logs", &id]).ok() == expected);
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_follower_that_stops_reading_keeps_nobody_waiting() {
    let tare = Tare::new();
    let id = tare.detached(&[], "until test -e /go; do sleep 0.02; done; yes | head -n 1000000");
    // Its pipe holds 64 KiB, and nobody reads it.
    let mut follower = tare.command(["logs", "-f", &id]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    tare.tare(["exec", &id, "touch", "/go"]).ok();
    let mut waiting = tare.command(["wait", &id]).stdout(std::process::Stdio::null()).spawn().unwrap();
    until("the container has ended", || waiting.try_wait().unwrap().is_some());
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn following_goes_on_when_the_container_is_started_again() {
    let tare = Tare::new();
    let id = tare.detached(&["--restart=on-failure:2"], "echo ran; exit 3");
    tare.tare(["logs", "-f", &id]).prints("ran\nran\nran");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn drivers_keep_what_was_said_in_their_ways() {
    let tare = Tare::new();
    let run = |options: &[&str]| {
        let id = tare.detached(options, "printf 'a\\377b\\n'; echo err >&2; printf rest");
        tare.tare(["wait", &id]).ok();
        id
    };
    let attributes = ["--log-opt=tag={{.Name}}/{{.ImageName}}", "--log-opt=labels=dept,none", "--log-opt=env=WHO"];
    let common = [&["--name=json", "-ldept=sea", "-eWHO=me"], &attributes[..]].concat();
    let json = run(&common);
    let text = std::fs::read_to_string(tare.container_dir(&json).join("log")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (line, (log, stream)) in lines.iter().zip([("a\u{fffd}b\n", "stdout"), ("err\n", "stderr"), ("rest", "stdout")])
    {
        assert_eq!((&line["log"], &line["stream"]), (&log.into(), &stream.into()), "{text}");
        assert_eq!(line["attrs"], serde_json::json!({"tag": "json/busybox", "dept": "sea", "WHO": "me"}));
    }
    tare.tare(["logs", "--details", "-n1", "json"]).prints("WHO=me,dept=sea,tag=json/busybox rest");
    let config = &tare.inspect("json")["HostConfig"]["LogConfig"];
    assert_eq!((&config["Type"], &config["Config"]["env"]), (&"json-file".into(), &"WHO".into()));

    let local = run(&["--name=local", "--log-driver=local"]);
    let outcome = tare.tare(["logs", "local"]);
    // Every byte is there.
    assert_eq!((outcome.bytes(), outcome.stderr().as_str()), (&b"a\xffb\nrest"[..], "err\n"));
    let size = |id: &str| std::fs::metadata(tare.container_dir(id).join("log")).unwrap().len();
    assert_eq!(size(&local), 3 * 13 + 4 + 4 + 4);
    tare.tare(["logs", "-n", "1", "local"]).prints("rest");
    assert!(tare.tare(["logs", "-t", "-n", "1", "local"]).ok().contains('Z'));

    let none = run(&["--name=none", "--log-driver=none"]);
    assert!(!tare.container_dir(&none).join("log").exists());
    tare.tare(["logs", "none"]).fails(1, "keeps no log");
    assert_eq!(tare.inspect("none")["LogPath"], "");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn log_options_that_make_no_sense_are_refused() {
    let tare = Tare::new();
    created(&tare, &["--log-driver=fluentd"]).fails(1, "json-file, local, journald or none");
    created(&tare, &["--log-opt=colour=red"]).fails(1, "unknown log option");
    created(&tare, &["--log-driver=none", "--log-opt=max-size=1m"]).fails(1, "no options");
    created(&tare, &["--log-opt=mode=slow"]).fails(1, "blocking or non-blocking");
    if !std::path::Path::new("/run/systemd/journal/socket").exists() {
        created(&tare, &["--log-driver=journald"]).fails(1, "there is no journal");
    }
}
