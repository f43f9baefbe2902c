//! Architectures: what a filter sees in `seccomp_data.arch`, and which of them one machine can run.

use oci::runtime_spec::SeccompArch;
use stdx::{Error, Result};

/// A system call convention this compiler has numbers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    /// The 64-bit instruction set with 32-bit pointers: the kernel shows it as [`Self::X86_64`], its numbers marked.
    X32,
    X86,
    Aarch64,
    Arm,
}

impl Arch {
    /// Marks an x32 call in its number.
    pub(super) const X32_BIT: u32 = 0x4000_0000;

    /// The first of ARM's private calls, far above the sequence that grows with every kernel.
    pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

    /// The architecture this program is built for.
    pub fn native() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::X86_64),
            "x86" => Ok(Self::X86),
            "aarch64" => Ok(Self::Aarch64),
            "arm" => Ok(Self::Arm),
            other => Err(Error::unsupported(format!("cannot build a seccomp filter for \"{other}\""))
                .hint("run with --security-opt seccomp=unconfined")),
        }
    }

    /// The specification's word as one of ours; `None` for what no supported machine runs.
    pub(super) fn from_spec(arch: SeccompArch) -> Option<Self> {
        Some(match arch {
            SeccompArch::X86_64 => Self::X86_64,
            SeccompArch::X32 => Self::X32,
            SeccompArch::X86 => Self::X86,
            SeccompArch::Aarch64 => Self::Aarch64,
            SeccompArch::Arm => Self::Arm,
            _ => return None,
        })
    }

    pub(super) fn to_spec(self) -> SeccompArch {
        match self {
            Self::X86_64 => SeccompArch::X86_64,
            Self::X32 => SeccompArch::X32,
            Self::X86 => SeccompArch::X86,
            Self::Aarch64 => SeccompArch::Aarch64,
            Self::Arm => SeccompArch::Arm,
        }
    }

    /// All that a kernel of this architecture can run, itself first.
    pub(super) fn family(self) -> &'static [Self] {
        match self {
            Self::X86_64 | Self::X32 => &[Self::X86_64, Self::X86, Self::X32],
            Self::X86 => &[Self::X86],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::Arm => &[Self::Arm],
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`: the ELF machine, with bits for 64-bit and little endian.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are compared by their lower half alone, as libseccomp does for what it calls 32-bit.
    pub(super) fn narrow(self) -> bool {
        matches!(self, Self::X32 | Self::X86 | Self::Arm)
    }
}
