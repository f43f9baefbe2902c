//! `tare runtime features` (runtime-spec, features.md): what this runtime knows, and nothing it does not.

use std::ffi::OsString;

use serde_json::json;
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
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": sys::caps::NAMES.as_slice(),
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": false },
            "seccomp": {
                "enabled": true,
                "actions": ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"],
                "operators": ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"],
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": true } },
        },
    });
    let text = serde_json::to_string_pretty(&document).context(|| "cannot write JSON".into())?;
    out(&format!("{text}\n"));
    Ok(0)
}
