//! What is known of a call that failed: whether it changed anything, and whether it may be sent again.

use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt as _;

use crate::domain::Applied;

/// The header by which a service says when a call may be sent again, in milliseconds, and with -1 that it may not.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The longest pause before a call is sent again where the service names none.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The effect that a call has on the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The call reads.
    Read,
    /// The call changes tags, and has a client token, by which the service knows it again: it makes the change once, however often it
    /// is sent.
    Once,
    /// The call changes tags, and the service does not know it again when it is sent twice. One that may have been made is not
    /// repeated: a tag that somebody has set meanwhile would go with it.
    Change,
}

/// The knowledge about a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service has refused it.
    Refused,
    /// The service can't be reached, or can't do it now. Nothing was changed.
    Unavailable,
    /// Nobody knows whether the change was made.
    Unknown,
}

/// The time after which a call may be sent again.
#[derive(Debug, Clone, Copy)]
pub enum Pause {
    /// After the service's own time.
    Named(Duration),
    /// After a while.
    Any,
}

impl Outcome {
    /// What a status tells of a call with this effect.
    pub fn of(status: &Status, effect: Effect) -> Self {
        let is_answered = status.get_details_request_info().is_some();
        let unless_read = match effect {
            Effect::Read => Self::Unavailable,
            Effect::Once | Effect::Change => Self::Unknown,
        };
        if has_cause::<ConnectError>(status) {
            return Self::Unavailable;
        }
        match status.code() {
            Code::Unavailable if is_answered && !forbids_repetition(status) => Self::Unavailable,
            Code::DeadlineExceeded
                if is_answered && status.message().ends_with(&Applied::No.to_string()) =>
            {
                Self::Unavailable
            }
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                unless_read
            }
            Code::Internal | Code::DataLoss => match effect {
                // Not the service's own: the connection broke.
                Effect::Read if !is_answered && status.source().is_some() => Self::Unavailable,
                Effect::Read => Self::Refused,
                Effect::Once | Effect::Change => Self::Unknown,
            },
            _ => Self::Refused,
        }
    }
}

impl Pause {
    /// When a call may be sent again, for a reason that passes: one that surely changed nothing, or that the service knows again.
    pub fn of(status: &Status, outcome: Outcome, effect: Effect) -> Option<Self> {
        let named = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        match (outcome, status.code()) {
            (Outcome::Unknown, _) if effect != Effect::Once => None,
            // What a connection that breaks leaves behind.
            (Outcome::Unknown, Code::Cancelled | Code::Unknown) => Some(Self::Any),
            (_, Code::Unavailable) => Some(named.map_or(Self::Any, Self::Named)),
            (_, Code::ResourceExhausted) => named.map(Self::Named),
            _ => None,
        }
    }

    /// How long to wait, for so many times the call was sent.
    pub fn after(self, sent: u32) -> Duration {
        match self {
            Self::Named(time) => time.max(Duration::from_millis(10)),
            Self::Any => {
                (Duration::from_millis(50) * 2_u32.saturating_pow(sent)).min(LONGEST_PAUSE)
            }
        }
    }
}

fn forbids_repetition(status: &Status) -> bool {
    let pushback = status.metadata().get(PUSHBACK);
    pushback.is_some_and(|time| time.as_bytes().starts_with(b"-"))
}

/// Whether an error of this type has caused the status.
pub fn has_cause<E: std::error::Error + 'static>(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<E>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    const LATER: Duration = Duration::from_secs(3);

    /// A status of the service's own.
    fn answer(code: Code, message: &str) -> Status {
        let mut details = ErrorDetails::with_request_info("ID", "");
        details.set_retry_info(Some(LATER));
        Status::with_error_details(code, message, details)
    }

    #[test]
    fn a_read_whose_connection_breaks_is_not_refused() {
        let mut broken = Status::internal("h2 protocol error");
        let refused = Outcome::of(&broken, Effect::Read);
        assert_eq!(refused, Outcome::Refused);
        broken.set_source(std::sync::Arc::new(std::io::Error::other("reset")));
        let broken = Outcome::of(&broken, Effect::Read);
        assert_eq!(broken, Outcome::Unavailable);
    }

    #[test]
    fn only_what_surely_changed_nothing_or_is_known_again_is_sent_again() {
        let mut maybe = answer(Code::Unavailable, "x");
        let never = tonic::metadata::MetadataValue::from_static("-1");
        maybe.metadata_mut().insert(PUSHBACK, never);
        let lost = Status::unavailable("broken pipe");
        let (any, named) = (Some(Duration::from_millis(100)), Some(LATER));
        for (status, effect, outcome, pause) in [
            (
                answer(Code::Unavailable, "x"),
                Effect::Change,
                Outcome::Unavailable,
                named,
            ),
            (maybe.clone(), Effect::Change, Outcome::Unknown, None),
            (maybe, Effect::Once, Outcome::Unknown, named),
            (lost.clone(), Effect::Once, Outcome::Unknown, any),
            (Status::cancelled("x"), Effect::Once, Outcome::Unknown, any),
            (
                answer(Code::Internal, "x"),
                Effect::Once,
                Outcome::Unknown,
                None,
            ),
            (
                answer(Code::NotFound, "x"),
                Effect::Once,
                Outcome::Refused,
                None,
            ),
            (lost.clone(), Effect::Change, Outcome::Unknown, None),
            (lost, Effect::Read, Outcome::Unavailable, any),
            (
                answer(Code::ResourceExhausted, "x"),
                Effect::Change,
                Outcome::Refused,
                named,
            ),
            (
                Status::resource_exhausted("x"),
                Effect::Change,
                Outcome::Refused,
                None,
            ),
            (
                answer(Code::Internal, "x"),
                Effect::Change,
                Outcome::Unknown,
                None,
            ),
            (
                answer(Code::Internal, "x"),
                Effect::Read,
                Outcome::Refused,
                None,
            ),
            (
                answer(Code::DeadlineExceeded, "x"),
                Effect::Change,
                Outcome::Unknown,
                None,
            ),
            (
                answer(Code::DeadlineExceeded, "x; nothing was changed"),
                Effect::Change,
                Outcome::Unavailable,
                None,
            ),
            (
                Status::cancelled("x"),
                Effect::Change,
                Outcome::Unknown,
                None,
            ),
            (
                answer(Code::NotFound, "x"),
                Effect::Change,
                Outcome::Refused,
                None,
            ),
        ] {
            assert_eq!(Outcome::of(&status, effect), outcome, "{status:?}");
            let found = Pause::of(&status, outcome, effect).map(|pause| pause.after(1));
            assert_eq!(found, pause, "{status:?}");
        }
        assert_eq!(Pause::Any.after(30), LONGEST_PAUSE);
    }
}
