//! `--format`: what Docker's users write in scripts.

use e2e::Tare;

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
