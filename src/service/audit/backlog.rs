//! How much the audit is behind the change log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::telemetry::metrics::metrics;

/// How many bytes of the change log may have no lines before changes are held up, or refused where lines can't be written: about
/// 250,000 changes of one tag. It bounds what an audit that must not be lost takes on the disk.
const MOST_BYTES: u64 = 16 << 20;

/// How much the audit is behind the change log, as the thread knows it that writes the lines.
#[derive(Debug, Clone, Default)]
pub struct Backlog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    changed: Notify,
}

impl Backlog {
    /// Sets how many bytes have no lines.
    pub(super) fn set(&self, bytes: u64) {
        metrics()
            .server
            .audit_behind_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.0.bytes.store(bytes, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }

    /// Whether too many bytes have no lines.
    pub(super) fn is_long(&self) -> bool {
        self.0.bytes.load(Ordering::Relaxed) > MOST_BYTES
    }

    /// Waits until the thread that writes the lines has told anew how it stands, where that is too long.
    pub(super) async fn told(&self) {
        let told = self.0.changed.notified();
        if self.is_long() {
            told.await;
        }
    }
}
