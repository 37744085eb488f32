//! The spans of a call: one for the call, and within it its stages. They cost next to nothing until an exporter wants
//! them (`telemetry/otlp.rs`), and never show in the log.

use http::HeaderMap;
use tracing::Span;
use tracing::field::Empty;

use super::metrics;
#[cfg(feature = "otlp")]
use super::otlp::Place;
#[cfg(not(feature = "otlp"))]
use untraced::Place;

/// What all spans are known by, and nothing else.
pub const TARGET: &str = "untag::trace";

/// What the conventions call a method that nobody knows: names of spans must not be made by callers.
const OTHER: &str = "_OTHER";

/// The span of one call, from its headers to its answer. Attributes follow OpenTelemetry's conventions for RPC.
#[derive(Debug)]
pub struct CallSpan(Span);

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
        if !span.is_disabled() {
            Place::of_headers(headers).adopt(&span);
        }
        Self(span)
    }

    /// A call that nobody wants to trace.
    #[must_use]
    pub fn none() -> Self {
        Self(Span::none())
    }

    /// The span, for work to be done in.
    #[must_use]
    pub fn span(&self) -> Span {
        self.0.clone()
    }

    /// Notes what came of the call: the name of a gRPC code, and whether it is the service's fault.
    pub fn finish(&self, code: &str, is_failure: bool) {
        self.0.record("rpc.response.status_code", code);
        if is_failure {
            self.0.record("error.type", code);
            self.0.record("otel.status_code", "ERROR");
        }
    }

    /// The trace that the call belongs to, in hexadecimal digits; `None` where it is not traced.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        if self.0.is_disabled() {
            return None;
        }
        Place::of_span(&self.0).trace_id()
    }
}

/// Turning the message into a command.
#[must_use]
pub fn parse() -> Span {
    tracing::info_span!(target: TARGET, "parse")
}

/// Asking the policies.
#[must_use]
pub fn authorise() -> Span {
    tracing::info_span!(target: TARGET, "authorise")
}

/// Waiting for the line of the audit to be taken.
#[must_use]
pub fn audit() -> Span {
    tracing::info_span!(target: TARGET, "audit")
}

/// Reading from the store, with the wait for a connection.
#[must_use]
pub fn read() -> Span {
    tracing::info_span!(target: TARGET, "read")
}

/// A change on its way through the store: it waits in a queue, and then takes part in a commit. It only remembers its
/// call: one that is cut off ends at once, and not when the store gets to it.
#[derive(Debug)]
pub struct Change {
    call: Option<Place>,
    queue: Span,
}

impl Change {
    /// A change of the current call begins to wait.
    #[must_use]
    pub fn queue() -> Self {
        let queue = tracing::info_span!(target: TARGET, parent: None, "queue");
        let call = (!queue.is_disabled()).then(|| Place::of_span(&Span::current()));
        if let Some(call) = &call {
            call.adopt(&queue);
        }
        Self { call, queue }
    }

    /// The wait is over: the span of the commit that `changes` share. `None` where nobody traces.
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

    /// The place of a span in a trace, where there are no traces.
    #[derive(Debug)]
    pub struct Place;

    impl Place {
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
