//! Whether the service can do its work, as gRPC health and `/ready` tell it.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::admin::NotReady;
use crate::grpc::health_proto::health_check_response::ServingStatus;
use crate::grpc::{Health, LIVENESS, TAG_SERVICE};
use crate::store::Store;
use crate::telemetry::metrics::metrics;

/// How often the store is asked, and how long it may take to answer: together the longest that health is behind.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The state behind the health service.
#[derive(Debug, Clone)]
pub struct Readiness {
    public: Health,
    admin: Health,
    not_ready: NotReady,
}

impl Readiness {
    /// Not ready, until the store has answered.
    pub fn new() -> Self {
        let admin = Health::of(&["", TAG_SERVICE, LIVENESS]);
        // From here to the end of the process, whatever the store does: a restart would not mend that.
        admin.set(LIVENESS, ServingStatus::Serving);
        Self {
            public: Health::of(&["", TAG_SERVICE]),
            admin,
            not_ready: Arc::new(Some(Arc::new("the store has not answered yet".to_owned())).into()),
        }
    }

    /// The health service of the public port.
    pub fn public_health(&self) -> Health {
        self.public.clone()
    }

    /// The health service of the admin port, which knows of the process's life too.
    pub fn admin_health(&self) -> Health {
        self.admin.clone()
    }

    /// For `/ready`.
    pub fn not_ready(&self) -> NotReady {
        Arc::clone(&self.not_ready)
    }

    /// Follows the store until the drain starts, and ends with NOT_SERVING.
    pub async fn follow<S: Store>(self, store: S, draining: CancellationToken) {
        let follow = async {
            loop {
                let checked = tokio::time::timeout(CHECK_TIMEOUT, store.check()).await;
                // What only the log may know.
                let mut cause = None;
                let failure = match checked {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => {
                        cause = error.source().map(ToString::to_string);
                        Some(error.to_string())
                    }
                    Err(_) => Some(format!("the store has not answered for {CHECK_TIMEOUT:?}")),
                };
                let ready = failure.is_none();
                metrics().store.set_ready(ready);
                let failure = failure.map(Arc::new);
                let before = self.not_ready.swap(failure.clone());
                if before != failure {
                    // Before the log says so: who reads there that the service is ready may ask at once.
                    let status = if ready {
                        ServingStatus::Serving
                    } else {
                        ServingStatus::NotServing
                    };
                    self.set(status);
                    match failure.as_deref() {
                        None => tracing::info!("ready"),
                        Some(reason) => tracing::warn!(reason, cause, "not ready"),
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
        self.set(ServingStatus::NotServing);
    }

    fn set(&self, status: ServingStatus) {
        for service in ["", TAG_SERVICE] {
            self.public.set(service, status);
            self.admin.set(service, status);
        }
    }
}
