//! Docker's form of a profile, as `--security-opt seccomp=FILE` takes it: one file for all architectures, kernels and
//! capability sets, with conditions on each rule. A plain `seccomp` object of the runtime specification is a case of it.
//!
//! Unlike Docker, a file without `defaultAction` is refused: there it silently means no filter at all.

use oci::runtime_spec::{Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompFlag, SeccompRule};
use serde::{Deserialize, Deserializer};
use stdx::{Context, Error, Result};

use super::arch::Arch;
use super::kernel::KernelVersion;

/// The largest profile file that is read.
pub const MAX_PROFILE_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: SeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_as_default")]
    architectures: Vec<SeccompArch>,
    #[serde(default, deserialize_with = "null_as_default")]
    arch_map: Vec<ArchMap>,
    flags: Option<Vec<SeccompFlag>>,
    #[serde(default, deserialize_with = "null_as_default")]
    listener_path: String,
    #[serde(default, deserialize_with = "null_as_default")]
    listener_metadata: String,
    #[serde(default, deserialize_with = "null_as_default")]
    syscalls: Vec<Rule>,
}

/// Which conventions are filtered beside a native one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: SeccompArch,
    #[serde(default, deserialize_with = "null_as_default")]
    sub_architectures: Vec<SeccompArch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The older form of a single name.
    #[serde(default, deserialize_with = "null_as_default")]
    name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    names: Vec<String>,
    action: SeccompAction,
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_as_default")]
    args: Vec<SeccompArg>,
    #[serde(default, deserialize_with = "null_as_default")]
    includes: Filter,
    #[serde(default, deserialize_with = "null_as_default")]
    excludes: Filter,
}

/// When a rule counts: as `includes` all that is given must hold, as `excludes` nothing of it may.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    #[serde(deserialize_with = "null_as_default")]
    caps: Vec<String>,
    /// By Docker's names: `amd64`, `x86`, `arm64`, `arm` …
    #[serde(deserialize_with = "null_as_default")]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// What a profile is resolved for.
struct Machine<'a> {
    /// The bounding set, by names such as `CAP_SYS_ADMIN`.
    caps: &'a [String],
    kernel: KernelVersion,
    arch: Arch,
}

/// Reads a profile in Docker's form, or a plain OCI `seccomp` object, and keeps the rules that hold for a container with
/// these capabilities on this machine. At most [`MAX_PROFILE_BYTES`].
pub fn docker_profile(json: &[u8], caps: &[String], kernel: KernelVersion, arch: Arch) -> Result<Seccomp> {
    if json.len() > MAX_PROFILE_BYTES {
        return Err(Error::invalid(format!("seccomp profile is larger than {MAX_PROFILE_BYTES} bytes")));
    }
    let profile: Profile = serde_json::from_slice(json)
        .context(|| "cannot read the seccomp profile".into())
        .map_err(|error| error.kinded(stdx::Kind::Invalid))?;
    profile.resolve(&Machine { caps, kernel, arch })
}

impl Profile {
    fn resolve(self, machine: &Machine<'_>) -> Result<Seccomp> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err(Error::invalid("seccomp profile has both \"architectures\" and \"archMap\""));
        }
        let mut architectures = self.architectures;
        let native = machine.arch.to_spec();
        if let Some(map) = self.arch_map.into_iter().find(|map| map.architecture == native) {
            architectures.push(map.architecture);
            architectures.extend(map.sub_architectures);
        }
        let mut syscalls = Vec::with_capacity(self.syscalls.len());
        for rule in self.syscalls {
            syscalls.extend(rule.resolve(machine)?);
        }
        Ok(Seccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags,
            listener_path: self.listener_path,
            listener_metadata: self.listener_metadata,
            syscalls,
        })
    }
}

impl Rule {
    /// `None` if the rule is not for this container or machine.
    fn resolve(self, machine: &Machine<'_>) -> Result<Option<SeccompRule>> {
        let mut names = self.names;
        if !self.name.is_empty() {
            if !names.is_empty() {
                return Err(Error::invalid(format!("seccomp rule has both \"names\" and \"name\" \"{}\"", self.name)));
            }
            names.push(self.name);
        }
        if self.excludes.any(machine)? || !self.includes.all(machine)? {
            return Ok(None);
        }
        Ok(Some(SeccompRule { names, action: self.action, errno_ret: self.errno_ret, args: self.args }))
    }
}

impl Filter {
    fn all(&self, machine: &Machine<'_>) -> Result<bool> {
        Ok((self.arches.is_empty() || self.names_arch(machine))
            && self.caps.iter().all(|cap| machine.caps.contains(cap))
            && self.kernel(machine)?.unwrap_or(true))
    }

    fn any(&self, machine: &Machine<'_>) -> Result<bool> {
        Ok(self.names_arch(machine)
            || self.caps.iter().any(|cap| machine.caps.contains(cap))
            || self.kernel(machine)?.unwrap_or(false))
    }

    fn names_arch(&self, machine: &Machine<'_>) -> bool {
        let name = match machine.arch {
            Arch::X86_64 => "amd64",
            Arch::X32 => "x32",
            Arch::X86 => "x86",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
        };
        self.arches.iter().any(|arch| arch == name)
    }

    /// Whether the kernel is new enough; `None` if the filter does not ask.
    fn kernel(&self, machine: &Machine<'_>) -> Result<Option<bool>> {
        self.min_kernel.as_deref().map(|text| Ok(machine.kernel >= KernelVersion::parse(text)?)).transpose()
    }
}

/// Docker's own profile has `null` for an empty list.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
