//! Another machine beside a test's host: a network namespace at the other end of a cable.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use sys::namespace::{self, flag};

/// A machine with the addresses 10.9.0.2 and fd09::2, whose neighbour the test's host is, as 10.9.0.1 and fd09::1. It knows no
/// route to anywhere else.
#[derive(Debug)]
pub struct Neighbour {
    namespace: File,
}

impl Neighbour {
    pub const ADDRESS: &str = "10.9.0.2";
    pub const HOST: &str = "10.9.0.1";
    pub const ADDRESS6: &str = "fd09::2";
    pub const HOST6: &str = "fd09::1";

    /// Makes it, and the cable to the namespace that this thread is in.
    pub fn new() -> Self {
        let made = std::thread::spawn(|| {
            crate::own_host();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let neighbour = Self { namespace: made.join().unwrap() };
        let there = format!("/proc/{}/fd/{}", std::process::id(), neighbour.namespace.as_raw_fd());
        ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &there]);
        ip(&["addr", "add", "10.9.0.1/24", "dev", "near"]);
        ip(&["addr", "add", "fd09::1/64", "dev", "near", "nodad"]);
        ip(&["link", "set", "near", "up"]);
        neighbour.inside(|| {
            ip(&["addr", "add", "10.9.0.2/24", "dev", "far"]);
            ip(&["addr", "add", "fd09::2/64", "dev", "far", "nodad"]);
            ip(&["link", "set", "far", "up"]);
        });
        neighbour
    }

    /// Does something there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.namespace, work)
    }
}

/// Does something in the network namespace of a process.
pub fn in_network_of<T: Send>(pid: u32, work: impl FnOnce() -> T + Send) -> T {
    inside(&File::open(format!("/proc/{pid}/ns/net")).unwrap(), work)
}

fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            namespace::enter(namespace.as_fd(), flag::NETWORK).unwrap();
            work()
        });
        work.join().unwrap()
    })
}

impl Default for Neighbour {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `ip ARGUMENTS` in the namespace that this thread is in; gives what it prints.
#[track_caller]
pub fn ip(arguments: &[&str]) -> String {
    crate::Outcome::of(Command::new("ip").args(arguments)).ok()
}
