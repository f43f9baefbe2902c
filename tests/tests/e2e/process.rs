//! The process itself: user, groups, environment, directory, command.

use std::fs;

use e2e::Tare;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn users_are_looked_up_in_the_image() {
    let tare = Tare::new();
    let id = "echo $(id -u) $(id -g) $(id -G)";
    tare.sh(&[], id).prints("0 0 0");
    tare.sh(&["-u", "www-data"], id).prints("33 33 33 4 100");
    tare.sh(&["-u", "33"], id).prints("33 33 33 4 100");
    tare.sh(&["-u", "www-data:daemon"], id).prints("33 1 1");
    tare.sh(&["-u", "1234:5678"], id).prints("1234 5678 5678");
    tare.sh(&["-u", "1234"], id).prints("1234 0 0");
    tare.sh(&["-u", "nobody", "--group-add=adm", "--group-add", "777"], id).prints("65534 65534 65534 4 777");
    tare.run(["-u", "no-such-user", "busybox", "true"]).fails(125, "no-such-user");
    tare.run(["-u", "root:no-such-group", "busybox", "true"]).fails(125, "no-such-group");
    tare.run(["--group-add=no-such-group", "busybox", "true"]).fails(125, "no-such-group");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn home_is_the_users() {
    let tare = Tare::new();
    tare.sh(&[], "echo $HOME").prints("/root");
    tare.sh(&["-u", "www-data"], "echo $HOME").prints("/home/www-data");
    tare.sh(&["-u", "4321"], "echo $HOME").prints("/");
    tare.sh(&["-e", "HOME=/elsewhere"], "echo $HOME").prints("/elsewhere");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn environment_is_the_images_and_what_is_given() {
    let tare = Tare::new();
    let file = tare.file("env", "# a comment\nONE=1\nTWO=with spaces and = signs\n\nINHERITED\n");
    let options = ["-e", "THREE=3", "--env", "INHERITED", "-e", "MISSING", "--env-file", &file, "-e", "ONE=first"];
    let mut command = tare.command(["run", "--rm", "--network=none"].iter().chain(&options).chain(&["busybox", "env"]));
    let seen = e2e::Outcome::of(command.env("INHERITED", "from the caller").env_remove("MISSING")).ok();
    let mut lines: Vec<&str> = seen.lines().filter(|line| !line.starts_with("HOSTNAME=")).collect();
    lines.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let expected =
        ["HOME=/root", "INHERITED=from the caller", "ONE=first", path, "THREE=3", "TWO=with spaces and = signs"];
    assert_eq!(lines, expected);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn nothing_else_leaks_into_the_container() {
    let tare = Tare::new();
    let mut command = tare.command(["run", "--rm", "--network=none", "busybox", "sh", "-c", "env; ls /proc/self/fd"]);
    let seen = e2e::Outcome::of(command.env("SECRET_OF_THE_CALLER", "x")).ok();
    assert!(!seen.contains("SECRET") && !seen.contains("TARE"), "{seen}");
    // The listing itself holds one descriptor.
    let fds: Vec<&str> = seen.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(fds, ["0", "1", "2", "3"]);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn working_directory_is_made_when_missing() {
    let tare = Tare::new();
    tare.run(["busybox", "pwd"]).prints("/");
    tare.run(["-w", "/tmp", "busybox", "pwd"]).prints("/tmp");
    tare.run(["--workdir=/new/place", "busybox", "pwd"]).prints("/new/place");
    tare.run(["-w", "/etc/passwd", "busybox", "pwd"]).fails(125, "/etc/passwd");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn entrypoint_and_command_are_joined() {
    let tare = Tare::new();
    tare.run(["--entrypoint", "echo", "busybox", "a", "b c"]).prints("a b c");
    let entry = ["import", "--change", "ENTRYPOINT [\"echo\", \"hello\"]", "--change", "CMD [\"world\"]"];
    tare.tare(entry.into_iter().chain([&*e2e::fixture("busybox.tar"), "greeter"])).ok();
    tare.run(["greeter"]).prints("hello world");
    tare.run(["greeter", "you"]).prints("hello you");
    tare.run(["--entrypoint=echo", "greeter"]).prints("");
    tare.run(["--entrypoint=", "greeter", "echo", "bare"]).prints("bare");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn an_image_without_a_command_needs_one() {
    let tare = Tare::new();
    tare.tare(["import", &e2e::fixture("busybox.tar"), "mute"]).ok();
    tare.run(["mute"]).fails(125, "command");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn changes_of_an_import_are_the_images_defaults() {
    let tare = Tare::new();
    let changes =
        ["-c", "ENV A=1 B=\"two words\"", "-c", "USER www-data", "-c", "WORKDIR /tmp", "-c", "CMD id -u; pwd"];
    tare.tare(["import"].into_iter().chain(changes).chain([&*e2e::fixture("busybox.tar"), "defaults"])).ok();
    tare.run(["defaults"]).prints("33\n/tmp");
    tare.run(["defaults", "sh", "-c", "echo $A $B"]).prints("1 two words");
    tare.run(["-u", "0", "-w", "/", "defaults", "sh", "-c", "id -u; pwd"]).prints("0\n/");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn init_reaps_and_passes_signals_on() {
    let tare = Tare::new();
    tare.sh(&["--init"], "test $$ -ne 1 && ps -o pid,comm | awk '$1 == 1'").says("init");
    // An orphan that ends becomes a child of pid 1, and then nothing.
    let script = "(sleep 0.1 &) ; sleep 0.5; ps -o stat | grep -c Z";
    tare.sh(&["--init"], script).exits(1);
    let id = tare.detached(&["--init"], "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done");
    tare.wait_for_log(&id, "ready");
    tare.tare(["stop", &id]).ok();
    tare.wait_for_log(&id, "got it");
    assert_eq!(tare.inspect(&id)["State"]["ExitCode"], 3);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn labels_and_names_are_recorded() {
    let tare = Tare::new();
    let labels = tare.file("labels", "from=file\n# not this\n");
    let options = ["--name=named", "--label", "a=1", "-l", "b", "--label-file", &labels];
    let id = tare.detached(&options, "true");
    let seen = tare.inspect("named");
    assert_eq!(seen["Id"], *id);
    assert_eq!(seen["Name"], "/named");
    let expected = serde_json::json!({"a": "1", "b": "", "from": "file"});
    assert_eq!(seen["Config"]["Labels"], expected);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_id_is_written_where_asked() {
    let tare = Tare::new();
    let path = tare.dir("").join("cid");
    let option = format!("--cidfile={}", path.display());
    let id = tare.detached(&[&option], "true");
    assert_eq!(fs::read_to_string(&path).unwrap(), id);
    tare.run([&option, "busybox", "true"]).fails(125, "cid");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn arguments_arrive_unchanged() {
    let tare = Tare::new();
    let strange = ["", " ", "a b", "\"quoted\"", "$HOME", "*", "--rm", "日本", "\\", "line\nbreak"];
    let printed = tare.run(["busybox", "printf", "<%s>\\n"].iter().chain(&strange)).ok();
    assert_eq!(printed, strange.map(|word| format!("<{word}>\n")).concat());
}
