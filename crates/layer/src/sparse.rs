//! Files with holes: GNU's old header and the three PAX spellings (GNU tar manual, "Storing Sparse Files").

use crate::pax::decimal;

/// Where a file's stored bytes belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Offset and length of each run of data, in order, not overlapping.
    pub(crate) runs: Vec<(u64, u64)>,
    /// The file's size with its holes.
    pub(crate) size: u64,
}

impl Sparse {
    /// Checks that the runs are ordered, lie inside the file and hold exactly `stored` bytes.
    pub(crate) fn new(runs: Vec<(u64, u64)>, size: u64, stored: u64) -> Option<Self> {
        let mut end = 0u64;
        let mut sum = 0u64;
        for (offset, length) in &runs {
            if *offset < end {
                return None;
            }
            end = offset.checked_add(*length)?;
            sum = sum.checked_add(*length)?;
        }
        (end <= size && sum == stored).then_some(Self { runs, size })
    }
}

/// `offset,length,offset,length…` of format 0.1.
pub(crate) fn comma_separated(text: &[u8]) -> Option<Vec<(u64, u64)>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let numbers: Option<Vec<u64>> = text.split(|b| *b == b',').map(decimal).collect();
    pairs(&numbers?)
}

/// The numbers of format 1.0, one a line: a count, then that many pairs. `None` also while lines are missing.
pub(crate) fn lines(text: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut lines = text.split_inclusive(|b| *b == b'\n').map(|line| decimal(line.strip_suffix(b"\n")?));
    let count = usize::try_from(lines.next()??).ok()?.checked_mul(2)?;
    let numbers: Option<Vec<u64>> = lines.take(count).collect();
    let numbers = numbers?;
    if numbers.len() == count { pairs(&numbers) } else { None }
}

pub(crate) fn pairs(numbers: &[u64]) -> Option<Vec<(u64, u64)>> {
    let pairs = numbers.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| (pair[0], pair[1])).collect())
}
