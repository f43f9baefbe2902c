//! What is made once is not made again, and what changed is.

use std::fs;

use e2e::{Outcome, Tare};

use super::{Image, Project, cached, made};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_did_not_change_is_not_made_again() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /first\nCOPY a /a\nRUN cat /proc/sys/kernel/random/uuid > /second\nENV X=1\nCOPY b /b\nLABEL l=1\n",
    )
    .with("a", "a")
    .with("b", "b");
    let first = project.build(&["-t", "x"]);
    assert_eq!((made(&first), cached(&first)), (4, 0));
    let before = Image::new(&tare, "x");
    let again = project.build(&["-t", "x"]);
    assert_eq!((made(&again), cached(&again)), (0, 4));
    assert_eq!(Image::new(&tare, "x").id, before.id, "times and all");
    // New times are no change; new content and new modes are, and redo what follows.
    project.write("a", "a");
    assert_eq!(made(&project.build(&["-t", "x"])), 0);
    project.write("b", "other");
    assert_eq!(made(&project.build(&["-t", "x"])), 1);
    project.chmod("a", 0o755);
    let changed = project.build(&["-t", "x"]);
    assert_eq!((made(&changed), cached(&changed)), (3, 1));
    let after = Image::new(&tare, "x");
    assert_eq!(after.text("/first"), before.text("/first"));
    assert_ne!(after.text("/second"), before.text("/second"));
    // Everything, or one stage, can be made again.
    assert_eq!(made(&project.build(&["--no-cache"])), 4);
    assert_eq!(made(&project.build(&["--no-cache-filter", "stage-0"])), 4);
    assert_eq!(made(&project.build(&["--no-cache-filter", "other"])), 0);
    tare.tare(["system", "check"]).prints("everything is well");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn arguments_count_where_they_are_used() {
    let tare = Tare::new();
    let project =
        Project::new(&tare, "FROM busybox\nRUN echo a > /a\nARG V\nCOPY f /f\nRUN echo $V > /v\n").with("f", "f");
    let build = |value: &str| project.build(&["--build-arg", &format!("V={value}")]);
    assert_eq!(made(&build("1")), 3);
    let second = build("2");
    assert_eq!((made(&second), cached(&second)), (1, 2));
    assert_eq!(made(&build("1")), 0);
    // What nobody declares changes nothing.
    assert_eq!(made(&project.build(&["--build-arg", "V=1", "--build-arg", "OTHER=x"])), 0);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_copy_between_stages_follows_the_content() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox AS make\nCOPY src /src\nRUN cat /src/value > /out; cat /src/noise > /noise\n\
         FROM busybox\nCOPY --from=make /out /out\nRUN cp /out /final\n",
    )
    .with("src/value", "1")
    .with("src/noise", "x");
    assert_eq!(made(&project.build(&[])), 4);
    project.write("src/noise", "y");
    let outcome = project.build(&[]);
    assert_eq!((made(&outcome), cached(&outcome)), (2, 2), "{outcome}");
    // And then without looking into the stage.
    let outcome = project.build(&[]);
    assert_eq!((made(&outcome), cached(&outcome)), (0, 4));
    project.write("src/value", "2");
    assert_eq!(project.image(&[]).text("/final"), "2");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn builds_at_the_same_time_share_their_work() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN --mount=type=cache,target=/count echo x >> /count/runs; sleep 0.3; cat /proc/sys/kernel/random/uuid > /when\n",
    );
    let build = || {
        let mut command = tare.command(["build", "-q", project.path().to_str().unwrap()]);
        Outcome::of(&mut command).ok()
    };
    let ids: Vec<String> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..4).map(|_| scope.spawn(build)).collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let count = Project::new(&tare, "FROM busybox\nRUN --mount=type=cache,target=/count cat /count/runs > /runs\n");
    assert_eq!(count.image(&[]).text("/runs"), "x\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_cache_outlives_images_and_is_pruned_by_request() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1k count=3000\nRUN --mount=type=cache,target=/c echo x > /c/x\n",
    );
    project.build(&["-t", "x"]).exits(0);
    tare.tare(["rmi", "x"]).ok();
    assert_eq!(made(&project.build(&[])), 0, "its steps are still there");
    let cache = || {
        let text = tare.tare(["system", "df", "--format=json"]).ok();
        let line = text.lines().find(|line| line.contains("Build Cache")).unwrap().to_owned();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    let id = project.image(&[]).id;
    tare.tare(["rmi", &id]).ok();
    assert!(cache()["Size"].as_u64().unwrap() > 3_000_000, "{}", cache());
    assert_eq!(cache()["TotalCount"], 2);
    tare.tare(["builder", "prune", "-f", "--keep-storage=100m"]).ok();
    assert_eq!(made(&project.build(&["-t", "x"])), 0);
    tare.tare(["builder", "prune", "-f", "--filter", "until=1h"]).ok();
    assert_eq!(made(&project.build(&["-t", "x"])), 0);
    // What an image stands on stays for the image.
    tare.tare(["builder", "prune", "-f"]).says("RUN dd if=/dev/zero");
    assert_eq!(made(&project.build(&["-t", "x"])), 2);
    tare.run(["x", "sh", "-c", "ls -l /big | grep -c 3072000"]).prints("1");
    assert!(fs::read_dir(tare.root().join("cache/mounts")).unwrap().count() > 0);
    tare.tare(["builder", "prune", "-af"]).says("cache mount /c");
    assert_eq!(fs::read_dir(tare.root().join("cache/mounts")).unwrap().count(), 0);
    assert_eq!(cache()["TotalCount"], 0);
    tare.tare(["system", "check"]).prints("everything is well");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_cache_keeps_to_its_limit() {
    let tare = Tare::new();
    let config = tare.file("config.toml", "[build]\nkeep_storage = \"2m\"\n");
    let dockerfile =
        "FROM busybox\nRUN dd if=/dev/zero of=/a bs=1k count=1500\nRUN dd if=/dev/zero of=/b bs=1k count=1500\n";
    let project = Project::new(&tare, dockerfile);
    let build = || {
        let mut command = tare.command(["build"]);
        Outcome::of(command.arg(project.path()).env("TARE_CONFIG", &config))
    };
    assert_eq!(made(&build()), 2);
    // One of them had to go; and for ten minutes nobody looks again.
    assert!(made(&build()) >= 1);
    assert_eq!(made(&build()), 0);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_step_that_did_not_survive_a_boot_is_made_again() {
    let tare = Tare::new();
    let project = Project::new(&tare, "FROM busybox\nRUN echo x > /x\nRUN false\n");
    project.build(&[]).exits(1);
    // As another kernel would find it: written, not flushed, half gone.
    let mut forged = 0;
    for entry in fs::read_dir(tare.root().join("snapshots")).unwrap().flatten() {
        let meta = entry.path().join("meta.json");
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
        if json.get("unflushed").is_some() {
            json["unflushed"] = "another-boot".into();
            fs::write(&meta, json.to_string()).unwrap();
            fs::write(entry.path().join("fs/x"), "").unwrap();
            forged += 1;
        }
    }
    assert_eq!(forged, 1);
    project.write("Dockerfile", "FROM busybox\nRUN echo x > /x\n");
    assert_eq!(project.image(&[]).text("/x"), "x\n");
    let marks = fs::read_dir(tare.root().join("snapshots"))
        .unwrap()
        .flatten()
        .filter(|entry| fs::read_to_string(entry.path().join("meta.json")).unwrap().contains("unflushed\":\""));
    assert!(marks.count() <= 1, "an image stands on flushed layers alone");
    tare.tare(["system", "check", "--repair"]).exits(0);
    tare.tare(["system", "check"]).prints("everything is well");
}
