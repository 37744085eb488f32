//! The failures of calls, and what they mean for a request.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Refused;
use super::circuit::{NO_ANSWER, Sign};
use crate::domain::{
    Applied, LONGEST_MESSAGE, Refusal, RefusalKind, Targets, first_names, message_with_end,
    shortened,
};
use crate::store::StoreError;

/// When to try again where the cloud does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The pause before the second try of a call; doubled for each one after.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Why the cloud does not carry out what the service asks, in words for callers.
pub const NO_CREDENTIALS: &str = "the service has no credentials for the cloud";
const UNKNOWN: &str = "the cloud does not accept the service's credentials";

/// Why a call brought no answer.
#[derive(Debug)]
pub enum Failure {
    /// The queue for the cloud is full.
    Busy,
    /// The cloud has not answered for so long that it is not asked.
    Open,
    /// There is nothing to sign with.
    NoCredentials,
    /// There was no connection: the cloud knows nothing of the call.
    NotSent(String),
    /// The call was sent, and what came back, if anything, is no answer.
    Lost(String),
    /// The cloud has refused the call.
    Refused(Refused),
}

impl Failure {
    /// The sign that the failure gives of the cloud; `None` where the cloud was not asked.
    pub fn sign(&self) -> Option<Sign> {
        match self {
            Self::Busy | Self::Open | Self::NoCredentials => None,
            Self::NotSent(_) | Self::Lost(_) => Some(Sign::Failed),
            Self::Refused(refused) if refused.is_throttling() => Some(Sign::Answered),
            Self::Refused(refused) if refused.is_unknown() => Some(Sign::Unknown(UNKNOWN)),
            Self::Refused(refused) if refused.is_fault() => Some(Sign::Failed),
            Self::Refused(_) => Some(Sign::Answered),
        }
    }

    /// What went wrong, for the log.
    pub fn problem(&self) -> String {
        match self {
            Self::NotSent(problem) | Self::Lost(problem) => problem.clone(),
            Self::Refused(refused) => {
                format!("HTTP status {}, code {}", refused.status, refused.code)
            }
            Self::Busy | Self::Open | Self::NoCredentials => String::new(),
        }
    }

    /// How long to wait before the call is made again, after so many tries; `None` where that would not help, or could
    /// change something twice.
    pub fn pause(&self, tries: u32, changes: bool) -> Option<Duration> {
        // Up to half as much again, so that those who were refused together do not come back together.
        let jitter = 1.0 + rand::random::<f64>() / 2.0;
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(tries - 1);
        match self {
            Self::Refused(refused) if refused.is_throttling() => {
                let wanted = refused.retry_after.unwrap_or_default();
                Some(wanted.max(pause).mul_f64(jitter))
            }
            Self::NotSent(_) => Some(pause.mul_f64(jitter)),
            Self::Lost(_) if !changes => Some(pause.mul_f64(jitter)),
            Self::Refused(refused) if refused.is_fault() && !changes => Some(pause.mul_f64(jitter)),
            _ => None,
        }
    }

    /// Whether the cloud has nothing for the service: it does not exist, or may not be read.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Refused(refused) if !refused.is_unknown() && [403, 404].contains(&refused.status))
    }

    /// Whether the cloud says that a resource does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.is_missing())
    }

    /// The failure in the words of the contract. `missing` are the positions of resources that are known not to exist.
    pub fn into_store_error(
        self,
        changes: bool,
        targets: Option<&Targets>,
        missing: &[usize],
    ) -> StoreError {
        let unavailable = |reason, applied, problem: Option<String>| StoreError::Unavailable {
            reason,
            applied,
            source: problem.map(|problem| Arc::from(Box::from(problem))),
        };
        let applied = if changes { Applied::Maybe } else { Applied::No };
        match self {
            Self::Busy => StoreError::Busy,
            Self::Open => unavailable(NO_ANSWER, Applied::No, None),
            Self::NoCredentials => unavailable(NO_CREDENTIALS, Applied::No, None),
            Self::NotSent(problem) => {
                unavailable("the cloud API is out of reach", Applied::No, Some(problem))
            }
            Self::Lost(problem) => {
                unavailable("the cloud API has not answered", applied, Some(problem))
            }
            // What the cloud says there may repeat what was signed, with the security token in it.
            Self::Refused(refused) if refused.is_unknown() => {
                tracing::error!(
                    status = refused.status,
                    code = refused.code,
                    "the cloud does not accept the service's credentials: check the key, its permissions and the clock"
                );
                refusal(
                    RefusalKind::Unavailable {
                        retry_after: RETRY_AFTER,
                    },
                    format!("{UNKNOWN}; {}", Applied::No),
                    Applied::No,
                    refused,
                )
            }
            Self::Refused(refused) => explain(refused, applied, targets, missing),
        }
    }
}

