//! `tare runtime features` (runtime-spec, features.md): what this runtime knows, and nothing it does not.

use std::ffi::OsString;

use oci::runtime_spec::{MemoryPolicyFlag, MemoryPolicyMode, SeccompAction, SeccompArch, SeccompFlag, SeccompOperator};
use serde_json::{Value, json};
use stdx::Context;

use super::Globals;
use crate::error::Failure;
use crate::table::out;

pub(super) fn main(_globals: &Globals, _args: &[OsString]) -> Result<i32, Failure> {
    let document = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": oci::runtime_spec::VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": runtime::mount_options(),
        "linux": linux(),
    });
    let text = serde_json::to_string_pretty(&document).context(|| "cannot write JSON".into())?;
    out(&format!("{text}\n"));
    Ok(0)
}

fn linux() -> Value {
    json!({
        "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        "capabilities": sys::caps::NAMES.as_slice(),
        "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true },
        "seccomp": {
            "enabled": true,
            "actions": SeccompAction::ALL,
            "operators": SeccompOperator::ALL,
            "archs": SeccompArch::ALL,
            "knownFlags": SeccompFlag::ALL,
            "supportedFlags": SeccompFlag::ALL,
        },
        "apparmor": { "enabled": true },
        "selinux": { "enabled": true },
        "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
        "memoryPolicy": { "modes": MemoryPolicyMode::ALL, "flags": MemoryPolicyFlag::ALL },
        "mountExtensions": { "idmap": { "enabled": true } },
        "netDevices": { "enabled": true },
    })
}
