//! Larger roots than busybox: Debian, and this machine's own.

use e2e::{Tare, Terminal};

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn debian_runs_its_tools() {
    let tare = Tare::debian();
    let run = |command: &[&str]| tare.run(["debian:bookworm"].iter().chain(command));
    run(&["apt-get", "--version"]).says("apt 2.");
    run(&["perl", "-e", "print 6*7"]).prints("42");
    run(&["cat", "/etc/os-release"]).says("bookworm");
    run(&["sh", "-c", "id -un nobody; getent passwd root; ls /var/lib/dpkg/info | wc -l"]).says("nobody");
    run(&["dpkg", "--verify", "coreutils", "bash"]).ok();
    run(&["sh", "-c", "apt-get install -y --no-download no-such-package"]).exits(100);
    tare.run(["-u", "www-data", "debian:bookworm", "id", "-un"]).prints("www-data");
    let mut terminal = Terminal::start(&tare.command(["run", "--rm", "-it", "--network=none", "debian:bookworm"]));
    terminal.send("echo $BASH_VERSION-$((6*7)); tty\n").expect("-42").expect("/dev/pts/0").send("exit 4\n");
    assert_eq!(terminal.exit_code(), 4);
    limited(&tare, "debian:bookworm");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn host_is_an_image_without_a_download() {
    let tare = Tare::empty();
    let run = |command: &[&str]| tare.run(["host"].iter().chain(command));
    let release = std::fs::read_to_string("/etc/os-release").unwrap();
    run(&["cat", "/etc/os-release"]).prints(release.trim());
    run(&["sh", "-c", "echo $$; id -u"]).prints("1\n0");
    let mut terminal = Terminal::start(&tare.command(["run", "--rm", "-it", "--network=none", "host", "sh"]));
    terminal.send("echo $((6*7)); tty\n").expect("42").expect("/dev/pts/0").send("exit 4\n");
    assert_eq!(terminal.exit_code(), 4);
    limited(&tare, "host");
    tare.tare(["rmi", "host"]).exits(1);
    tare.tare(["import", &e2e::fixture("busybox.tar"), "host"]).exits(1);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn writing_in_the_host_image_leaves_the_host_alone() {
    let tare = Tare::empty();
    let name = format!("/tare-e2e-{}", std::process::id());
    let script = format!("echo x >{name} && rm -rf /etc/os-release /usr/share/doc && cat {name}");
    tare.run(["host", "sh", "-c", &script]).prints("x");
    assert!(!std::path::Path::new(&name).exists() && std::path::Path::new("/etc/os-release").exists());
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn the_host_image_hides_the_data_of_engines() {
    let tare = Tare::new();
    let root = tare.root();
    let script = format!("ls -A {} {} 2>/dev/null | grep -v : | wc -w", root.display(), tare.run_dir().display());
    tare.run(["host", "sh", "-c", &script]).prints("0");
}

/// The same options on every image.
fn limited(tare: &Tare, image: &str) {
    let dir = tare.dir("shared");
    let bind = format!("{}:/mnt", dir.display());
    let options = ["--memory=64m", "--pids-limit=50", "--hostname=box", "-v", &bind, "--read-only", "--tmpfs=/tmp"];
    let script = "touch /mnt/seen /tmp/x; touch /x 2>/dev/null || echo read-only; hostname; exit 7";
    let outcome = tare.run(options.iter().copied().chain([image, "sh", "-c", script]));
    assert_eq!(outcome.exits(7).stdout(), "read-only\nbox\n", "{outcome}");
    assert_eq!(e2e::names(&dir), ["seen"]);
}