fn explain(
    refused: Refused,
    applied: Applied,
    targets: Option<&Targets>,
    missing: &[usize],
) -> StoreError {
    let changes = applied == Applied::Maybe;
    let named = targets.map_or_else(Vec::new, |targets| targets.named(missing));
    let kind = match refused.status {
        _ if refused.is_throttling() => RefusalKind::Throttled {
            retry_after: refused.retry_after.unwrap_or(RETRY_AFTER),
        },
        _ if refused.is_missing() => RefusalKind::NotFound(named),
        _ if refused.is_limit() => RefusalKind::TagLimit,
        409 if refused.is_taken() => RefusalKind::AlreadyExists,
        409 => RefusalKind::Conflict,
        400 => RefusalKind::Invalid,
        403 => RefusalKind::NoPermission,
        501.. => RefusalKind::Unavailable {
            retry_after: RETRY_AFTER,
        },
        _ => RefusalKind::Internal,
    };
    let is_one = targets.is_some_and(|targets| targets.count() == 1);
    let is_of_one_user = refused.is_missing() || refused.is_limit() || refused.status == 409;
    let doubt = match &kind {
        _ if changes && is_of_one_user && !is_one => {
            Some("the cloud does not say whether the other users were changed".to_owned())
        }
        RefusalKind::Unavailable { .. } | RefusalKind::Internal
            if changes && refused.is_fault() =>
        {
            Some(applied.to_string())
        }
        // The cloud has looked at the request as a whole, and no further.
        _ => None,
    };
    let who = match &kind {
        RefusalKind::NotFound(named) if !named.is_empty() => {
            Some(format!("users that do not exist: {}", first_names(named)))
        }
        _ => None,
    };
    let mut words = refused.message.clone();
    if who.is_some() || doubt.is_some() {
        words.truncate(words.trim_end_matches('.').len());
    }
    let words = Some(words).filter(|words| !words.is_empty());
    let start: Vec<String> = [words, who].into_iter().flatten().collect();
    let start = start.join("; ");
    // What is not promised is said, however long the cloud's words and the names are.
    let (message, applied) = match doubt {
        Some(doubt) => (message_with_end(start, &doubt), Applied::Maybe),
        None => (shortened(start, LONGEST_MESSAGE), Applied::No),
    };
    refusal(kind, message, applied, refused)
}

