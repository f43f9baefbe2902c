//! What an archive may cost before it is refused.

/// Bounds on one archive. The defaults are far above real images and far below what hurts a machine twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Headers, those of long names and extended attributes included.
    pub entries: u64,
    /// Bytes of the uncompressed archive, and separately of all files as they appear (holes count).
    pub bytes: u64,
    /// Uncompressed bytes for each compressed one; checked beyond [`ratio_floor`](Self::ratio_floor) only.
    pub ratio: u64,
    /// Uncompressed bytes that are always allowed: small archives of zeros compress well.
    pub ratio_floor: u64,
    /// Bytes of one entry's long names and extended attributes.
    pub metadata: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 10_000_000, bytes: 1 << 40, ratio: 500, ratio_floor: 1 << 30, metadata: 1 << 20 }
    }
}
