//! The finished filter: classic BPF instructions and the flags they are loaded with.

use stdx::{Error, Result};

/// One instruction, laid out as the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Insn {
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    pub k: u32,
}

impl Insn {
    const SIZE: usize = 8;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let [c0, c1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.k.to_ne_bytes();
        [c0, c1, self.jt, self.jf, k0, k1, k2, k3]
    }

    fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        Self { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
    }
}

/// A compiled filter. Load it with `sys::seccomp::load(&program.code(), program.flags())`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub(super) instructions: Vec<Insn>,
    pub(super) flags: u32,
}

impl Program {
    /// What the kernel takes at most (`BPF_MAXINSNS`).
    pub const MAX_INSTRUCTIONS: usize = 4096;

    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    pub(super) const NEW_LISTENER: u32 = 1 << 3;

    pub fn instructions(&self) -> &[Insn] {
        &self.instructions
    }

    /// The instructions as the kernel reads them: 8 bytes each, native byte order.
    pub fn code(&self) -> Vec<u8> {
        self.instructions.iter().flat_map(|insn| insn.to_bytes()).collect()
    }

    /// The flags argument of `seccomp(SECCOMP_SET_MODE_FILTER)`.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether loading gives a notification descriptor, which has to reach the agent behind `listenerPath`.
    pub fn has_listener(&self) -> bool {
        self.flags & Self::NEW_LISTENER != 0
    }

    /// Flags and code in one piece, to be kept by whoever compiled it, on this machine.
    pub fn to_blob(&self) -> Vec<u8> {
        let mut blob = self.flags.to_ne_bytes().to_vec();
        blob.extend(self.code());
        blob
    }

    /// Reads [`Self::to_blob`]. The kernel verifies the code when it is loaded; here only the shape is checked.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        let corrupt = || Error::corrupt("cannot read a compiled seccomp filter: it is cut short or too long");
        let (flags, code) = blob.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let count = code.len() / Insn::SIZE;
        if code.len() % Insn::SIZE != 0 || count == 0 || count > Self::MAX_INSTRUCTIONS {
            return Err(corrupt());
        }
        let instructions =
            code.chunks_exact(Insn::SIZE).filter_map(|chunk| Some(Insn::from_bytes(*chunk.first_chunk()?))).collect();
        Ok(Self { instructions, flags: u32::from_ne_bytes(*flags) })
    }
}
