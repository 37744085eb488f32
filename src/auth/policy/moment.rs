//! Moments, as conditions on `acs:CurrentTime` name them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::{Iso8601, Rfc3339};

/// A text that is not a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "must be a date and time of ISO 8601 in whole seconds with Z or an offset, such as 2026-08-12T17:00:00+08:00"
)]
pub struct InvalidTime;

/// Reads a date and time of ISO 8601, such as `2026-08-12T09:00:00Z` or `2026-08-12T17:00:00+08:00`.
///
/// # Errors
/// [`InvalidTime`] for anything else, and where the offset is missing.
pub fn parse_time(text: &str) -> Result<SystemTime, InvalidTime> {
    let Moment(seconds) = Moment::parse(text)?;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    time.ok_or(InvalidTime)
}

/// A moment in whole seconds, the unit of RAM policies. A time within a second counts as its beginning, or else no
/// moment could ever equal one that a policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidTime> {
        let time = OffsetDateTime::parse(text, &Iso8601::PARSING).map_err(|_| InvalidTime)?;
        let offset_exists = time.offset().whole_hours().abs() < 24;
        if time.nanosecond() == 0 && offset_exists {
            Ok(Self(time.unix_timestamp()))
        } else {
            Err(InvalidTime)
        }
    }

    /// A moment in seconds since the beginning of 1970 in UTC.
    pub(super) fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds)
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => {
                let before = before.duration();
                let begun = before.as_secs() + u64::from(before.subsec_nanos() > 0);
                i64::try_from(begun).map_or(i64::MIN, |seconds| -seconds)
            }
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(self.0).ok();
        match time.and_then(|time| time.format(&Rfc3339).ok()) {
            Some(text) => formatter.write_str(&text),
            None => write!(formatter, "{} seconds after 1970", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Moment::parse(text).unwrap().to_string()
    }

    #[test]
    fn offsets_are_taken_into_account() {
        for same in [
            "2019-08-12T09:00:00Z",
            "2019-08-12T17:00:00+08:00",
            "2019-08-12T17:00+08:00",
            "2019-08-12T05:30:00-03:30",
            "20190812T090000Z",
        ] {
            assert_eq!(shown(same), "2019-08-12T09:00:00Z", "{same}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for bad in [
            "",
            "2019-08-12",
            "2019-08-12T17:00:00",
            "2019-08-12T17:00:00.5Z",
            "2019-02-29T00:00:00Z",
            "2019-08-12T25:00:00Z",
            "2019-08-12T17:00:00+25:00",
            "1565600400",
            "now",
        ] {
            assert_eq!(Moment::parse(bad), Err(InvalidTime), "{bad}");
        }
    }

    #[test]
    fn a_time_counts_as_the_beginning_of_its_second() {
        let moment = |millis: i64| {
            let distance = Duration::from_millis(millis.unsigned_abs());
            Moment::from(if millis < 0 {
                UNIX_EPOCH - distance
            } else {
                UNIX_EPOCH + distance
            })
        };
        assert_eq!(moment(1_999), Moment(1));
        assert_eq!(moment(-1), Moment(-1));
        assert_eq!(moment(-1_000), Moment(-1));
        assert_eq!(
            parse_time("1970-01-01T00:00:01Z"),
            Ok(UNIX_EPOCH + Duration::from_secs(1))
        );
        assert_eq!(
            parse_time("1969-12-31T23:59:59Z"),
            Ok(UNIX_EPOCH - Duration::from_secs(1))
        );
    }

    #[test]
    fn a_moment_beyond_the_calendar_is_shown_too() {
        assert_eq!(
            Moment(i64::MAX).to_string(),
            format!("{} seconds after 1970", i64::MAX)
        );
    }
}
