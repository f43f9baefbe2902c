//! The specification's own example survives a round trip, and so does what runc writes.

use serde_json::{Value, json};

use super::*;

/// The full example of config.md.
const EXAMPLE: &str = r#"{
 "ociVersion": "1.0.1",
 "process": {
  "terminal": true,
  "user": {
   "uid": 1,
   "gid": 1,
   "additionalGids": [
    5,
    6
   ]
  },
  "args": [
   "sh"
  ],
  "env": [
   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
   "TERM=xterm"
  ],
  "cwd": "/",
  "capabilities": {
   "bounding": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE"
   ],
   "permitted": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE"
   ],
   "inheritable": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE"
   ],
   "effective": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL"
   ],
   "ambient": [
    "CAP_NET_BIND_SERVICE"
   ]
  },
  "rlimits": [
   {
    "type": "RLIMIT_CORE",
    "hard": 1024,
    "soft": 1024
   },
   {
    "type": "RLIMIT_NOFILE",
    "hard": 1024,
    "soft": 1024
   }
  ],
  "apparmorProfile": "acme_secure_profile",
  "oomScoreAdj": 100,
  "selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0:c124,c675",
  "ioPriority": {
   "class": "IOPRIO_CLASS_IDLE",
   "priority": 4
  },
  "noNewPrivileges": true
 },
 "root": {
  "path": "rootfs",
  "readonly": true
 },
 "hostname": "slartibartfast",
 "mounts": [
  {
   "destination": "/proc",
   "type": "proc",
   "source": "proc"
  },
  {
   "destination": "/dev",
   "type": "tmpfs",
   "source": "tmpfs",
   "options": [
    "nosuid",
    "strictatime",
    "mode=755",
    "size=65536k"
   ]
  },
  {
   "destination": "/dev/pts",
   "type": "devpts",
   "source": "devpts",
   "options": [
    "nosuid",
    "noexec",
    "newinstance",
    "ptmxmode=0666",
    "mode=0620",
    "gid=5"
   ]
  },
  {
   "destination": "/dev/shm",
   "type": "tmpfs",
   "source": "shm",
   "options": [
    "nosuid",
    "noexec",
    "nodev",
    "mode=1777",
    "size=65536k"
   ]
  },
  {
   "destination": "/dev/mqueue",
   "type": "mqueue",
   "source": "mqueue",
   "options": [
    "nosuid",
    "noexec",
    "nodev"
   ]
  },
  {
   "destination": "/sys",
   "type": "sysfs",
   "source": "sysfs",
   "options": [
    "nosuid",
    "noexec",
    "nodev"
   ]
  },
  {
   "destination": "/sys/fs/cgroup",
   "type": "cgroup",
   "source": "cgroup",
   "options": [
    "nosuid",
    "noexec",
    "nodev",
    "relatime",
    "ro"
   ]
  }
 ],
 "hooks": {
  "prestart": [
   {
    "path": "/usr/bin/fix-mounts",
    "args": [
     "fix-mounts",
     "arg1",
     "arg2"
    ],
    "env": [
     "key1=value1"
    ]
   },
   {
    "path": "/usr/bin/setup-network"
   }
  ],
  "poststart": [
   {
    "path": "/usr/bin/notify-start",
    "timeout": 5
   }
  ],
  "poststop": [
   {
    "path": "/usr/sbin/cleanup.sh",
    "args": [
     "cleanup.sh",
     "-f"
    ]
   }
  ]
 },
 "linux": {
  "devices": [
   {
    "path": "/dev/fuse",
    "type": "c",
    "major": 10,
    "minor": 229,
    "fileMode": 438,
    "uid": 0,
    "gid": 0
   },
   {
    "path": "/dev/sda",
    "type": "b",
    "major": 8,
    "minor": 0,
    "fileMode": 432,
    "uid": 0,
    "gid": 0
   }
  ],
  "uidMappings": [
   {
    "containerID": 0,
    "hostID": 1000,
    "size": 32000
   }
  ],
  "gidMappings": [
   {
    "containerID": 0,
    "hostID": 1000,
    "size": 32000
   }
  ],
  "sysctl": {
   "net.ipv4.ip_forward": "1",
   "net.core.somaxconn": "256"
  },
  "cgroupsPath": "/myRuntime/myContainer",
  "resources": {
   "network": {
    "classID": 1048577,
    "priorities": [
     {
      "name": "eth0",
      "priority": 500
     },
     {
      "name": "eth1",
      "priority": 1000
     }
    ]
   },
   "pids": {
    "limit": 32771
   },
   "hugepageLimits": [
    {
     "pageSize": "2MB",
     "limit": 9223372036854772000
    },
    {
     "pageSize": "64KB",
     "limit": 1000000
    }
   ],
   "memory": {
    "limit": 536870912,
    "reservation": 536870912,
    "swap": 536870912,
    "kernel": -1,
    "kernelTCP": -1,
    "swappiness": 0,
    "disableOOMKiller": false
   },
   "cpu": {
    "shares": 1024,
    "quota": 1000000,
    "period": 500000,
    "realtimeRuntime": 950000,
    "realtimePeriod": 1000000,
    "cpus": "2-3",
    "idle": 1,
    "mems": "0-7"
   },
   "devices": [
    {
     "allow": false,
     "access": "rwm"
    },
    {
     "allow": true,
     "type": "c",
     "major": 10,
     "minor": 229,
     "access": "rw"
    },
    {
     "allow": true,
     "type": "b",
     "major": 8,
     "minor": 0,
     "access": "r"
    }
   ],
   "blockIO": {
    "weight": 10,
    "leafWeight": 10,
    "weightDevice": [
     {
      "major": 8,
      "minor": 0,
      "weight": 500,
      "leafWeight": 300
     },
     {
      "major": 8,
      "minor": 16,
      "weight": 500
     }
    ],
    "throttleReadBpsDevice": [
     {
      "major": 8,
      "minor": 0,
      "rate": 600
     }
    ],
    "throttleWriteIOPSDevice": [
     {
      "major": 8,
      "minor": 16,
      "rate": 300
     }
    ]
   }
  },
  "rootfsPropagation": "slave",
  "seccomp": {
   "defaultAction": "SCMP_ACT_ALLOW",
   "architectures": [
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32"
   ],
   "syscalls": [
    {
     "names": [
      "getcwd",
      "chmod"
     ],
     "action": "SCMP_ACT_ERRNO"
    }
   ]
  },
  "timeOffsets": {
   "monotonic": {
    "secs": 172800,
    "nanosecs": 0
   },
   "boottime": {
    "secs": 604800,
    "nanosecs": 0
   }
  },
  "namespaces": [
   {
    "type": "pid"
   },
   {
    "type": "network"
   },
   {
    "type": "ipc"
   },
   {
    "type": "uts"
   },
   {
    "type": "mount"
   },
   {
    "type": "user"
   },
   {
    "type": "cgroup"
   },
   {
    "type": "time"
   }
  ],
  "maskedPaths": [
   "/proc/kcore",
   "/proc/latency_stats",
   "/proc/timer_stats",
   "/proc/sched_debug"
  ],
  "readonlyPaths": [
   "/proc/asound",
   "/proc/bus",
   "/proc/fs",
   "/proc/irq",
   "/proc/sys",
   "/proc/sysrq-trigger"
  ],
  "mountLabel": "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811"
 },
 "annotations": {
  "com.example.key1": "value1",
  "com.example.key2": "value2"
 }
}"#;

