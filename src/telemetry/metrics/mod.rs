//! Metrics: every name stands in this folder, and docs/metrics.md says what each means.
//!
//! A process has one set of them, as it has one log. All series are made at the start: whoever counts holds a handle
//! or an index and looks no name up, a rate has a zero to start from, and no caller can make labels without end.

mod exposition;
mod grpc;
mod process;
mod server;
mod store;

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

pub use exposition::Format;
pub use grpc::{Call, Calls, Kind, kind_of};
use process::Process;
pub use server::{Connections, Reload, Server, Throttle};
pub use store::Store;

type Labels = Vec<(&'static str, &'static str)>;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The metrics of calls.
    pub calls: Calls,
    /// The metrics of the server.
    pub server: Server,
    /// The metrics of the store.
    pub store: Store,
}

/// The metrics of this process.
#[must_use]
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::default();
        let build = Family::<Labels, Gauge>::default();
        let version = ("version", env!("CARGO_PKG_VERSION"));
        build.get_or_create(&vec![version]).set(1);
        registry.register("untag_build_info", "The program: always 1", build);
        let calls = Calls::register(&mut registry);
        let server = Server::register(&mut registry);
        let store = Store::register(&mut registry);
        registry.register_collector(Box::new(Process));
        Self {
            registry,
            calls,
            server,
            store,
        }
    }

    /// The text of all metrics, as they are now.
    ///
    /// # Errors
    /// None that a text in memory has.
    pub fn render(&self, format: Format) -> Result<String, fmt::Error> {
        exposition::render(&self.registry, format)
    }
}

/// A guard that counts something as open while it lives.
#[derive(Debug)]
pub struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A gauge whose value is read from its source when it is scraped.
#[derive(Clone, Default)]
pub struct Reading(Arc<OnceLock<Source>>);

type Source = Box<dyn Fn() -> usize + Send + Sync>;

impl Reading {
    /// Sets the source. The first one stays: a process has one server and one store.
    pub fn of(&self, source: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(source));
    }

    fn now(&self) -> i64 {
        let value = self.0.get().map_or(0, |source| source());
        i64::try_from(value).unwrap_or(i64::MAX)
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Reading").field(&self.now()).finish()
    }
}

impl EncodeMetric for Reading {
    fn encode(&self, encoder: MetricEncoder) -> fmt::Result {
        ConstGauge::new(self.now()).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}
