//! Becoming the root where `/` cannot be pivoted away.

use std::path::Path;
use std::process::Output;

use e2e::Tare;
use serde_json::json;

use super::Bundle;

/// Runs a bundle inside the container of another, which stands for an initramfs: the kernel refuses to pivot there.
fn inside(outer: &Bundle<'_>, inner: &Bundle<'_>, options: &[&str]) -> Output {
    let bind = |destination: &str, source: &Path| json!({ "destination": destination, "source": source, "options": ["rbind", "rw"] });
    let capabilities = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "KILL",
        "MKNOD",
        "NET_ADMIN",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_ADMIN",
        "SYS_CHROOT",
    ];
    let capabilities = capabilities.map(|name| format!("CAP_{name}"));
    outer.change(|config| {
        let command = ["/tare", "runtime", "run", "--bundle", "/bundle", &inner.id];
        config["process"]["args"] = json!([&command[..3], options, &command[3..]].concat());
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(capabilities);
        }
        config["process"]["noNewPrivileges"] = false.into();
        config["root"]["readonly"] = false.into();
        let host = ["/proc", "/sys", "/dev"].map(|dir| bind(dir, Path::new(dir)));
        let own = [bind("/tare", &e2e::binary()), bind("/bundle", &inner.dir)];
        config["mounts"] = json!([&host[..], &own].concat());
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
        config["linux"]["namespaces"] = json!([{ "type": "mount" }]);
        // It would be the host's.
        config["hostname"].take();
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["pivot_root"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22 }],
        });
    });
    outer.run_here()
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn a_root_that_cannot_be_pivoted_is_left_by_chroot() {
    let (first, second) = (Tare::empty(), Tare::empty());
    let inner = Bundle::new(&first, "readlink /proc/self/root; ls -d /bin/busybox /bundle 2>/dev/null; true");
    let outer = Bundle::new(&second, "");
    let refused = inside(&outer, &inner, &[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--no-pivot"), "{refused:?}");
    let output = inside(&outer, &inner, &["--no-pivot"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/\n/bin/busybox\n", "{output:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn no_procfs_of_the_host_stays_within_reach_without_a_pivot() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "unshare -mrpf sh -c 'mount -t proc none /proc && echo mounted; id -u'; true");
    bundle.change(|config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] =
                json!(["CAP_SYS_ADMIN", "CAP_SETFCAP", "CAP_SETUID", "CAP_SETGID"]);
        }
    });
    let output = bundle.run(&["run", "--no-pivot", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
}

#[test]
#[cfg_attr(not(feature = "root"), ignore = "needs root")]
fn rootless_takes_three_words() {
    let tare = Tare::empty();
    let bundle = Bundle::new(&tare, "true");
    for value in ["auto", "true", "false"] {
        bundle.ok(&["--rootless", value, "list"]);
    }
    let output = bundle.run(&["--rootless", "maybe", "list"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--rootless"), "{output:?}");
}
