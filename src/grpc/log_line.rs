//! One line in the log for each request, and the end of its span.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use tonic::{Code, Status};

use super::context::{Asked, RequestContext};
use super::status;
use crate::domain::{AccountId, Changed, ClientRequestId, RequestId};
use crate::telemetry::SECURITY;
use crate::telemetry::trace::CallSpan;

/// The line that each request has in the log; of health and reflection only where debug lines are wanted.
pub struct LogLine {
    context: Arc<RequestContext>,
    path: String,
    is_tag_request: bool,
    call: CallSpan,
    started: Instant,
    is_written: bool,
}

impl LogLine {
    /// Starts the clock of a request.
    pub fn start(
        context: Arc<RequestContext>,
        path: String,
        is_tag_request: bool,
        call: CallSpan,
    ) -> Self {
        Self {
            context,
            path,
            is_tag_request,
            call,
            started: Instant::now(),
            is_written: false,
        }
    }

    /// The path of the request.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Writes the line of a request that is answered with these headers.
    pub fn finish(mut self, headers: &HeaderMap) {
        let failure = status::failure_in(headers);
        let code = failure.as_ref().map_or(Code::Ok, Status::code);
        self.write(code, failure.as_ref().map_or("", Status::message));
    }

    fn write(&mut self, code: Code, error: &str) {
        self.is_written = true;
        let Asked { resources, tags } = self.context.asked();
        let Changed { tags: affected, .. } = self.context.changed();
        let elapsed = self.started.elapsed().as_micros();
        self.call.finish(status::code_name(code), is_failure(code));
        macro_rules! line {
            ($level:ident, $target:expr) => {
                tracing::$level!(
                    target: $target,
                    request_id = self.context.id().as_str(),
                    first_request_id = self.context.first_id().map(RequestId::as_str),
                    client_request_id = self.context.client_id().map(ClientRequestId::as_str),
                    trace_id = self.call.trace_id(),
                    method = self.path,
                    code = status::code_name(code),
                    caller = self.context.caller(),
                    account = self.context.account().map_or("", AccountId::as_str),
                    resources,
                    tags,
                    affected,
                    duration_us = u64::try_from(elapsed).unwrap_or(u64::MAX),
                    error,
                    "request"
                )
            };
        }
        match code {
            Code::Unauthenticated | Code::PermissionDenied => line!(warn, SECURITY),
            _ if !self.is_tag_request => line!(debug, module_path!()),
            // Broken frames of the caller's: the method was not reached.
            Code::Internal if !self.context.was_entered() => line!(info, module_path!()),
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