/// `runc spec` of runc 1.1.5, with fewer mounts and paths.
const RUNC: &str = r#"{
 "ociVersion": "1.0.2-dev",
 "process": {
  "terminal": true,
  "user": {
   "uid": 0,
   "gid": 0
  },
  "args": [
   "sh"
  ],
  "env": [
   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
   "TERM=xterm"
  ],
  "cwd": "/",
  "capabilities": {
   "bounding": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE"
   ],
   "effective": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE"
   ],
   "permitted": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE"
   ],
   "ambient": [
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE"
   ]
  },
  "rlimits": [
   {
    "type": "RLIMIT_NOFILE",
    "hard": 1024,
    "soft": 1024
   }
  ],
  "noNewPrivileges": true
 },
 "root": {
  "path": "rootfs",
  "readonly": true
 },
 "hostname": "runc",
 "mounts": [
  {
   "destination": "/proc",
   "type": "proc",
   "source": "proc"
  },
  {
   "destination": "/dev",
   "type": "tmpfs",
   "source": "tmpfs",
   "options": [
    "nosuid",
    "strictatime",
    "mode=755",
    "size=65536k"
   ]
  }
 ],
 "linux": {
  "resources": {
   "devices": [
    {
     "allow": false,
     "access": "rwm"
    }
   ]
  },
  "namespaces": [
   {
    "type": "pid"
   },
   {
    "type": "network"
   },
   {
    "type": "ipc"
   },
   {
    "type": "uts"
   },
   {
    "type": "mount"
   }
  ],
  "maskedPaths": [
   "/proc/acpi"
  ],
  "readonlyPaths": [
   "/proc/bus"
  ]
 }
}"#;

fn parse<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[test]
fn the_example_of_the_specification_survives_a_round_trip() {
    let before: Value = serde_json::from_str(EXAMPLE).unwrap();
    let spec: Spec = serde_json::from_str(EXAMPLE).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), before);
    let linux = spec.linux.unwrap();
    let resources = linux.resources.unwrap();
    assert_eq!(resources.block_io.unwrap().throttle_write_iops_device[0].rate, 300);
    assert_eq!(resources.memory.unwrap().kernel_tcp, Some(-1));
    assert_eq!(linux.devices[0].typ, DeviceType::Char);
    assert_eq!(linux.namespaces[7].typ, NamespaceType::Time);
    assert_eq!(linux.seccomp.unwrap().architectures, [SeccompArch::X86, SeccompArch::X32]);
    assert_eq!(linux.time_offsets.unwrap().boottime.unwrap().secs, 604_800);
}

