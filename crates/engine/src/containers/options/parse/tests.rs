use super::*;

#[test]
fn time_offsets() {
    let mut time = Time::default();
    time_offset("boottime=-1.5,monotonic=zero", &mut time).unwrap();
    assert_eq!(time.boottime, Some(Offset::By(TimeOffset { secs: -2, nanosecs: 500_000_000 })));
    assert_eq!(time.monotonic, Some(Offset::Zero));
    time_offset("zero", &mut time).unwrap();
    assert_eq!(time.boottime, Some(Offset::Zero));
    for bad in ["", "boottime", "boottime=x", "realtime=1", "boottime=1.0123456789", "boottime=--1"] {
        assert!(time_offset(bad, &mut Time::default()).is_err(), "{bad}");
    }
}

#[test]
fn volumes() {
    let mount = volume("/a:/b:ro,rslave").unwrap();
    assert!(mount.read_only);
    let MountKind::Bind { source, create, recursive, propagation } = mount.kind else { panic!("not a bind") };
    assert_eq!((source, create, recursive, propagation.as_deref()), ("/a".into(), true, true, Some("rslave")));
    let anonymous = MountKind::Volume { name: None, anonymous: true, nocopy: false };
    assert_eq!(volume("/a").unwrap(), Mount { target: "/a".into(), kind: anonymous, read_only: false });
    let named = MountKind::Volume { name: Some("name".into()), anonymous: false, nocopy: true };
    assert_eq!(volume("name:/b:nocopy,ro").unwrap(), Mount { target: "/b".into(), kind: named, read_only: true });
    for bad in ["a", "name:b", "/a:b", "/a:/b:ro:x", "/a:/b:what", ":/b", "n/a:/b"] {
        assert!(volume(bad).is_err(), "{bad}");
    }
}

#[test]
fn mounts() {
    let bind = mount("type=bind,src=/a,dst=/b,readonly").unwrap();
    assert!(bind.read_only && matches!(bind.kind, MountKind::Bind { create: false, .. }));
    let tmpfs = mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700").unwrap();
    assert_eq!(tmpfs.kind, MountKind::Tmpfs { options: vec!["size=1048576".into(), "mode=700".into()] });
    for bad in [
        "type=bind,target=/b",
        "type=tmpfs,source=/x,target=/b",
        "type=bind,src=/a",
        "src=n/a,target=/x",
        "type=bind,x=1",
    ] {
        assert!(mount(bad).is_err(), "{bad}");
    }
}

#[test]
fn devices_and_rules() {
    assert_eq!(device("/dev/null:r").unwrap().access, "r");
    assert_eq!(device("/dev/null:/dev/x").unwrap().target, "/dev/x");
    assert!(device("/dev/null:x").is_err());
    let rule = device_rule("c 42:* rw").unwrap();
    assert_eq!((rule.major, rule.minor, rule.access.as_str()), (Some(42), None, "rw"));
    for bad in ["c 42 rw", "x 1:1 r", "c 1:1 rx", "c a:1 r"] {
        assert!(device_rule(bad).is_err(), "{bad}");
    }
}

#[test]
fn numbers() {
    assert_eq!(cpus("0.2").unwrap(), 200_000_000);
    for bad in ["0", "-1", "x", "inf", "0.001", "100000"] {
        assert!(cpus(bad).is_err(), "{bad}");
    }
    assert_eq!(ulimit("nofile=10:-1").unwrap().hard, u64::MAX);
    for bad in ["nofile", "nope=1", "nofile=2:1", "nofile=x"] {
        assert!(ulimit(bad).is_err(), "{bad}");
    }
    assert_eq!(extra_host("a:::1").unwrap().1, "::1");
    assert!(extra_host("a:b").is_err());
}
