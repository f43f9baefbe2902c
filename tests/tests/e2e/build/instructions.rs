//! Instructions that run something or change the configuration.

use e2e::Tare;
use serde_json::json;

use super::errors::FailsWith;
use super::{Image, Project};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_dockerfile_becomes_an_image_that_runs() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nENV NAME=world\nWORKDIR /app\nRUN echo \"hello $NAME\" > greeting\nCOPY file .\n\
         USER 1000\nCMD [\"cat\", \"greeting\", \"file\"]\n",
    )
    .with("file", "from the context\n");
    let iidfile = project.path().join("iid");
    let outcome = project.build(&["-t", "one:1", "-t", "two", "--iidfile", iidfile.to_str().unwrap()]);
    outcome.exits(0);
    assert_eq!(outcome.stdout(), "", "progress goes to standard error");
    tare.run(["one:1"]).prints("hello world\nfrom the context");
    tare.run(["two", "id", "-u"]).prints("1000");
    assert_eq!(std::fs::read_to_string(iidfile).unwrap(), Image::new(&tare, "two").id);
    // One entry an instruction, as it was written, the base's before.
    let history = tare.tare(["history", "--no-trunc", "two"]).ok();
    let steps: Vec<&str> = history.lines().skip(1).collect();
    assert_eq!(steps.len(), 7, "{history}");
    for (line, text) in steps.iter().zip([
        "CMD [\"cat\", \"greeting\", \"file\"]",
        "USER 1000",
        "COPY file .",
        "RUN echo \"hello $NAME\" > greeting",
        "WORKDIR /app",
        "ENV NAME=world",
    ]) {
        assert!(line.contains(text), "{line}");
    }
    tare.tare(["system", "check"]).prints("everything is well");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_run_has_the_walls_of_a_container() {
    let tare = Tare::new();
    let script = "RUN cat /proc/self/status | grep -E 'Seccomp:|CapEff' > /status; \
                  cat /proc/kcore > /kcore; mount -t tmpfs x /mnt 2> /mount; \
                  ls /sys/class/net > /net; cat /proc/self/cgroup > /cgroup; hostname > /hostname; true";
    let image = Project::new(&tare, &format!("FROM busybox\n{script}\n")).image(&[]);
    let inside = tare.run(["busybox", "sh", "-c", "grep -E 'Seccomp:|CapEff' /proc/self/status"]).ok();
    assert_eq!(image.text("/status"), inside);
    assert_eq!(image.text("/kcore"), "");
    assert!(image.text("/mount").contains("denied") || image.text("/mount").contains("not permitted"));
    assert_eq!(image.text("/net"), "lo\n");
    assert_eq!(image.text("/hostname"), "build\n");
    // What the engine puts in is not the image's.
    for path in ["/.dockerenv", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/proc", "/sys", "/dev"] {
        let base = Image::new(&tare, "busybox");
        assert_eq!(image.has(path), base.has(path), "{path}");
    }
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_layer_holds_what_changed_and_nothing_that_did_not() {
    let tare = Tare::new();
    let base = Image::new(&tare, "busybox").layers();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN true\nRUN rm /bin/vi\nRUN mkdir -p /a/b && chmod 700 /a && touch -d @1000000000 /a/b/c\n\
         WORKDIR /a\nENV X=1\n",
    );
    let image = project.image(&[]);
    assert_eq!(image.layers(), base + 2, "neither RUN true nor a directory that is there makes a layer");
    assert!(!image.has("/bin/vi") && image.has("/bin/ls"));
    assert_eq!(image.mode("/a"), "700 0:0");
    assert_eq!(image.config("WorkingDir"), "/a");
    // What was saved and loaded elsewhere is the same.
    let saved = tare.tare(["save", &image.id]);
    let other = Tare::empty();
    other.tare_with_input(["load"], saved.bytes()).ok();
    let loaded = Image::new(&other, &image.id);
    assert_eq!(loaded.mode("/a/b/c"), image.mode("/a/b/c"));
    assert!(!loaded.has("/bin/vi"));
    tare.tare(["system", "check"]).prints("everything is well");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn triggers_run_in_the_image_that_is_built_upon() {
    let tare = Tare::new();
    let parent = "FROM busybox\nONBUILD COPY src /src\nONBUILD RUN cat /src > /ran\nONBUILD ENV FROM=parent\n";
    let parent = Project::new(&tare, parent).image(&["-t", "parent"]);
    assert_eq!(parent.config("OnBuild"), &json!(["COPY src /src", "RUN cat /src > /ran", "ENV FROM=parent"]));
    let child = Project::new(&tare, "FROM parent\nLABEL x=$FROM\n").with("src", "child").image(&["-t", "child"]);
    assert_eq!(child.text("/ran"), "child");
    assert_eq!(child.config("Labels")["x"], "parent");
    assert!(child.config("OnBuild").is_null(), "{}", child.json["Config"]);
    Project::new(&tare, "FROM child\n").image(&[]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn limits_and_hosts_reach_the_steps() {
    let tare = Tare::new();
    let project = Project::new(
        &tare,
        "FROM busybox\nRUN ulimit -n > /files; grep extra /etc/hosts > /extra; df -k /dev/shm | tail -1 > /shm\n",
    );
    let options = ["--ulimit", "nofile=100:100", "--add-host", "extra:1.2.3.4", "--shm-size=2m", "--memory=64m"];
    let image = project.image(&options);
    assert_eq!(image.text("/files"), "100\n");
    assert_eq!(image.text("/extra"), "1.2.3.4\textra\n");
    assert!(image.text("/shm").contains(" 2048 "), "{}", image.text("/shm"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn networks_and_privileges_are_asked_for() {
    let tare = Tare::new();
    let host = "FROM busybox\nRUN --network=host readlink /proc/self/ns/net > /net\n";
    Project::new(&tare, host).build(&[]).fails_with("network.host is not allowed");
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let image = Project::new(&tare, host).image(&["--allow", "network.host"]);
    assert_eq!(image.text("/net").trim(), own.to_str().unwrap());
    let image = Project::new(&tare, "FROM busybox\nRUN readlink /proc/self/ns/net > /net\n").image(&["--network=host"]);
    assert_eq!(image.text("/net").trim(), own.to_str().unwrap());
    let image =
        Project::new(&tare, "FROM busybox\nRUN --network=none ls /sys/class/net > /net\n").image(&["--network=host"]);
    assert_eq!(image.text("/net"), "lo\n");
    let insecure = "FROM busybox\nRUN --security=insecure mount -t tmpfs x /mnt && echo mounted > /ok\n";
    Project::new(&tare, insecure).build(&[]).fails_with("security.insecure is not allowed");
    let image = Project::new(&tare, insecure).image(&["--allow", "security.insecure"]);
    assert_eq!(image.text("/ok"), "mounted\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn steps_are_in_the_default_network_and_give_their_address_back() {
    let tare = Tare::on_own_host();
    let step = "ip -o -4 addr show eth0 > /address && ping -c1 -W2 172.17.0.1 > /ping";
    let image = Project::new(&tare, &format!("FROM busybox\nRUN {step}\n")).image(&[]);
    assert!(image.text("/address").contains("172.17.0.2/16"), "{}", image.text("/address"));
    let image = Project::new(&tare, &format!("FROM busybox\nRUN true && {step}\n")).image(&[]);
    assert!(image.text("/address").contains("172.17.0.2/16"), "{}", image.text("/address"));
    let image = Project::new(&tare, "FROM busybox\nRUN --network=none ls /sys/class/net > /net\n").image(&[]);
    assert_eq!(image.text("/net"), "lo\n");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_same_inputs_and_one_epoch_give_one_image_anywhere() {
    let dockerfile =
        "FROM busybox\nWORKDIR /w\nCOPY a .\nRUN echo x > /made && mkdir /dir\nENV A=b\nCOPY <<E /e\ntext\nE\n";
    let base = Tare::new().tare(["save", "busybox"]);
    let build = |wait: bool| {
        let tare = Tare::empty();
        tare.tare_with_input(["load"], base.bytes()).ok();
        let project = Project::new(&tare, dockerfile).with("a", "a");
        if wait {
            // Another second on the clock of files.
            std::thread::sleep(std::time::Duration::from_millis(1100));
            project.write("a", "a");
        }
        let image = project.image(&["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]);
        assert_eq!(image.json["Created"], "2023-11-14T22:13:20Z");
        let (_, metadata) = image.find("/made").unwrap();
        tare.tare(["system", "check"]).prints("everything is well");
        (image.id, std::os::unix::fs::MetadataExt::mtime(&metadata))
    };
    let (first, time) = build(false);
    assert_eq!(time, 1_700_000_000);
    assert_eq!(build(true).0, first);
}
