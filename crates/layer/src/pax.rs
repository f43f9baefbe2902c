//! Records of a PAX extended header: `LENGTH KEY=VALUE\n`, the length counting the whole record.

/// Splits a header's data into its records, in order; `None` if one is malformed.
pub(crate) fn records(mut data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|b| *b == b' ')?;
        let length = usize::try_from(decimal(&data[..space])?).ok()?;
        if length <= space + 1 || length > data.len() {
            return None;
        }
        let (record, rest) = data.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        data = rest;
    }
    Some(records)
}

/// A plain decimal number.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds with a fraction, possibly negative, as whole seconds (rounded down) and nanoseconds upward from there.
pub(crate) fn timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |text| (true, text));
    let (whole, fraction) = match text.iter().position(|b| *b == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    match (negative, nanoseconds) {
        (false, _) => Some((seconds, nanoseconds)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanoseconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_by_their_length_alone() {
        let data = b"10 a=b\nc=d\n9 path=x\n";
        assert_eq!(records(b"12 a=b\nc=d\n\n"), Some(vec![(&b"a"[..], &b"b\nc=d\n"[..])]));
        assert_eq!(records(&data[..]), None);
        assert_eq!(records(b"11 a=b\nc=d\n8 path=\n"), Some(vec![(&b"a"[..], &b"b\nc=d"[..]), (b"path", b"")]));
        for bad in
            ["x", "5", " a=b\n", "6 a=b\n7", "0 a=b\n", "2 \n", "6 abc\n", "7 a=bc", "99999999999999999999999 a=b\n"]
        {
            assert_eq!(records(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn timestamps_round_down() {
        assert_eq!(timestamp(b"12"), Some((12, 0)));
        assert_eq!(timestamp(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(timestamp(b"12.0000000019"), Some((12, 1)));
        assert_eq!(timestamp(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(timestamp(b"-3"), Some((-3, 0)));
        for bad in ["", ".5", "1.x", "+1", "99999999999999999999"] {
            assert_eq!(timestamp(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
