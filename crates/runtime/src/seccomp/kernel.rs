//! A kernel's version, as far as profiles ask for it.

use stdx::{Error, Result};

/// `MAJOR.MINOR` of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    pub major: u32,
    pub minor: u32,
}

impl KernelVersion {
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The kernel that runs here.
    pub fn running() -> Result<Self> {
        Self::parse(&rustix::system::uname().release().to_string_lossy())
    }

    /// Reads a release as `uname` gives it, such as `6.1.0-18-amd64`; what follows the minor number is not looked at.
    pub fn parse(release: &str) -> Result<Self> {
        let mut parts = release.splitn(3, ['.', '-', '+']).map(leading_number);
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(Error::invalid(format!("\"{release}\" is not a kernel version, such as \"4.8\""))),
        }
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}
