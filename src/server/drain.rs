//! The drain: what is waited for between the signal that ends the service and its end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::grpc::InFlight;
use crate::service::Audit;
use crate::telemetry::metrics::metrics;

/// How long connections get to send their last answers and close after the last request is done.
const LINGER: Duration = Duration::from_millis(500);

/// The work that a drain waits for, and the means to cut it off.
pub struct Drain {
    /// The requests in flight.
    pub in_flight: InFlight,
    /// The open connections of the public ports.
    pub connections: TaskTracker,
    /// Cancelled when the time of the drain is over.
    pub cut_off: CancellationToken,
    /// The audit, which may still have lines to write for callers that have gone.
    pub audit: Audit,
}

impl Drain {
    /// The drain of a server that has no connection yet.
    pub fn new(audit: Audit) -> Self {
        let in_flight = InFlight::default();
        let counted = in_flight.clone();
        metrics().server.in_flight.of(move || counted.count());
        Self {
            in_flight,
            connections: TaskTracker::new(),
            cut_off: CancellationToken::new(),
            audit,
        }
    }

    /// Lets requests finish for at most `timeout`, and cuts off what is left.
    pub async fn finish(&self, timeout: Duration) {
        let in_time = async {
            self.drained().await;
            self.audit.settled().await;
        };
        if tokio::time::timeout(timeout, in_time).await.is_ok() {
            return;
        }
        tracing::warn!(
            in_flight = self.in_flight.count(),
            "the drain has timed out; cutting off what is left"
        );
        self.cut_off.cancel();
        let _ = tokio::time::timeout(LINGER, self.connections.wait()).await;
    }

    /// Waits until no request is left. A connection that stays open without one, because its client hangs or watches
    /// health, is waited for no longer than it takes to send the last answers.
    async fn drained(&self) {
        loop {
            self.in_flight.none().await;
            let closed = tokio::time::timeout(LINGER, self.connections.wait());
            if closed.await.is_ok() {
                return;
            }
            // Requests that were on their way when the client was told to stop count too.
            if self.in_flight.count() == 0 {
                return;
            }
        }
    }
}
