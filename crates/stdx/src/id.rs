//! Random identifiers.

use rustix::rand::{GetRandomFlags, getrandom};

/// `bytes` random bytes as lower-case hexadecimal: two characters a byte.
pub fn random_hex(bytes: usize) -> String {
    hex(&random(bytes))
}

/// `len` bytes from the kernel's generator.
pub fn random(len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let mut filled = 0;
    while filled < len {
        // Short reads and interruptions happen only for large requests or before the pool is ready: ask again.
        filled += getrandom(&mut buffer[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
    buffer
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}
