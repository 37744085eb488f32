//! What the log says of a collector that takes no traces.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// How often the log says that a collector still takes nothing.
const REPEATED: Duration = Duration::from_hours(1);

/// An exporter whose failures are a line in the log when they begin, and then one an hour. Its user is told of none, since it
/// would log each.
pub struct Exporter<E> {
    inner: E,
    outage: Arc<Outage>,
}

impl<E> Exporter<E> {
    pub fn new(inner: E, outage: Arc<Outage>) -> Self {
        Self { inner, outage }
    }
}

impl<E: fmt::Debug> fmt::Debug for Exporter<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

impl<E: SpanExporter> SpanExporter for Exporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        match self.inner.export(batch).await {
            Ok(()) => self.outage.end(),
            Err(error) => {
                if let Some(lost_spans) = self.outage.go_on(spans, Instant::now()) {
                    tracing::warn!(
                        %error,
                        lost_spans,
                        "the collector takes no traces; the next line about it comes in an hour, or when it does"
                    );
                }
            }
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The current outage of a collector, if there is one.
#[derive(Debug, Default)]
pub struct Outage(Mutex<Option<Current>>);

/// An outage that has not ended.
#[derive(Debug)]
struct Current {
    said_at: Instant,
    /// The spans that were lost since the log said how many.
    lost_spans: usize,
}

impl Outage {
    /// Counts spans that were lost. Returns how many were lost since the last line about it, when the next line is due.
    fn go_on(&self, spans: usize, now: Instant) -> Option<usize> {
        let mut current = self.current();
        let lost_spans = current.as_ref().map_or(0, |current| current.lost_spans) + spans;
        let is_due = |current: &Current| now.duration_since(current.said_at) >= REPEATED;
        if let Some(current) = current.as_mut().filter(|current| !is_due(current)) {
            current.lost_spans = lost_spans;
            return None;
        }
        *current = Some(Current {
            said_at: now,
            lost_spans: 0,
        });
        Some(lost_spans)
    }

    /// Ends the outage: the collector has taken spans.
    fn end(&self) {
        if let Some(Current { lost_spans, .. }) = self.current().take() {
            tracing::info!(lost_spans, "the collector takes traces again");
        }
    }

    /// Whether there is an outage: the last spans were lost.
    pub fn is_there(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_when_it_begins_and_once_an_hour() {
        let (outage, begun) = (Outage::default(), Instant::now());
        let minutes = |count| begun + Duration::from_mins(count);
        assert_eq!(outage.go_on(3, minutes(0)), Some(3));
        for minute in 1..60 {
            assert_eq!(outage.go_on(2, minutes(minute)), None);
        }
        assert!(outage.is_there());
        assert_eq!(outage.go_on(2, minutes(60)), Some(120));
        assert_eq!(outage.go_on(2, minutes(119)), None);
        outage.end();
        assert!(!outage.is_there());
        assert_eq!(outage.go_on(1, minutes(119)), Some(1));
    }
}
