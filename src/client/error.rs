//! What a call that failed came to, in sentences.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetail, StatusExt as _};

use super::connection::broken_by;
use super::outcome::{Effect, Outcome, Pause, has_cause};

/// A call that failed.
#[derive(Debug)]
pub struct CallError {
    outcome: Outcome,
    code: Code,
    message: String,
    /// What the message has no room for, a line each.
    more: Vec<String>,
    alibaba_code: Option<String>,
    /// None of a call that was not sent.
    request_id: Option<RequestName>,
    pause: Option<Pause>,
}

/// The name by which a call is found in the service's log.
#[derive(Debug)]
enum RequestName {
    /// The RequestId of the answer.
    Service(String),
    /// What the client has called it.
    Client(String),
}

impl CallError {
    /// The error of a status, for a call that the client has named in the header `x-request-id`.
    pub(super) fn of_status(status: &Status, effect: Effect, name: &str, waited: Duration) -> Self {
        let details = status.get_error_details();
        let answered = details.request_info().map(|info| info.request_id.clone());
        let outcome = Outcome::of(status, effect);
        let message = if has_cause::<TimeoutExpired>(status) {
            format!("no answer within {waited:?}")
        } else if let Some(problem) = broken_by(status) {
            format!("the connection to the service broke: {problem}")
        } else if status.message().is_empty() {
            format!(
                "the service says no more than {}",
                status.code().description()
            )
        } else {
            status.message().to_owned()
        };
        Self {
            outcome,
            code: status.code(),
            more: more(&status.get_error_details_vec(), &message),
            message,
            alibaba_code: details
                .error_info()
                .and_then(|info| info.metadata.get("code").cloned()),
            pause: Pause::of(status, outcome, effect),
            request_id: answered
                .map(RequestName::Service)
                .or_else(|| Some(RequestName::Client(name.to_owned()))),
        }
    }

    /// A call that could not be sent.
    pub(super) fn unsent(problem: String) -> Self {
        Self {
            outcome: Outcome::Refused,
            code: Code::Unauthenticated,
            message: problem,
            more: Vec::new(),
            alibaba_code: None,
            request_id: None,
            pause: None,
        }
    }

    /// The knowledge about the call.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether users that the call names do not exist.
    #[must_use]
    pub fn is_missing_users(&self) -> bool {
        self.code == Code::NotFound
    }

    /// Whether the call was refused because of the users that it names: others may still be changed.
    #[must_use]
    pub fn is_about_users(&self) -> bool {
        self.outcome == Outcome::Refused
            && matches!(self.code, Code::NotFound | Code::FailedPrecondition)
    }

    /// Whether the service's store can't do what the call asks for.
    pub(super) fn is_unsupported(&self) -> bool {
        self.outcome == Outcome::Refused && self.alibaba_code() == Some("UnsupportedOperation")
    }

    /// The error of a call that was sent before, with an outcome that nobody knows. Only an answer that tells of the users was given
    /// after a look at what the earlier ones have done.
    pub(super) fn after_unknown(self) -> Self {
        let outcome = if self.is_about_users() {
            self.outcome
        } else {
            Outcome::Unknown
        };
        Self { outcome, ..self }
    }

    /// The error code of the cloud API, if the answer has one.
    #[must_use]
    pub fn alibaba_code(&self) -> Option<&str> {
        self.alibaba_code.as_deref()
    }

    /// How long to wait before the call is sent again, for so many times it was sent; nothing where it must not be.
    pub(super) fn pause(&self, sent: u32) -> Option<Duration> {
        self.pause.map(|pause| pause.after(sent))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if self.outcome == Outcome::Unknown && !self.message.contains("may have been made") {
            formatter.write_str("; nobody knows whether the change was made")?;
        }
        let code = self.alibaba_code.as_deref();
        let code = code.map_or_else(String::new, |code| format!("{code}, "));
        match &self.request_id {
            Some(RequestName::Service(id)) => write!(formatter, " ({code}RequestId {id})")?,
            Some(RequestName::Client(id)) => write!(
                formatter,
                " ({code}client_request_id {id} in the service's log)"
            )?,
            None => {}
        }
        self.more
            .iter()
            .try_for_each(|line| write!(formatter, "\n  {line}"))
    }
}

/// What the details say beside the message: every fault, and every user.
fn more(details: &[ErrorDetail], message: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut users = Vec::new();
    for detail in details {
        match detail {
            ErrorDetail::BadRequest(bad) => {
                let violations = bad.field_violations.iter();
                faults.extend(violations.map(|fault| (&fault.field, &fault.description)));
            }
            ErrorDetail::PreconditionFailure(failure) => {
                let violations = failure.violations.iter();
                faults.extend(violations.map(|fault| (&fault.subject, &fault.description)));
            }
            ErrorDetail::QuotaFailure(failure) => {
                users.extend(
                    failure
                        .violations
                        .iter()
                        .map(|fault| fault.subject.as_str()),
                );
            }
            ErrorDetail::ResourceInfo(info) => users.push(info.resource_name.as_str()),
            _ => {}
        }
    }
    let is_new = |text: &str| !message.contains(text);
    let faults = faults
        .into_iter()
        .filter(|(field, description)| is_new(field) || is_new(description));
    let mut more: Vec<String> = faults
        .map(|(field, description)| format!("{field}: {description}"))
        .collect();
    if users.iter().any(|user| is_new(user)) {
        more.push(format!("all of them: {}", users.join(", ")));
    }
    more
}

#[cfg(test)]
mod tests {
    use tonic_types::{QuotaFailure, ResourceInfo};

    use super::*;

    #[test]
    fn an_error_names_what_its_message_leaves_out() {
        let users = ["7", "8"].map(|user| ResourceInfo::new("user", user, "", "").into());
        let shown = |message: &str, details: Vec<ErrorDetail>| {
            let status = Status::with_error_details_vec(Code::NotFound, message, details);
            CallError::of_status(&status, Effect::Read, "NAME", Duration::ZERO).to_string()
        };
        let name = "(client_request_id NAME in the service's log)";
        assert_eq!(
            shown("7, 8 are gone", users.to_vec()),
            format!("7, 8 are gone {name}")
        );
        assert_eq!(
            shown("7 is gone", users.to_vec()),
            format!("7 is gone {name}\n  all of them: 7, 8")
        );
        let quota = QuotaFailure::with_violation("9", "over 20 tags");
        assert_eq!(
            shown("full", vec![quota.into()]),
            format!("full {name}\n  all of them: 9")
        );
    }
}
