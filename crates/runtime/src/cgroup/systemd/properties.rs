//! Limits in systemd's words (systemd.resource-control(5)): those that it has words for.

use oci::runtime_spec::{Cpu, Memory, Resources};

use super::bus::Value;
use crate::cgroup::v2::{io_weight, weight_of_shares};

type Property = (&'static str, Value);

const DEFAULT_PERIOD: u64 = 100_000;

pub(super) fn of(resources: &Resources) -> impl Iterator<Item = Property> {
    let pids = resources.pids.as_ref().and_then(|pids| pids.limit);
    let pids = pids.map(|limit| ("TasksMax", Value::Wide(if limit > 0 { limit.unsigned_abs() } else { u64::MAX })));
    let cpu = resources.cpu.as_ref().map(of_cpu).unwrap_or_default();
    let memory = resources.memory.as_ref().map(of_memory).unwrap_or_default();
    let weight = resources.block_io.as_ref().and_then(|block_io| block_io.weight).filter(|&n| n > 0);
    let weight = weight.map(|weight| ("IOWeight", Value::Wide(io_weight(weight))));
    let unified = UNIFIED.iter().filter_map(|(file, property)| {
        let text = resources.unified.get(*file)?.trim();
        let value = if text == "max" { u64::MAX } else { text.parse().ok()? };
        Some((*property, Value::Wide(value)))
    });
    cpu.into_iter().chain(memory).chain(pids).chain(weight).chain(unified.collect::<Vec<_>>())
}

/// Files that systemd writes again when it reloads, given by their own names.
const UNIFIED: [(&str, &str); 7] = [
    ("cpu.weight", "CPUWeight"),
    ("memory.high", "MemoryHigh"),
    ("memory.low", "MemoryLow"),
    ("memory.max", "MemoryMax"),
    ("memory.min", "MemoryMin"),
    ("memory.swap.max", "MemorySwapMax"),
    ("pids.max", "TasksMax"),
];

fn of_cpu(cpu: &Cpu) -> Vec<Property> {
    let mut properties = Vec::new();
    if let Some(shares) = cpu.shares.filter(|&n| n > 0) {
        properties.push(("CPUWeight", Value::Wide(weight_of_shares(shares))));
    }
    let period = cpu.period.filter(|&n| n > 0);
    if let Some(period) = period {
        properties.push(("CPUQuotaPeriodUSec", Value::Wide(period)));
    }
    if let Some(quota) = cpu.quota.filter(|&n| n != 0) {
        properties.push(("CPUQuotaPerSecUSec", Value::Wide(per_second(quota, period.unwrap_or(DEFAULT_PERIOD)))));
    }
    for (name, list) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
        // A list that is wrong is refused by the kernel, in its file.
        if let Some(mask) = list.as_deref().filter(|list| !list.is_empty()).and_then(mask) {
            properties.push((name, Value::Bytes(mask)));
        }
    }
    properties
}

/// Microseconds of a second. systemd keeps whole percents, and rounds down what is given in between, so it gets the next
/// one. The file then has the exact value, until systemd is reloaded and writes its own.
fn per_second(quota: i64, period: u64) -> u64 {
    if quota < 0 {
        return u64::MAX;
    }
    let micros = u128::from(quota.unsigned_abs()) * 1_000_000 / u128::from(period);
    u64::try_from(micros.div_ceil(10_000) * 10_000).unwrap_or(u64::MAX)
}

fn of_memory(memory: &Memory) -> Vec<Property> {
    let value = |limit: i64| Value::Wide(u64::try_from(limit).unwrap_or(u64::MAX));
    let mut properties = Vec::new();
    let limit = memory.limit.filter(|&n| n != 0);
    properties.extend(limit.map(|limit| ("MemoryMax", value(limit))));
    properties.extend(memory.reservation.filter(|&n| n != 0).map(|limit| ("MemoryLow", value(limit))));
    // What is given is memory and swap together; a combination that is wrong is refused with the files.
    properties.extend(match (memory.swap.filter(|&n| n != 0), limit) {
        (Some(total), _) if total < 0 => Some(("MemorySwapMax", value(-1))),
        (Some(total), Some(limit)) if limit > 0 && total >= limit => Some(("MemorySwapMax", value(total - limit))),
        _ => None,
    });
    properties
}

/// `0-2,4` as a bit each, the first byte with the lowest.
fn mask(list: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        if last >= 8192 {
            return None;
        }
        for bit in first..=last {
            if bytes.len() <= bit / 8 {
                bytes.resize(bit / 8 + 1, 0);
            }
            bytes[bit / 8] |= 1 << (bit % 8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_masks() {
        assert_eq!(mask("0"), Some(vec![1]));
        assert_eq!(mask("0-2,4,9"), Some(vec![0b1_0111, 0b10]));
        assert_eq!(mask("x"), None);
        assert_eq!(mask("0-999999"), None);
    }

    #[test]
    fn quotas_are_per_second_in_whole_percents() {
        assert_eq!(per_second(20_000, 100_000), 200_000);
        assert_eq!(per_second(12_345, 100_000), 130_000);
        assert_eq!(per_second(-1, 100_000), u64::MAX);
    }

    #[test]
    fn no_limit_is_the_largest_number() {
        let memory = Memory { limit: Some(64), swap: Some(-1), ..Memory::default() };
        assert_eq!(of_memory(&memory), [("MemoryMax", Value::Wide(64)), ("MemorySwapMax", Value::Wide(u64::MAX))]);
        let memory = Memory { limit: Some(64), swap: Some(96), ..Memory::default() };
        assert_eq!(of_memory(&memory)[1], ("MemorySwapMax", Value::Wide(32)));
    }
}
