//! The line that each request has in the log, and the end of its span.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use tonic::{Code, Status};

use super::status;
use super::underway::Underway;
use crate::domain::{AccountId, Call, ClientRequestId};
use crate::telemetry::SECURITY;
use crate::telemetry::trace::CallSpan;

/// The log line of a request. Health and reflection have one only where debug lines are wanted.
pub struct LogLine {
    underway: Arc<Underway>,
    call: Option<Arc<Call>>,
    span: CallSpan,
    started: Instant,
    is_written: bool,
}

impl LogLine {
    /// The line of a request that has begun at `started`, by this caller if that is known.
    pub fn start(
        underway: Arc<Underway>,
        call: Option<Arc<Call>>,
        span: CallSpan,
        started: Instant,
    ) -> Self {
        Self {
            underway,
            call,
            span,
            started,
            is_written: false,
        }
    }

    /// Writes the line of a request that is answered with these headers.
    pub fn finish(mut self, headers: &HeaderMap) {
        let failure = status::failure_in(headers);
        let code = failure.as_ref().map_or(Code::Ok, Status::code);
        self.write(code, failure.as_ref().map_or("", Status::message));
    }

    fn write(&mut self, code: Code, error: &str) {
        self.is_written = true;
        let (underway, stage) = (&self.underway, self.underway.progress.take());
        let asked = stage.asked();
        let affected = stage
            .changed()
            .map_or(Some(0), |changed| changed.now(changed.tags));
        let replay = stage.changed().filter(|changed| changed.is_replay);
        let adopted_id = stage.adopted_id();
        let elapsed = self.started.elapsed().as_micros();
        self.span.finish(status::code_name(code), is_failure(code));
        macro_rules! line {
            ($level:ident, $target:expr) => {
                tracing::$level!(
                    target: $target,
                    request_id = adopted_id.unwrap_or(underway.id).as_str(),
                    // The RequestId of lines from before the answer, where the answer has another.
                    first_request_id = adopted_id.map(|_| underway.id.as_str()),
                    client_request_id = underway.client_id.as_ref().map(ClientRequestId::as_str),
                    trace_id = self.span.trace_id(),
                    method = underway.path,
                    code = status::code_name(code),
                    caller = self.call.as_ref().map_or("", |call| call.caller.as_str()),
                    account = stage.account().map_or("", AccountId::as_str),
                    resources = asked.map_or(0, |asked| asked.resources),
                    tags = asked.map_or(0, |asked| asked.tags),
                    affected,
                    // Whether the answer is that of an earlier request with the same client token.
                    replay = replay.map(|_| true),
                    duration_us = u64::try_from(elapsed).unwrap_or(u64::MAX),
                    error,
                    "request"
                )
            };
        }
        match code {
            Code::Unauthenticated | Code::PermissionDenied => line!(warn, SECURITY),
            _ if !underway.service.is_of_contract() => line!(debug, module_path!()),
            // Broken frames of the caller's: the method was not reached.
            Code::Internal if !stage.is_decoded() => line!(info, module_path!()),
            Code::Internal | Code::Unknown | Code::DataLoss => line!(error, module_path!()),
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                line!(warn, module_path!());
            }
            _ => line!(info, module_path!()),
        }
    }
}

/// Whether a code is the service's fault, and not the caller's (OpenTelemetry's conventions for gRPC servers).
fn is_failure(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

impl Drop for LogLine {
    /// A caller that cancels, or whose connection breaks, ends its request without an answer.
    fn drop(&mut self) {
        if !self.is_written {
            self.write(Code::Cancelled, "the caller has gone before the answer");
        }
    }
}
