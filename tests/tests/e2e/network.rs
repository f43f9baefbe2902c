//! Networks that need no bridge: none, and the host's.

use e2e::Tare;

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn none_has_a_loopback_that_is_up() {
    let tare = Tare::new();
    let links = tare.run(["busybox", "ip", "-o", "link"]).ok();
    assert_eq!(links.lines().count(), 1, "{links}");
    assert!(links.contains("lo:") && links.contains("UP"), "{links}");
    tare.run(["busybox", "ping", "-c1", "-W2", "127.0.0.1"]).ok();
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn host_has_the_hosts_devices() {
    let tare = Tare::new();
    let inside = tare.tare(["run", "--rm", "--network=host", "busybox", "ls", "/sys/class/net"]).ok();
    let mut outside = e2e::names("/sys/class/net".as_ref());
    outside.sort();
    assert_eq!(inside.split_whitespace().collect::<Vec<_>>(), outside);
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn host_has_the_hosts_name() {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    Tare::new().tare(["run", "--rm", "--network=host", "busybox", "hostname"]).prints(name.trim());
}
