//! Why a request is not carried out, before it is a call.

use std::time::Duration;

use http::StatusCode;

use super::authentication::Refusal;
use super::parameters::malformed;
use crate::domain::{Error, Fault};
use crate::service::RETRY_AFTER;

/// An error in the cloud's words.
#[derive(Debug)]
pub struct Stop {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl Stop {
    /// An error of the contract.
    pub fn of(error: &Error, status: StatusCode) -> Self {
        Self {
            status,
            code: error.code().to_owned(),
            message: error.to_string(),
            retry_after: None,
        }
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
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            retry_after: (refusal == Refusal::TooMany).then_some(RETRY_AFTER),
        }
    }
}