fn refusal(kind: RefusalKind, message: String, applied: Applied, refused: Refused) -> StoreError {
    StoreError::Refused(Box::new(Refusal {
        kind,
        code: refused.code,
        message,
        applied,
        request_id: refused.request_id,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PrincipalName, ResourceId};

    fn refused(status: u16, code: &str) -> Failure {
        Failure::Refused(Refused {
            status,
            code: code.to_owned(),
            message: "In the cloud's words.".to_owned(),
            request_id: None,
            retry_after: None,
        })
    }

    fn ids(ids: &[&str]) -> Targets {
        Targets::Ids(
            ids.iter()
                .map(|id| ResourceId::parse(*id).unwrap())
                .collect(),
        )
    }

    fn explained(failure: Failure, changes: bool, targets: &Targets, missing: &[usize]) -> String {
        match failure.into_store_error(changes, Some(targets), missing) {
            StoreError::Refused(refusal) => format!(
                "{:?}, applied {:?}: {}",
                refusal.kind, refusal.applied, refusal.message
            ),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn only_what_changes_nothing_twice_is_repeated() {
        let repeated =
            |failure: &Failure| [false, true].map(|changes| failure.pause(1, changes).is_some());
        assert_eq!(repeated(&refused(400, "Throttling.User")), [true, true]);
        assert_eq!(repeated(&Failure::NotSent(String::new())), [true, true]);
        assert_eq!(repeated(&Failure::Lost(String::new())), [true, false]);
        assert_eq!(repeated(&refused(503, "ServiceUnavailable")), [true, false]);
        for failure in [
            refused(400, "InvalidParameter.TagKey"),
            refused(404, "EntityNotExist.User"),
            refused(400, "SignatureDoesNotMatch"),
            Failure::Open,
            Failure::Busy,
            Failure::NoCredentials,
        ] {
            assert_eq!(repeated(&failure), [false, false], "{failure:?}");
        }
    }

    #[test]
    fn what_was_not_asked_is_no_sign_of_the_cloud() {
        for failure in [Failure::Open, Failure::Busy, Failure::NoCredentials] {
            assert_eq!(failure.sign(), None, "{failure:?}");
        }
        let lost = Failure::Lost(String::new());
        assert_eq!(lost.sign(), Some(Sign::Failed));
        assert_eq!(
            refused(404, "EntityNotExist.User").sign(),
            Some(Sign::Answered)
        );
    }

    #[test]
    fn the_pause_is_what_the_cloud_wants_or_more() {
        let Failure::Refused(mut throttled) = refused(400, "Throttling.User") else {
            unreachable!()
        };
        throttled.retry_after = Some(Duration::from_secs(2));
        let pause = Failure::Refused(throttled).pause(1, true).unwrap();
        assert!((2.0..=3.0).contains(&pause.as_secs_f64()), "{pause:?}");
        for (tries, least) in [(1, 0.1), (2, 0.2), (5, 1.6)] {
            let draw = |_| Failure::NotSent(String::new()).pause(tries, true).unwrap();
            let pauses: Vec<Duration> = (0..20).map(draw).collect();
            let is_right = |pause: &Duration| (least..=least * 1.51).contains(&pause.as_secs_f64());
            assert!(pauses.iter().all(is_right), "{pauses:?}");
            // Those who were refused together do not come back together.
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
    }

    #[test]
    fn what_is_not_promised_is_said_after_the_longest_words_and_names() {
        let name = |letter: &str| {
            let name = format!("{}@{}", letter.repeat(64), letter.repeat(63));
            PrincipalName::parse(name).unwrap()
        };
        let targets = Targets::Names(["a", "b", "c"].map(name).to_vec());
        let long = |status, code, missing: &[usize]| {
            let Failure::Refused(mut refused) = refused(status, code) else {
                unreachable!()
            };
            refused.message = "An orator. ".repeat(100);
            match Failure::Refused(refused).into_store_error(true, Some(&targets), missing) {
                StoreError::Refused(refusal) => refusal.message,
                other => panic!("{other:?}"),
            }
        };
        let others = "the cloud does not say whether the other users were changed";
        let named = explained(
            refused(404, "EntityNotExist.User"),
            true,
            &targets,
            &[0, 1, 2],
        );
        assert!(
            named.contains("exist: aaa") && named.ends_with(others),
            "{named}"
        );
        let maybe = "the change may have been made; it is safe to repeat the request";
        for (message, end) in [
            (long(404, "EntityNotExist.User", &[0, 1, 2]), others),
            (long(409, "LimitExceeded.User.Tag", &[]), others),
            (long(503, "ServiceUnavailable", &[]), maybe),
            (long(400, "InvalidParameter.TagKey", &[]), "…"),
        ] {
            assert!(message.starts_with("An orator."), "{message}");
            assert!(message.ends_with(end), "{message}");
            assert!(message.len() <= LONGEST_MESSAGE, "{}", message.len());
        }
    }

    #[test]
    fn what_the_cloud_refuses_keeps_its_words_and_says_what_is_not_promised() {
        let (one, two) = (ids(&["7"]), ids(&["7", "8"]));
        let words = |status, code, changes, targets: &Targets| {
            explained(refused(status, code), changes, targets, &[])
        };
        let cases = [
            words(400, "InvalidParameter.TagKey", true, &two),
            words(403, "NoPermission", true, &two),
            words(404, "EntityNotExist.User", true, &one),
            words(404, "EntityNotExist.User", true, &two),
            words(404, "EntityNotExist.User", false, &two),
            explained(refused(404, "EntityNotExist.User"), true, &two, &[1]),
            words(404, "InvalidAction.NotFound", true, &two),
            words(409, "LimitExceeded.User.Tag", true, &two),
            words(409, "EntityAlreadyExists.User", true, &two),
            words(409, "DeleteConflict.User.AccessKey", true, &one),
            words(400, "Throttling.User", true, &two),
            words(500, "InternalError", true, &two),
            words(503, "ServiceUnavailable", true, &two),
            words(503, "ServiceUnavailable", false, &two),
            words(400, "SignatureDoesNotMatch", true, &two),
        ];
        insta::assert_snapshot!(cases.join("\n"));
    }
}
