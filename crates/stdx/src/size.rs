//! Sizes as people write and read them.

/// Parses `512`, `64k`, `32m`, `1.5g`, `2GiB`, `10MB`: a number and an optional binary unit (1024-based whatever the
/// spelling, as Docker's `--memory` reads it). `None` if it is not one, or does not fit.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    if number.is_empty() {
        return None;
    }
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let value = number.parse::<f64>().ok()? * (1u64 << shift) as f64;
    (value.is_finite() && value < u64::MAX as f64).then_some(value as u64)
}

/// Three significant figures in decimal units, as `docker images` prints sizes: `4.26MB`, `77.8MB`, `0B`.
pub fn human(bytes: u64) -> String {
    in_units(bytes, 1000.0, ["B", "kB", "MB", "GB", "TB", "PB", "EB"], 3)
}

/// Four significant figures in binary units, as `docker stats` prints memory: `1.441MiB`, `15.6GiB`, `0B`.
pub fn human_binary(bytes: u64) -> String {
    in_units(bytes, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

/// In the largest unit that leaves at least one before the point, rounded to so many figures, without zeros at the end.
fn in_units(bytes: u64, base: f64, units: [&str; 7], figures: i32) -> String {
    let rounded = |value: f64, decimals: i32| (value * 10_f64.powi(decimals)).round() / 10_f64.powi(decimals);
    let mut value = bytes as f64;
    let mut unit = 0;
    while rounded(value, 0) >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let mut decimals = if unit == 0 { 0 } else { figures - 1 };
    while decimals > 0 && rounded(value, decimals) >= 10_f64.powi(figures - decimals) {
        decimals -= 1;
    }
    let text = format!("{value:.*}", decimals as usize);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_parsed_with_binary_units() {
        assert_eq!(parse_bytes("32m"), Some(32 << 20));
        assert_eq!(parse_bytes("1.5G"), Some(3 << 29));
        assert_eq!(parse_bytes("10 KiB"), Some(10240));
        assert_eq!(parse_bytes("7"), Some(7));
        for bad in ["", "m", "-1", "1x", "1.2.3", "99999999999999999999", "9999999p"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_printed_with_three_figures() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(999), "999B");
        assert_eq!(human(4_260_000), "4.26MB");
        assert_eq!(human(77_800_000), "77.8MB");
        assert_eq!(human(1_000_000), "1MB");
        assert_eq!(human(999_600), "1MB");
    }

    #[test]
    fn memory_is_printed_with_four_figures() {
        assert_eq!(human_binary(0), "0B");
        assert_eq!(human_binary(1_511_424), "1.441MiB");
        assert_eq!(human_binary(1 << 20), "1MiB");
        assert_eq!(human_binary(16_750_372_454), "15.6GiB");
        assert_eq!(human_binary(1023 << 10), "1023KiB");
    }
}
