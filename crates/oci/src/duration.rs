//! Durations as Go spells them, which Docker's options and files do.

/// Go's spelling of durations (`1h30m`, `1.5s`, `200ms`), in nanoseconds.
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(split);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let nanoseconds = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * nanoseconds;
        rest = after;
    }
    (!text.is_empty() && total < i64::MAX as f64).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn units_add_up() {
        assert_eq!(super::parse("1h30m"), Some(5_400_000_000_000));
        assert_eq!(super::parse("1.5s"), Some(1_500_000_000));
        assert_eq!(super::parse("200ms"), Some(200_000_000));
        for bad in ["", "5", "s", "-1s", "1d", "1s 2s"] {
            assert_eq!(super::parse(bad), None, "{bad}");
        }
    }
}
