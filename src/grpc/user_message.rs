//! Users as messages of the contract.

use std::collections::HashMap;

use prost_types::Timestamp;

use super::proto::user::v1 as proto;
use crate::domain::{Comments, DisplayName, Timestamp as Moment, User};
use crate::service::Values;

/// The message of a user, with the values of its tags or without.
pub fn user(user: &User, values: Values) -> proto::User {
    let tags = user.resource.tags().iter();
    let tags = tags.map(|(key, value)| (key.to_string(), shown(value.as_str(), values)));
    proto::User {
        resource_id: user.resource.id.to_string(),
        principal_name: user.resource.principal_name.to_string(),
        display_name: user
            .display_name
            .as_ref()
            .map_or("", DisplayName::as_str)
            .to_owned(),
        comments: user
            .comments
            .as_ref()
            .map_or("", Comments::as_str)
            .to_owned(),
        tags: tags.collect::<HashMap<_, _>>(),
        create_time: user.create_time.map(timestamp),
        update_time: user.update_time.map(timestamp),
        delete_time: user.delete_time.map(timestamp),
        expire_time: user.expire_time().map(timestamp),
    }
}

/// The message of a user by itself. It has no tags where values are left out: nothing there would tell that they are.
pub fn alone(user: &User, values: Values) -> proto::User {
    let mut message = self::user(user, values);
    if values == Values::Redacted {
        message.tags.clear();
    }
    message
}

/// A value of a tag, or the empty text where values are left out.
pub fn shown(value: &str, values: Values) -> String {
    match values {
        Values::Shown => value.to_owned(),
        Values::Redacted => String::new(),
    }
}

/// A moment as messages have it.
pub fn timestamp(moment: Moment) -> Timestamp {
    let millis = moment.millis();
    Timestamp {
        seconds: millis.div_euclid(1_000),
        // 0 to 999 milliseconds.
        nanos: i32::try_from(millis.rem_euclid(1_000) * 1_000_000).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_and_nanoseconds_also_before_1970() {
        let parts = |millis| {
            let Timestamp { seconds, nanos } = timestamp(Moment::from_millis(millis));
            (seconds, nanos)
        };
        assert_eq!(parts(1_700_000_000_123), (1_700_000_000, 123_000_000));
        assert_eq!(parts(-1), (-1, 999_000_000));
    }
}
