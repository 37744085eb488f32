//! Listeners, TLS, limits, readiness and drain.

mod admin;
mod authority;
mod connection;
mod frames;
mod lifetime;
mod limits;
mod port;
mod readiness;
mod security;
mod shutdown_ping;
mod signals;
mod slots;
mod spoken;
mod streams;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::grpc::{self, Handler, HandlerParts, InFlight, Settings};
pub use crate::reload::LoadError;
use crate::rpc::Gateway;
use crate::service::{Audit, TagService};
use crate::store::Store;
use crate::telemetry::LogLevel;
use crate::telemetry::metrics::metrics;
use admin::Admin;
use connection::{Common, Speech, Tls};
pub use limits::Limits;
use port::Port;
use readiness::Readiness;
use security::Started;
pub use security::{Security, SecurityError, TokenIssuer};
pub use signals::{Signal, SignalError, Signals};
use slots::Evicts;
pub use tls::TlsFiles;

/// How long connections get to send their last answers and close after the last request is done.
const LINGER: Duration = Duration::from_millis(500);

/// How often callers that have long sent nothing are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// Where and how to serve.
#[derive(Debug)]
pub struct Config {
    /// The address of the tag service.
    pub listen: SocketAddr,
    /// The address of the cloud's RPC style, where it is wanted.
    pub listen_rpc: Option<SocketAddr>,
    /// The address of probes, metrics and the log level.
    pub admin_listen: SocketAddr,
    /// How long requests in flight get to finish after SIGTERM or SIGINT.
    pub drain_timeout: Duration,
    /// How requests are treated.
    pub settings: Settings,
    /// Who may call.
    pub security: Security,
    /// What callers may take up.
    pub limits: Limits,
    /// What is logged, which the admin port can change.
    pub log_level: LogLevel,
}

/// Why the server could not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address that can't be had.
    #[error(
        "cannot listen on {address}: {source}; stop the program that uses it, or give another address"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// What says who may call can't be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The contract that is compiled in.
    #[error("the compiled-in contract is broken: {0}")]
    Contract(#[from] prost::DecodeError),
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A signal asked for it, and the drain is over.
    Drained,
    /// A second signal cut the drain short, or the only one came before there was anything to drain.
    CutShort(Signal),
}

/// Serves until a signal, then drains.
///
/// # Errors
/// [`ServeError`] when it can't start.
pub async fn serve<S: Store>(
    config: Config,
    store: S,
    mut signals: Signals,
) -> Result<Ended, ServeError> {
    let public = bind(config.listen).await?;
    let admin = bind(config.admin_listen).await?;
    let rpc = OptionFuture::from(config.listen_rpc.map(bind)).await;
    let rpc = rpc.transpose()?;

    let draining = CancellationToken::new();
    let cut_off = CancellationToken::new();
    let in_flight = InFlight::default();
    let counted = in_flight.clone();
    metrics().server.in_flight.of(move || counted.count());
    let readiness = Readiness::new();
    let Started {
        tls,
        authenticator,
        authority,
        access_keys,
        needs,
    } = config.security.start()?;
    let audit = needs.audit.clone();
    let following = readiness.clone();
    let monitor = tokio::spawn(following.follow(store.clone(), needs, draining.clone()));
    let limits = config.limits;
    let admission = limits.admission();
    tokio::spawn(admission.clone().forget(FORGET_INTERVAL));

    let settings = &config.settings;
    let handler = |services, authenticator| {
        Handler::new(HandlerParts {
            services,
            authenticator,
            request_timeout: settings.request_timeout,
            max_message_bytes: settings.max_message_bytes,
            audit: audit.clone(),
            max_header_bytes: limits.header_list_bytes(),
            in_flight: in_flight.clone(),
            cut_off: cut_off.clone(),
        })
    };
    let service = TagService::new(store, authority, audit.clone());
    let public_services =
        grpc::public_services(service, settings, admission, readiness.public_health())?;
    let connections = TaskTracker::new();
    let health = grpc::admin_services(readiness.admin_health());
    let speech = Speech::Admin(Admin {
        readiness: readiness.state(),
        log_level: config.log_level,
        audit: audit.clone(),
    });
    let admin_handler = handler(health, Authenticator::open());
    let admin = admin_port(admin, admin_handler, speech, limits.of_admin_port());
    let budget = limits.budget();
    let held = Arc::clone(&budget);
    metrics().server.held_bytes.of(move || held.held());
    let public_handler = handler(public_services, authenticator);
    let public_port = |name, listener, speech| Port {
        name,
        evicts: Evicts::IdleStrangers,
        listener,
        connections: connections.clone(),
        common: Common {
            handler: public_handler.clone(),
            budget: Arc::clone(&budget),
            tls: tls
                .clone()
                .map(|config| Tls::new(config, limits.handshakes, &speech)),
            speech,
            limits: limits.clone(),
            closing: draining.clone(),
        },
    };
    let rpc = rpc.zip(access_keys).map(|(listener, keys)| {
        let gateway = Gateway::new(public_handler.clone(), keys, settings.max_message_bytes);
        public_port("rpc", listener, Speech::Rpc(gateway))
    });
    let public = tokio::spawn(public_port("tags", public, Speech::Grpc).serve());
    let rpc = tokio::spawn(OptionFuture::from(rpc.map(Port::serve)));
    tokio::spawn(admin.serve());

    let signal = signals.next().await;
    tracing::info!(%signal, in_flight = in_flight.count(), "draining");
    draining.cancel();
    // All end as soon as they see the token; none fails.
    let _ = tokio::join!(monitor, public, rpc);
    connections.close();

    tokio::select! {
        () = finish(&in_flight, &connections, config.drain_timeout, &cut_off, &audit) => {
            tracing::info!("drained");
            Ok(Ended::Drained)
        }
        signal = signals.next() => {
            tracing::warn!(%signal, in_flight = in_flight.count(), "a second signal: ending now");
            Ok(Ended::CutShort(signal))
        }
    }
}

/// The port of probes and operators.
fn admin_port(listener: TcpListener, handler: Handler, speech: Speech, limits: Limits) -> Port {
    Port {
        name: "admin",
        // A probe that finds no slot would have the process ended.
        evicts: Evicts::Anybody,
        listener,
        connections: TaskTracker::new(),
        common: Common {
            handler,
            speech,
            budget: limits.budget(),
            limits,
            tls: None,
            // It outlives the drain, so that probes see NOT_SERVING until the end.
            closing: CancellationToken::new(),
        },
    }
}

/// Lets requests finish for so long, and cuts off what is left.
async fn finish(
    in_flight: &InFlight,
    connections: &TaskTracker,
    drain_timeout: Duration,
    cut_off: &CancellationToken,
    audit: &Audit,
) {
    let in_time = async {
        drained(in_flight, connections).await;
        audit.settled().await;
    };
    if tokio::time::timeout(drain_timeout, in_time).await.is_ok() {
        return;
    }
    tracing::warn!(
        in_flight = in_flight.count(),
        "the drain has timed out; cutting off what is left"
    );
    cut_off.cancel();
    let _ = tokio::time::timeout(LINGER, connections.wait()).await;
}

/// Waits until no request is left. A connection that stays open without one, because its client hangs or watches
/// health, is waited for no longer than it takes to send the last answers.
async fn drained(in_flight: &InFlight, connections: &TaskTracker) {
    loop {
        in_flight.none().await;
        if tokio::time::timeout(LINGER, connections.wait())
            .await
            .is_ok()
        {
            return;
        }
        // Requests that were on their way when the client was told to stop count too.
        if in_flight.count() == 0 {
            return;
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })
}
