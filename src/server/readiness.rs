//! Whether the service can do its work, as gRPC health and `/ready` tell it.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::auth::token::KeysPresence;
use crate::grpc::health_proto::health_check_response::ServingStatus;
use crate::grpc::{CHANGE_SERVICE, Health, LIVENESS, TAG_SERVICE, USER_SERVICE};
use crate::service::Audit;
use crate::store::Store;
use crate::telemetry::metrics::metrics;

/// How often the store is asked. With the time that an answer may take it is the longest that health is behind.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the store may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the service can do its work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The service can do its work. The text is what is wrong all the same and an operator should know.
    Ready(Option<String>),
    /// The service can't do its work. The text says why.
    NotReady(String),
}

/// The needs of the service beside the store.
#[derive(Debug, Clone)]
pub struct Needs {
    /// The keys of tokens, where they come from a URL.
    pub keys: Option<KeysPresence>,
    pub audit: Audit,
}

/// The state behind the health service.
#[derive(Debug, Clone)]
pub struct Readiness {
    public: Health,
    admin: Health,
    state: Arc<ArcSwap<State>>,
}

impl State {
    /// The state in words for people.
    pub fn words(&self) -> String {
        match self {
            Self::Ready(None) => "ready".to_owned(),
            Self::Ready(Some(warning)) => format!("ready, but {warning}"),
            Self::NotReady(reason) => reason.clone(),
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

/// The names of what serves requests, as health knows them: the server as a whole, and the services of the contract.
const NAMES: [&str; 4] = ["", TAG_SERVICE, CHANGE_SERVICE, USER_SERVICE];

impl Needs {
    /// Why requests would be refused; nothing when they would not.
    fn obstacle(&self) -> Option<String> {
        let missing = self.keys.as_ref().and_then(KeysPresence::missing);
        missing.or_else(|| self.audit.obstacle())
    }
}

impl Readiness {
    /// The state of a service whose store has not answered yet: not ready.
    pub fn new() -> Self {
        let admin = Health::of(&[NAMES.as_slice(), &[LIVENESS]].concat());
        // From here to the end of the process, whatever the store does: a restart would not mend that.
        admin.set(LIVENESS, ServingStatus::Serving);
        let reason = "the store has not answered yet".to_owned();
        Self {
            public: Health::of(&NAMES),
            admin,
            state: Arc::new(ArcSwap::from_pointee(State::NotReady(reason))),
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

    /// The state that `/ready` tells.
    pub fn state(&self) -> Arc<ArcSwap<State>> {
        Arc::clone(&self.state)
    }

    /// Follows the store and the other needs until the drain starts, and ends with NOT_SERVING.
    pub async fn follow<S: Store>(self, store: S, needs: Needs, draining: CancellationToken) {
        let follow = async {
            loop {
                let (state, cause) = check(&store, &needs).await;
                self.change_to(state, cause.as_deref());
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
        };
        tokio::select! {
            () = draining.cancelled() => {}
            () = follow => {}
        }
        let reason = "the server is shutting down".to_owned();
        self.state.store(Arc::new(State::NotReady(reason)));
        self.set(ServingStatus::NotServing);
        tell_supervisor(&[NotifyState::Stopping]);
    }

    fn change_to(&self, state: State, cause: Option<&str>) {
        let state = Arc::new(state);
        let old = self.state.swap(Arc::clone(&state));
        if old == state {
            return;
        }
        let words = state.words();
        if old.is_ready() != state.is_ready() {
            // Before the log says so: who reads there that the service is ready may ask at once.
            let status = if state.is_ready() {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            self.set(status);
        }
        let status = NotifyState::Status(&words);
        match &*state {
            State::Ready(warning) => {
                tell_supervisor(&[NotifyState::Ready, status]);
                match warning {
                    None => tracing::info!("ready"),
                    Some(warning) => tracing::warn!(warning, "ready"),
                }
            }
            State::NotReady(reason) => {
                tell_supervisor(&[status]);
                tracing::warn!(reason, cause, "not ready");
            }
        }
    }

    fn set(&self, status: ServingStatus) {
        for service in NAMES {
            self.public.set(service, status);
            self.admin.set(service, status);
        }
    }
}

/// The state at this moment, and a cause of it that only the log may know.
async fn check<S: Store>(store: &S, needs: &Needs) -> (State, Option<String>) {
    let mut cause = None;
    let failure = match tokio::time::timeout(CHECK_TIMEOUT, store.check()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            cause = error.source().map(ToString::to_string);
            Some(error.to_string())
        }
        Err(_) => Some(format!("the store has not answered for {CHECK_TIMEOUT:?}")),
    };
    metrics().store.set_ready(failure.is_none());
    let state = match failure.or_else(|| needs.obstacle()) {
        Some(reason) => State::NotReady(reason),
        None => State::Ready(needs.audit.warning()),
    };
    (state, cause)
}

/// Tells systemd, where that has started the service and wants to be told (`Type=notify`).
fn tell_supervisor(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}
