//! Whether the service can do its work, as gRPC health tells it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::grpc::TAG_SERVICE;
use crate::store::Store;

/// How often the store is asked, and how long it may take to answer: together the longest that health is behind.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The state behind the health service.
#[derive(Debug, Clone)]
pub struct Readiness {
    reporter: HealthReporter,
}

impl Readiness {
    /// Not ready, until the store has answered.
    pub fn new() -> Self {
        Self {
            reporter: HealthReporter::new(),
        }
    }

    /// For the health services.
    pub fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }

    /// Follows the store until the drain starts, and ends with NOT_SERVING.
    pub async fn follow<S: Store>(self, store: S, draining: CancellationToken) {
        // The overall status starts as SERVING in tonic-health.
        self.set(ServingStatus::NotServing).await;
        let mut ready = false;
        let follow = async {
            loop {
                let checked = tokio::time::timeout(CHECK_TIMEOUT, store.check()).await;
                let failure = match checked {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some(format!("the store has not answered for {CHECK_TIMEOUT:?}")),
                };
                if failure.is_none() != ready {
                    ready = failure.is_none();
                    match &failure {
                        None => tracing::info!("ready"),
                        Some(reason) => tracing::warn!(reason, "not ready"),
                    }
                    let status = if ready {
                        ServingStatus::Serving
                    } else {
                        ServingStatus::NotServing
                    };
                    self.set(status).await;
                }
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        };
        tokio::select! {
            () = draining.cancelled() => {}
            () = follow => {}
        }
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in ["", TAG_SERVICE] {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
