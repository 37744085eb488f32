//! The errors of requests that are refused before they become calls.

use std::time::Duration;

use http::StatusCode;

use super::authentication::Refusal;
use super::parameters::malformed;
use crate::domain::{Action, Caller, Error, Fault};
use crate::service::RETRY_AFTER;

/// An error in the cloud's form.
#[derive(Debug)]
pub struct Stop {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
    pub retry_after: Option<Duration>,
    /// Who has signed the request, where that is proved.
    pub signer: Option<Caller>,
    /// The action that was asked for, where that is known.
    pub action: Option<Action>,
}

impl Stop {
    /// An error with a code of the cloud's own.
    pub fn new(status: StatusCode, code: &str, message: String) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message,
            retry_after: None,
            signer: None,
            action: None,
        }
    }

    /// An error of the contract.
    pub fn of(error: &Error, status: StatusCode) -> Self {
        Self::new(status, error.code(), error.to_string())
    }

    /// A fault of the service, whose cause is in the log.
    pub fn internal() -> Self {
        Self::of(&Error::Internal, StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// A fault in a parameter.
    pub fn fault(fault: Fault) -> Self {
        Self::of(&Error::Invalid(vec![fault]), StatusCode::BAD_REQUEST)
    }

    /// A fault of the request as a whole.
    pub fn invalid(description: &str) -> Self {
        Self::fault(malformed("", description))
    }

    /// The error of a request that is larger than may be.
    pub fn too_large(description: String) -> Self {
        Self::of(&Error::TooLarge(description), StatusCode::BAD_REQUEST)
    }

    /// The error of a request whose sender is not believed.
    pub fn refusal(refusal: Refusal) -> Self {
        let (code, message) = refusal.explain();
        let status = match refusal {
            Refusal::UnknownKey => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            retry_after: (refusal == Refusal::TooMany).then_some(RETRY_AFTER),
            ..Self::new(status, code, message.to_owned())
        }
    }
}
