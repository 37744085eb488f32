//! The intake of requests to the services of the contract: which are let in, and what their messages ask for.

use std::sync::Arc;

use tonic::{Request, Status};

use super::in_flight::InFlightGuard;
use super::progress::{HandedCall, Progress};
use super::{Admission, parse, status};
use crate::domain::{AccountId, Call, Caller, Changed, Error, Fault, Repeat};
use crate::telemetry::trace;

/// The intake, which all services of the contract share.
#[derive(Clone)]
pub struct Intake {
    default_account: Option<AccountId>,
    admission: Admission,
}

impl Intake {
    pub fn new(default_account: Option<AccountId>, admission: Admission) -> Self {
        Self {
            default_account,
            admission,
        }
    }

    /// Lets one more change of a caller in, until the guard goes.
    pub fn admit(&self, caller: &Caller) -> Result<InFlightGuard, Error> {
        self.admission.enter(caller)
    }

    /// Lets a request in and parses it. Not async, so that no future keeps its message.
    pub fn begin<T, C>(
        &self,
        request: Request<T>,
        parse: impl FnOnce(T, Result<AccountId, Fault>) -> Result<C, Vec<Fault>>,
    ) -> Result<Begun<C>, Status> {
        let HandedCall { call, progress } = handed(&request)?;
        progress.decode(None);
        let admitted = self.admission.enter(&call.caller);
        let admitted = admitted.map_err(|error| status::from_error(&error, call.request_id))?;
        let account = parse::account(request.metadata(), self.default_account.as_ref());
        progress.decode(account.as_ref().ok().cloned());
        let command = trace::parse().in_scope(|| parse(request.into_inner(), account));
        let invalid = |faults| status::from_error(&Error::Invalid(faults), call.request_id);
        Ok(Begun {
            command: command.map_err(invalid)?,
            call,
            progress,
            admitted,
        })
    }
}

/// A request that was let in.
pub struct Begun<C> {
    pub command: C,
    pub call: Arc<Call>,
    pub progress: Arc<Progress>,
    /// Held until the answer is ready.
    pub admitted: InFlightGuard,
}

/// The call that the handler around the service has put into the request.
fn handed<T>(request: &Request<T>) -> Result<HandedCall, Status> {
    let handed = request.extensions().get::<HandedCall>().cloned();
    // Only a service that is not behind the handler has none.
    handed.ok_or_else(|| Status::internal("the request has no caller"))
}

/// Records that the service has refused, and returns the status to answer with.
pub fn failed(call: &Call, progress: &Progress, error: &Error) -> Status {
    let request_id = error.request_id();
    progress.answer(Changed {
        request_id,
        ..Changed::count(0, 0)
    });
    status::from_error(error, request_id.unwrap_or(call.request_id))
}

/// As [`failed`], for a change, which may have a client token.
pub fn failed_change(
    call: &Call,
    progress: &Progress,
    error: &Error,
    repeat: Option<&Repeat>,
) -> Status {
    let status = failed(call, progress, error);
    match repeat {
        None => status,
        Some(_) => status::of_repeatable(status),
    }
}
