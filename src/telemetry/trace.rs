//! The spans of a call: one for the call, and within it its stages. They cost next to nothing until an exporter wants
//! them (`telemetry/otlp.rs`), and never show in the log.

use http::HeaderMap;
use tracing::Span;
use tracing::field::Empty;

use super::log::TARGET;
use super::metrics;
#[cfg(feature = "otlp")]
use super::otlp::TraceContext;
#[cfg(not(feature = "otlp"))]
use untraced::TraceContext;

/// The method of a call to none that is known, by OpenTelemetry's conventions: callers must not make names of spans.
const OTHER: &str = "_OTHER";

/// The span of one call, from its headers to its answer. Attributes follow OpenTelemetry's conventions for RPC.
#[derive(Debug)]
pub struct CallSpan {
    span: Span,
    /// The caller's trace, for the log of a service that traces nothing itself.
    caller_trace: Option<TraceId>,
}

impl CallSpan {
    /// Begins a call, within the caller's trace if its headers name one (W3C `traceparent`).
    #[must_use]
    pub fn start(path: &str, headers: &HeaderMap, request_id: &str) -> Self {
        let method = match path.strip_prefix('/') {
            Some(method) if metrics::kind_of(path) != metrics::Kind::Unknown => method,
            _ => OTHER,
        };
        let span = tracing::info_span!(
            target: TARGET,
            "call",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = Empty,
            error.r#type = Empty,
            untag.request_id = request_id,
        );
        let caller_trace = if span.is_disabled() {
            TraceId::of_headers(headers)
        } else {
            TraceContext::of_headers(headers).adopt(&span);
            None
        };
        Self { span, caller_trace }
    }

    /// The span of a call that is not traced.
    #[must_use]
    pub fn none() -> Self {
        Self {
            span: Span::none(),
            caller_trace: None,
        }
    }

    /// The span, for work to be done in.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Records the result of the call: the name of a gRPC code, and whether it is the service's fault.
    pub fn finish(&self, code: &str, is_failure: bool) {
        self.span.record("rpc.response.status_code", code);
        if is_failure {
            self.span.record("error.type", code);
            self.span.record("otel.status_code", "ERROR");
        }
    }

    /// The trace that the call belongs to, in hexadecimal digits; `None` where neither the service nor the caller traces it.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        if self.span.is_disabled() {
            return self.caller_trace.as_ref().map(|trace| trace.0.clone());
        }
        TraceContext::of_span(&self.span).trace_id()
    }
}

/// The id of a trace, as the header `traceparent` of W3C's Trace Context has it.
#[derive(Debug)]
struct TraceId(String);

impl TraceId {
    /// The id of the caller's trace; `None` without a good header `traceparent`.
    fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get("traceparent")?.to_str().ok()?;
        let mut fields = header.split('-');
        let mut next = |length: usize| {
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let field = fields.next()?;
            (field.len() == length && field.bytes().all(is_hex)).then_some(field)
        };
        let (version, trace, parent, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let is_null = |field: &str| field.bytes().all(|byte| byte == b'0');
        // Later versions may have more fields.
        let is_known = version != "ff" && (version != "00" || fields.next().is_none());
        (is_known && !is_null(trace) && !is_null(parent)).then(|| Self(trace.to_owned()))
    }
}

/// The span of turning the message into a command.
#[must_use]
pub fn parse() -> Span {
    tracing::info_span!(target: TARGET, "parse")
}

/// The span of asking the policies.
#[must_use]
pub fn authorise() -> Span {
    tracing::info_span!(target: TARGET, "authorise")
}

/// The span of waiting for a slot for the line of the audit.
#[must_use]
pub fn audit() -> Span {
    tracing::info_span!(target: TARGET, "audit")
}

/// The span of reading from the store, with the wait for a connection.
#[must_use]
pub fn read() -> Span {
    tracing::info_span!(target: TARGET, "read")
}

/// The spans of a change in the store: it waits in a queue, and then takes part in a commit. It only remembers its
/// call: one that is cut off ends at once, and not when the store gets to it.
#[derive(Debug)]
pub struct Change {
    call: Option<TraceContext>,
    queue: Span,
}

impl Change {
    /// Begins the wait of a change of the current call.
    #[must_use]
    pub fn queue() -> Self {
        let queue = tracing::info_span!(target: TARGET, parent: None, "queue");
        let call = (!queue.is_disabled()).then(|| TraceContext::of_span(&Span::current()));
        if let Some(call) = &call {
            call.adopt(&queue);
        }
        Self { call, queue }
    }

    /// Ends the wait, and begins the span of the commit that `changes` share. `None` where nobody traces.
    pub fn commit(&mut self, changes: usize) -> Option<Span> {
        let call = self.call.as_ref()?;
        self.queue = Span::none();
        let changes = i64::try_from(changes).unwrap_or(i64::MAX);
        let commit = tracing::info_span!(target: TARGET, parent: None, "commit", untag.commit.changes = changes);
        call.adopt(&commit);
        Some(commit)
    }
}

#[cfg(not(feature = "otlp"))]
mod untraced {
    use http::HeaderMap;
    use tracing::Span;

    /// The stand-in for a trace context in a build without traces.
    #[derive(Debug)]
    pub struct TraceContext;

    impl TraceContext {
        pub fn of_headers(_: &HeaderMap) -> Self {
            Self
        }

        pub fn of_span(_: &Span) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "the other one has something")]
        pub fn adopt(&self, _: &Span) {}

        #[expect(clippy::unused_self, reason = "the other one has something")]
        pub fn trace_id(&self) -> Option<String> {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::TraceId;

    #[test]
    fn the_trace_of_a_caller_is_that_of_a_good_traceparent() {
        let trace = |header: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_str(header).unwrap());
            TraceId::of_headers(&headers).map(|trace| trace.0)
        };
        let (id, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for good in [
            format!("00-{id}-{parent}-01"),
            format!("00-{id}-{parent}-00"),
            format!("cc-{id}-{parent}-01-what-the-future-brings"),
        ] {
            assert_eq!(trace(&good).as_deref(), Some(id), "{good}");
        }
        let (no_id, no_parent) = ("0".repeat(32), "0".repeat(16));
        for bad in [
            String::new(),
            id.to_owned(),
            format!("ff-{id}-{parent}-01"),
            format!("00-{id}-{parent}"),
            format!("00-{id}-{parent}-01-more"),
            format!("00-{}-{parent}-01", id.to_uppercase()),
            format!("00-{no_id}-{parent}-01"),
            format!("00-{id}-{no_parent}-01"),
            format!("00-{id}x-{parent}-01"),
        ] {
            assert_eq!(trace(&bad), None, "{bad}");
        }
        assert!(TraceId::of_headers(&HeaderMap::new()).is_none());
    }
}