#[test]
fn what_runc_writes_survives_a_round_trip() {
    let before: Value = serde_json::from_str(RUNC).unwrap();
    let spec: Spec = serde_json::from_str(RUNC).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), before);
    let process = spec.process.unwrap();
    assert!(process.terminal && process.no_new_privileges);
    assert_eq!(process.rlimits, [Rlimit { typ: RlimitType::Nofile, hard: 1024, soft: 1024 }]);
    assert_eq!(spec.linux.unwrap().resources.unwrap().devices[0].typ, None);
}

#[test]
fn what_the_example_leaves_out_survives_too() {
    let before = json!({
        "ociVersion": "1.3.0",
        "process": {
            "user": {"uid": 1, "gid": 2, "umask": 18},
            "cwd": "/",
            "consoleSize": {"height": 25, "width": 80},
            "scheduler": {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RECLAIM"], "runtime": 1, "deadline": 2, "period": 3},
            "execCPUAffinity": {"initial": "7", "final": "0-3,7"},
        },
        "domainname": "example.test",
        "mounts": [{
            "destination": "/srv", "source": "/data", "options": ["rbind", "ridmap"],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        }],
        "hooks": {
            "createRuntime": [{"path": "/a"}], "createContainer": [{"path": "/b"}], "startContainer": [{"path": "/c"}],
        },
        "linux": {
            "netDevices": {"eth0": {"name": "inner0"}, "eth1": {}},
            "resources": {
                "cpu": {"burst": 1000},
                "memory": {"useHierarchy": true, "checkBeforeUpdate": true},
                "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
                "unified": {"memory.high": "1000000"},
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "listenerPath": "/run/agent", "listenerMetadata": "x",
                "syscalls": [{
                    "names": ["clone"], "action": "SCMP_ACT_NOTIFY",
                    "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}],
                }],
            },
            "rootfsPropagation": "rslave",
            "intelRdt": {"closID": "a", "schemata": ["L3:0=f"], "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "enableMonitoring": true},
            "memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "2-3", "flags": ["MPOL_F_STATIC_NODES"]},
            "personality": {"domain": "LINUX32"},
        },
    });
    let spec: Spec = parse(before.clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), before);
}

#[test]
fn null_is_empty_and_unknown_properties_are_ignored() {
    let spec: Spec = parse(json!({
        "ociVersion": "1.0.2", "mounts": null, "annotations": null, "process": {"cwd": "/", "args": null, "user": null},
        "windows": {"layerFolders": []}, "linux": {"namespaces": null, "resources": {"devices": null}, "futureThing": 1},
    }))
    .unwrap();
    let linux = Linux { resources: Some(Resources::default()), ..Linux::default() };
    let process = Process { cwd: "/".into(), ..Process::default() };
    let expected = Spec { oci_version: "1.0.2".into(), process: Some(process), linux: Some(linux), ..Spec::default() };
    assert_eq!(spec, expected);
}

#[test]
fn unknown_words_and_missing_properties_are_named() {
    let error = parse::<Namespace>(json!({"type": "net"})).unwrap_err();
    assert!(error.starts_with("unknown variant `net`, expected one of `pid`, `network`"), "{error}");
    let error = parse::<Mount>(json!({"source": "/x"})).unwrap_err();
    assert_eq!(error, "missing field `destination`");
    let error = parse::<Seccomp>(json!({"defaultAction": "SCMP_ACT_DENY"})).unwrap_err();
    assert!(error.starts_with("unknown variant `SCMP_ACT_DENY`"), "{error}");
}

#[test]
fn state_is_written_as_the_specification_shows_it() {
    let state = State {
        oci_version: "0.2.0".into(),
        id: "oci-container1".into(),
        status: Status::Running,
        pid: Some(4422),
        bundle: "/containers/redis".into(),
        annotations: BTreeMap::from([("myKey".into(), "myValue".into())]),
    };
    let expected = json!({
        "ociVersion": "0.2.0", "id": "oci-container1", "status": "running", "pid": 4422,
        "bundle": "/containers/redis", "annotations": {"myKey": "myValue"},
    });
    assert_eq!(serde_json::to_value(&state).unwrap(), expected);
    let message = ContainerProcessState {
        oci_version: "1.0.2".into(),
        fds: vec![SECCOMP_FD_NAME.into()],
        pid: 4422,
        metadata: String::new(),
        state,
    };
    let expected = json!({"ociVersion": "1.0.2", "fds": ["seccompFd"], "pid": 4422, "state": expected});
    assert_eq!(serde_json::to_value(&message).unwrap(), expected);
}
