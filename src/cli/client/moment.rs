//! Moments, as they are typed and printed.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::Timestamp;

/// A moment with its fraction of a second; nothing where no calendar has it.
pub fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}

/// A moment in whole seconds, which all have one width.
pub fn rfc3339_seconds(time: SystemTime) -> Option<String> {
    let time = OffsetDateTime::from(time).truncate_to_second();
    time.format(&Rfc3339).ok()
}

/// Reads a moment: a time of RFC 3339, or how long ago it was.
///
/// # Errors
/// What to give.
pub fn moment(text: &str) -> Result<Timestamp, &'static str> {
    let written = || OffsetDateTime::parse(text, &Rfc3339).ok();
    let moment = ago(text).or_else(|| written().map(SystemTime::from));
    moment.map(Timestamp::from).ok_or(
        "give a time such as 2026-08-12T17:00:00+08:00 or 2026-08-12T09:00:00.123Z, or how long ago it was, such as 90s, 15m, \
         2h or 7d",
    )
}

/// The moment so long ago: a number, and s, m, h or d.
fn ago(text: &str) -> Option<SystemTime> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let span = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    SystemTime::now().checked_sub(Duration::from_secs(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_with_an_offset_or_so_long_ago() {
        let millis = |text: &str| moment(text).unwrap().millis();
        assert_eq!(millis("1970-01-01T08:00:01.5+08:00"), 1_500);
        let now = Timestamp::from(SystemTime::now()).millis();
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 7 * 86_400)] {
            let before = now - millis(text);
            assert!(
                (seconds * 1_000 - 60_000..=seconds * 1_000).contains(&before),
                "{text}"
            );
        }
        for bad in [
            "",
            "h",
            "5",
            "-5m",
            "+5m",
            "5 m",
            "5é",
            "99999999999999999999d",
            "18446744073709551615d",
            "2026-08-12",
            "2026-08-12T17:00:00",
            "now",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_moment_is_printed_with_or_without_its_fraction() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(rfc3339(time).unwrap(), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339_seconds(time).unwrap(), "1970-01-01T00:00:01Z");
    }
}
