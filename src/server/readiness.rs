//! Whether the service can do its work, as gRPC health and `/ready` tell it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::admin::NotReady;
use crate::grpc::{LIVENESS, TAG_SERVICE};
use crate::store::Store;
use crate::telemetry::metrics::metrics;

/// How often the store is asked, and how long it may take to answer: together the longest that health is behind.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The state behind the health service.
#[derive(Debug, Clone)]
pub struct Readiness {
    public: HealthReporter,
    admin: HealthReporter,
    not_ready: NotReady,
}

impl Readiness {
    /// Not ready, until the store has answered.
    pub async fn new() -> Self {
        let readiness = Self {
            public: HealthReporter::new(),
            admin: HealthReporter::new(),
            not_ready: Arc::new(Some(Arc::new("the store has not answered yet".to_owned())).into()),
        };
        // The overall status starts as SERVING in tonic-health.
        readiness.set(ServingStatus::NotServing).await;
        // From here to the end of the process, whatever the store does: a restart would not mend that.
        let alive = ServingStatus::Serving;
        readiness.admin.set_service_status(LIVENESS, alive).await;
        readiness
    }

    /// For the health service of the public port.
    pub fn public_reporter(&self) -> HealthReporter {
        self.public.clone()
    }

    /// For the health service of the admin port, which knows of the process's life too.
    pub fn admin_reporter(&self) -> HealthReporter {
        self.admin.clone()
    }

    /// For `/ready`.
    pub fn not_ready(&self) -> NotReady {
        Arc::clone(&self.not_ready)
    }

    /// Follows the store until the drain starts, and ends with NOT_SERVING.
    pub async fn follow<S: Store>(self, store: S, draining: CancellationToken) {
        let mut ready = false;
        let follow = async {
            loop {
                let checked = tokio::time::timeout(CHECK_TIMEOUT, store.check()).await;
                let failure = match checked {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("the store has not answered for {CHECK_TIMEOUT:?}")),
                };
                let changed = failure.is_none() != ready;
                ready = failure.is_none();
                metrics().store.set_ready(ready);
                self.not_ready.store(failure.clone().map(Arc::new));
                if changed {
                    // Before the log says so: who reads there that the service is ready may ask at once.
                    let status = if ready {
                        ServingStatus::Serving
                    } else {
                        ServingStatus::NotServing
                    };
                    self.set(status).await;
                    match &failure {
                        None => tracing::info!("ready"),
                        Some(reason) => tracing::warn!(reason, "not ready"),
                    }
                }
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        };
        tokio::select! {
            () = draining.cancelled() => {}
            () = follow => {}
        }
        let reason = Arc::new("the server is shutting down".to_owned());
        self.not_ready.store(Some(reason));
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in ["", TAG_SERVICE] {
            for reporter in [&self.public, &self.admin] {
                reporter.set_service_status(service, status).await;
            }
        }
    }
}
