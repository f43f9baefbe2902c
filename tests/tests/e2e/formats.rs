//! `--format`: what Docker's users write in scripts.

use e2e::{Tare, until};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn inspect_fills_templates_in() {
    let tare = Tare::new();
    let id = tare.detached(&["--name=box", "-l", "com.example.a=x", "-v", "/data"], "exec sleep 1000");
    let inspect = |format: &str| tare.tare(["inspect", "-f", format, "box"]);
    inspect("{{.Id}} {{.State.Pid}}").prints(&format!("{id} {}", tare.pid("box")));
    inspect("{{.State.Status}}{{if .State.Running}}!{{end}}").prints("running!");
    inspect("{{range .Mounts}}{{.Type}} {{.Destination}}{{end}}").prints("volume /data");
    inspect("{{index .Config.Labels \"com.example.a\"}}").prints("x");
    inspect("{{json .Config.Cmd}}").prints("[\"sh\",\"-c\",\"exec sleep 1000\"]");
    inspect("{{.Nmae}}").fails(1, ".Name");
    inspect("{{.Id").fails(1, "}}");
    let json: serde_json::Value = serde_json::from_str(&inspect("json").ok()).unwrap();
    assert_eq!(json["Id"], id);
    tare.tare(["inspect", "--format={{.Os}}", "busybox"]).prints("linux");
    tare.tare(["rm", "-f", "-v", "box"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn lists_fill_templates_in() {
    let tare = Tare::new();
    for name in ["one", "two"] {
        tare.tare(["create", "--network=none", "--name", name, "busybox", "sh"]).ok();
    }
    tare.tare(["ps", "-a", "--format", "{{.Names}}: {{.State}} {{upper .Image}}"])
        .prints("two: created BUSYBOX\none: created BUSYBOX");
    tare.tare(["ps", "-a", "--format", "table {{.Names}}\t{{.Command}}"])
        .prints("NAMES   COMMAND\ntwo     \"sh\"\none     \"sh\"");
    let line = tare.tare(["ps", "-a", "-n", "1", "--format", "json"]).ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["Names"], "two");
    tare.tare(["images", "--format", "{{.Repository}}:{{.Tag}}"]).prints("busybox:latest");
    tare.tare(["ps", "--format", "{{.Nope}}", "-a"]).fails(1, "there is no field");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn containers_are_found_by_every_filter() {
    let tare = Tare::new();
    tare.tare(["tag", "busybox", "other"]).ok();
    tare.detached(&["--name=web", "-ltier=front", "-lowner=me", "-vdata:/data"], "exec sleep 1000");
    let id = tare.inspect("web")["Id"].as_str().unwrap().to_owned();
    tare.detached(&["--name=web-2", "--health-cmd=true", "--health-interval=50ms"], "exec sleep 1000");
    tare.detached(&["--name=paused", "--expose=80"], "exec sleep 1000");
    tare.tare(["pause", "paused"]).ok();
    tare.detached(&["--name=ended", "-ltier=back"], "exit 3");
    tare.tare(["wait", "ended"]).ok();
    tare.tare(["create", "--network=none", "--name=made", "host", "true"]).ok();
    until("it is healthy", || tare.inspect("web-2")["State"]["Health"]["Status"] == "healthy");
    let found = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
        let all = tare.tare(["ps", "-a", "--format", "{{.Names}}"].into_iter().chain(filters)).ok();
        all.lines().collect::<Vec<_>>().join(" ")
    };
    for (filters, expected) in [
        (&["name=web"][..], "web-2 web"),
        (&["name=^/web$"], "web"),
        (&["name=^web$", "name=ended"], "ended web"),
        (&["name=w.b-[0-9]"], "web-2"),
        (&[&format!("id={}", &id[..10])], "web"),
        (&["label=tier"], "ended web"),
        (&["label=tier=front", "label=owner"], "web"),
        (&["label=tier", "label!=tier=back"], "web"),
        (&["status=exited"], "ended"),
        (&["status=paused", "status=created"], "made paused"),
        (&["status=running"], "web-2 web"),
        (&["exited=3"], "ended"),
        (&["exited=0"], ""),
        (&["ancestor=other"], "ended paused web-2 web"),
        (&["ancestor=host"], "made"),
        (&["ancestor=no-such-image"], ""),
        (&["before=paused"], "web-2 web"),
        (&["since=paused"], "made ended"),
        (&["volume=data"], "web"),
        (&["volume=/data"], "web"),
        (&["network=none", "name=web"], "web-2 web"),
        (&["health=healthy"], "web-2"),
        (&["health=none", "label=tier"], "ended web"),
        (&["expose=80"], "paused"),
        (&["expose=79-81/udp"], ""),
        (&["publish=80"], ""),
        (&["is-task=true"], ""),
        (&["is-task=false", "label=owner"], "web"),
    ] {
        assert_eq!(found(filters), expected, "{filters:?}");
    }
    // What does not run is looked at when it is asked for.
    tare.tare(["ps", "-q", "--no-trunc", "--filter", "status=exited"])
        .says(tare.inspect("ended")["Id"].as_str().unwrap());
    let refused = |filter: &str, why: &str| {
        tare.tare(["ps", "--filter", filter]).fails(1, why);
    };
    refused("colour=red", "invalid filter");
    refused("status=well", "created, dead");
    refused("health=fine", "unhealthy");
    refused("before=nobody", "no such container");
    refused("name=(", "regular expression");
    refused("isolation=default", "Windows");
    refused("expose=http", "as in 80");
    tare.tare(["unpause", "paused"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn sizes_are_shown_when_they_are_asked_for() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "head -c 123456 /dev/zero > /file; ln /file /again; exec sleep 1000");
    until("it has written", || tare.tare(["exec", "box", "test", "-e", "/again"]).code() == 0);
    let sized = tare.tare(["inspect", "-s", "--type=container", "-f", "{{.SizeRw}}", "box"]).ok();
    assert_eq!(sized.trim(), "123456");
    assert_eq!(tare.inspect("box").get("SizeRw"), None);
    let image: u64 = tare.tare(["inspect", "-f", "{{.Size}}", "busybox"]).ok().trim().parse().unwrap();
    let whole = tare.tare(["inspect", "-s", "-f", "{{.SizeRootFs}}", "box"]).ok();
    assert_eq!(whole.trim(), (image + 123_456).to_string());
    let table = tare.tare(["ps", "-s"]).ok();
    assert!(table.lines().next().unwrap().ends_with("SIZE") && table.contains("(virtual "), "{table}");
    assert_eq!(tare.tare(["ps", "--format", "{{.Size}}"]).ok().split(' ').next(), Some("123kB"));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn inspect_has_dockers_fields() {
    let tare = Tare::new();
    let options =
        ["--name=box", "--ulimit=nofile=100:200", "--device-cgroup-rule=c 1:* r", "--device=/dev/null:/dev/nil"];
    tare.detached(&options, "exec sleep 1000");
    let box_ = tare.inspect("box");
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    // Docker 28, by hand; what it leaves out when it is empty is left out here too.
    let host = keys(&box_["HostConfig"]);
    for key in [
        "AutoRemove",
        "Binds",
        "BlkioDeviceReadBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceWriteIOps",
        "BlkioWeight",
        "BlkioWeightDevice",
        "CapAdd",
        "CapDrop",
        "Cgroup",
        "CgroupParent",
        "CgroupnsMode",
        "ConsoleSize",
        "ContainerIDFile",
        "CpuCount",
        "CpuPercent",
        "CpuPeriod",
        "CpuQuota",
        "CpuRealtimePeriod",
        "CpuRealtimeRuntime",
        "CpuShares",
        "CpusetCpus",
        "CpusetMems",
        "DeviceCgroupRules",
        "DeviceRequests",
        "Devices",
        "Dns",
        "DnsOptions",
        "DnsSearch",
        "ExtraHosts",
        "GroupAdd",
        "IOMaximumBandwidth",
        "IOMaximumIOps",
        "IpcMode",
        "Isolation",
        "Links",
        "LogConfig",
        "MaskedPaths",
        "Memory",
        "MemoryReservation",
        "MemorySwap",
        "MemorySwappiness",
        "NanoCpus",
        "NetworkMode",
        "OomKillDisable",
        "OomScoreAdj",
        "PidMode",
        "PidsLimit",
        "PortBindings",
        "Privileged",
        "PublishAllPorts",
        "ReadonlyPaths",
        "ReadonlyRootfs",
        "RestartPolicy",
        "Runtime",
        "SecurityOpt",
        "ShmSize",
        "UTSMode",
        "Ulimits",
        "UsernsMode",
        "VolumeDriver",
        "VolumesFrom",
    ] {
        assert!(host.contains(&key.to_owned()), "HostConfig.{key}");
    }
    let config = keys(&box_["Config"]);
    for key in ["AttachStderr", "AttachStdin", "AttachStdout", "OnBuild", "OpenStdin", "StdinOnce", "Volumes", "Tty"] {
        assert!(config.contains(&key.to_owned()), "Config.{key}");
    }
    let host = &box_["HostConfig"];
    assert_eq!(host["Ulimits"], serde_json::json!([{"Name": "nofile", "Hard": 200, "Soft": 100}]));
    assert_eq!(host["DeviceCgroupRules"], serde_json::json!(["c 1:* r"]));
    assert_eq!(host["Devices"][0]["PathInContainer"], "/dev/nil");
    assert!(host["MaskedPaths"].as_array().unwrap().contains(&"/proc/kcore".into()));
    assert_eq!(box_["Config"]["AttachStdout"], false);
    // Further processes, while there are some.
    assert_eq!(box_["ExecIDs"], serde_json::Value::Null);
    tare.tare(["exec", "-d", "box", "sleep", "1000"]).ok();
    let ids = tare.inspect("box")["ExecIDs"].clone();
    assert_eq!((ids.as_array().unwrap().len(), ids[0].as_str().unwrap().len()), (1, 64), "{ids}");
    tare.tare(["volume", "create", "data"]).ok();
    tare.tare(["inspect", "--type=volume", "-f", "{{.Name}}", "data"]).prints("data");
    tare.tare(["inspect", "-f", "{{.Driver}}", "data"]).prints("local");
    tare.tare(["inspect", "nothing"]).fails(1, "no such object");
    tare.tare(["volume", "inspect", "-f", "{{.Scope}}", "data"]).prints("local");
    tare.tare(["volume", "ls", "--format", "{{.Name}} in {{.Driver}}"]).prints("data in local");
    tare.tare(["volume", "ls"]).prints("DRIVER   VOLUME NAME\nlocal    data");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_machine_and_the_program_are_described() {
    let tare = Tare::new();
    tare.detached(&["--name=box"], "exec sleep 1000");
    let info = |format: &str| tare.tare(["info", "-f", format]).ok().trim().to_owned();
    assert_eq!(info("{{.Containers}} {{.ContainersRunning}} {{.ContainersStopped}} {{.Images}}"), "1 1 0 1");
    let cpus = std::thread::available_parallelism().unwrap();
    assert_eq!(info("{{.NCPU}} {{.OSType}} {{.Driver}}"), format!("{cpus} linux overlay2"));
    assert!(info("{{.DockerRootDir}}").ends_with("/root"));
    tare.tare(["system", "info"]).says("Kernel Version: ");
    let version = |format: &str| tare.tare(["version", "-f", format]).ok().trim().to_owned();
    assert_eq!(version("{{.Client.Version}}"), version("{{.Server.Version}}"));
    assert!(tare.tare(["version"]).ok().contains(&version("{{.Server.Version}}")));
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn what_stats_shows_is_what_the_control_groups_say() {
    let tare = Tare::new();
    let id = tare.detached(&["--name=box"], "sleep 1000 & sleep 1000 & exec sleep 1000");
    until("all three run", || tare.tare(["top", "box"]).ok().lines().count() == 4);
    let line = tare.tare(["stats", "--no-stream", "--format", "json", "box"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&line).unwrap();
    let keys: Vec<&String> = shown.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 9, "{line}");
    let read = |name: &str| -> Option<u64> {
        let text = e2e::cgroups_of(&id).into_iter().find_map(|dir| std::fs::read_to_string(dir.join(name)).ok())?;
        text.trim().parse().ok()
    };
    let pids = read("pids.current").expect("a group counts processes");
    assert_eq!((shown["PIDs"].as_str(), pids), (Some("3"), 3));
    // Memory moves while one looks: in the range of what it was before and after, with the page cache that could go.
    let memory = read("memory.usage_in_bytes").or_else(|| read("memory.current")).expect("a group counts memory");
    let used = shown["MemUsage"].as_str().unwrap().split(' ').next().unwrap();
    let (number, unit) = used.split_at(used.find(|c: char| c.is_ascii_alphabetic()).unwrap());
    let factor = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        other => panic!("{other}"),
    };
    let used = number.parse::<f64>().unwrap() * factor;
    assert!(used > 0.0 && used <= memory as f64 * 1.5 + 65536.0, "{used} of {memory}");
    assert_eq!((&shown["Name"], &shown["ID"]), (&"box".into(), &id[..12].into()));
    let table = tare.tare(["stats", "--no-stream"]).ok();
    assert_eq!(
        table.lines().next().unwrap().split("  ").map(str::trim).filter(|title| !title.is_empty()).collect::<Vec<_>>(),
        ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"]
    );
}
