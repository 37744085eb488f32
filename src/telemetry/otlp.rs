//! Traces for an OpenTelemetry collector, by OTLP over gRPC. OpenTelemetry's own variables `OTEL_…` (sampler,
//! headers, resource attributes, batches) are read by its library.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;

use super::log::{Listener, TARGET};
use super::outage::{Exporter, Outage};

/// How long the last spans may take to be sent at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The sender of spans. A collector that is slow or gone costs spans and never a request: they wait in a bounded queue, which
/// a thread of its own empties.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    outage: Arc<Outage>,
}

impl Traces {
    /// Starts a sender to the collector at this address. Called within the runtime that will carry the connection.
    ///
    /// # Errors
    /// [`ExporterBuildError`] for an endpoint that can't be used.
    pub fn start(endpoint: &Uri) -> Result<Self, ExporterBuildError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.to_string());
        let exporter = if endpoint.scheme() == Some(&http::uri::Scheme::HTTPS) {
            exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
        } else {
            exporter
        };
        let mut resource = Resource::builder();
        // The variables of the environment go first.
        if std::env::var_os("OTEL_SERVICE_NAME").is_none_or(|name| name.is_empty()) {
            resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let outage = Arc::new(Outage::default());
        let exporter = Exporter::new(exporter.build()?, Arc::clone(&outage));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Self { provider, outage })
    }

    /// The layer that turns the service's spans into OpenTelemetry's, with the warnings that were logged within them.
    #[must_use]
    pub fn layer(&self) -> Listener {
        let is_own_event =
            |metadata: &Metadata| metadata.is_event() && metadata.target().starts_with("untag");
        let wanted = filter_fn(move |metadata| {
            metadata.target() == TARGET
                || (*metadata.level() <= Level::WARN && is_own_event(metadata))
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Spans follow requests from thread to thread and are never the current ones of OpenTelemetry.
            .with_context_activation(false)
            .with_filter(wanted.with_max_level_hint(Level::INFO))
            .boxed()
    }

    /// Sends the spans that are left, for a bounded time. Not called on the runtime, whose threads carry the connection.
    pub fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last traces could not be sent");
        } else if self.outage.is_there() {
            tracing::warn!("the last traces could not be sent");
        }
    }
}

/// The identity of a span in its trace, under which other spans can begin, also when it has ended.
#[derive(Debug)]
pub(super) struct TraceContext(SpanContext);

impl TraceContext {
    /// The trace context of the caller. A header `traceparent` that is no good counts as none, as W3C's Trace Context asks.
    pub fn of_headers(headers: &HeaderMap) -> Self {
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        Self(caller.span().span_context().clone())
    }

    pub fn of_span(span: &Span) -> Self {
        Self(span.context().span().span_context().clone())
    }

    /// Puts a span that has not begun under this one.
    pub fn adopt(&self, span: &Span) {
        if self.0.is_valid() {
            let parent = Context::new().with_remote_span_context(self.0.clone());
            // It fails only for a span that has begun.
            let _ = span.set_parent(parent);
        }
    }

    pub fn trace_id(&self) -> Option<String> {
        self.0.is_valid().then(|| self.0.trace_id().to_string())
    }
}
