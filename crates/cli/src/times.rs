//! Durations as people say them, in Docker's words.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `Less than a second`, `5 seconds`, `About a minute`, `3 hours` …
pub(crate) fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        i64::MIN..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".into(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// How long ago `time` was: `5 seconds ago`.
pub(crate) fn ago(time: Timestamp) -> String {
    format!("{} ago", human(since(time)))
}

/// As Go prints a time: `2026-01-31 12:00:00 +0100 CET`, in this machine's zone.
pub(crate) fn as_go(time: Timestamp) -> String {
    time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// RFC 3339 in this machine's zone, with nanoseconds: `2026-01-31T12:00:00.123456789+01:00`.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let offset = match zone_offset(time, ":") {
        zero if zero == "+00:00" => "Z".to_owned(),
        offset => offset,
    };
    format!("{}{offset}", TimeZone::system().to_datetime(time).strftime("%Y-%m-%dT%H:%M:%S.%9f"))
}

/// As Docker's columns have it: `2026-01-31 12:00:00 +0100 CET`.
pub(crate) fn absolute(time: Timestamp) -> String {
    let zone = TimeZone::system();
    let name = zone.to_offset_info(time).abbreviation().to_owned();
    format!("{} {} {name}", zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S"), zone_offset(time, ""))
}

fn zone_offset(time: Timestamp, between: &str) -> String {
    let seconds = TimeZone::system().to_offset(time).seconds();
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
    format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
}

/// Seconds since `time`.
pub(crate) fn since(time: Timestamp) -> i64 {
    Timestamp::now().as_second() - time.as_second()
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_in_words() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (7300, "2 hours"),
            (86_400 * 3, "3 days"),
            (86_400 * 20, "2 weeks"),
        ];
        for (seconds, words) in cases {
            assert_eq!(super::human(seconds), words);
        }
    }
}
