//! The server: listeners, TLS, limits, readiness and drain.

mod admin;
mod authority;
mod bytes_read;
mod connection;
mod drain;
mod frames;
mod http_version;
mod lifetime;
mod limits;
mod port;
mod readiness;
mod security;
mod shutdown_ping;
mod signals;
mod slots;
mod streams;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::OptionFuture;
use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::grpc::{self, Budget, Handler, HandlerParts, Origins, Schema, Services, Settings};
pub use crate::reload::LoadError;
use crate::rpc::Gateway;
use crate::service::UseCases;
use crate::store::Store;
use crate::telemetry::LogLevel;
use crate::telemetry::metrics::metrics;
use admin::Admin;
use connection::{Common, Protocol, Tls};
use drain::Drain;
pub use limits::Limits;
use port::Port;
use readiness::Readiness;
use security::Started;
pub use security::{Security, SecurityError, TokenIssuer};
pub use signals::{Signal, SignalError, Signals};
use slots::Evicts;
pub use tls::TlsFiles;

/// How often callers that have long sent nothing are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// The settings of the server.
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
    /// The filter of the log, which the admin port can change.
    pub log_level: LogLevel,
}

/// Why the server could not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address that can't be listened on.
    #[error(
        "cannot listen on {address}: {source}; stop the program that uses it, or give another address"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Settings for who may call that can't be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// A contract, compiled in, that can't be read.
    #[error("the compiled-in contract is broken: {0}")]
    Contract(#[from] prost::DecodeError),
    /// A contract, compiled in, that is not whole.
    #[error("the compiled-in contract is broken: {0}")]
    Schema(#[from] prost_reflect::DescriptorError),
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
    let listeners = Listeners::bind(&config).await?;
    let drain_timeout = config.drain_timeout;
    let Serving {
        drain,
        closing,
        following,
    } = start(config, store, listeners)?;

    let signal = signals.next().await;
    tracing::info!(%signal, in_flight = drain.in_flight.count(), "draining");
    closing.cancel();
    // All end as soon as they see the token; none fails.
    for task in following {
        let _ = task.await;
    }
    drain.connections.close();

    tokio::select! {
        () = drain.finish(drain_timeout) => {
            tracing::info!("drained");
            Ok(Ended::Drained)
        }
        signal = signals.next() => {
            tracing::warn!(%signal, in_flight = drain.in_flight.count(), "a second signal: ending now");
            Ok(Ended::CutShort(signal))
        }
    }
}

/// The listeners of the ports.
struct Listeners {
    public: TcpListener,
    rpc: Option<TcpListener>,
    admin: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, ServeError> {
        let public = bind(config.listen).await?;
        let admin = bind(config.admin_listen).await?;
        let rpc = OptionFuture::from(config.listen_rpc.map(bind)).await;
        Ok(Self {
            public,
            rpc: rpc.transpose()?,
            admin,
        })
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })
}

/// A server that has started, and what ends it.
struct Serving {
    drain: Drain,
    /// Cancelled when no more requests are to be taken.
    closing: CancellationToken,
    /// The tasks that end with `closing`.
    following: Vec<JoinHandle<()>>,
}

/// Starts the tasks of all ports.
fn start<S: Store>(config: Config, store: S, listeners: Listeners) -> Result<Serving, ServeError> {
    let closing = CancellationToken::new();
    let readiness = Readiness::new();
    let Started {
        tls,
        authenticator,
        authority,
        access_keys,
        needs,
    } = config.security.start()?;
    let drain = Drain::new(needs.audit.clone());
    let follow = readiness
        .clone()
        .follow(store.clone(), needs, closing.clone());
    let mut following = vec![tokio::spawn(follow)];
    let Config {
        limits, settings, ..
    } = config;
    let admission = limits.admission();
    tokio::spawn(admission.clone().forget(FORGET_INTERVAL));

    let admin = Protocol::Admin(Admin {
        readiness: readiness.state(),
        log_level: config.log_level,
        audit: drain.audit.clone(),
    });
    let handlers = Handlers::new(&settings, &limits, &drain)?;
    let health = grpc::admin_services(readiness.admin_health());
    let admin_handler = handlers.of(health, Authenticator::open(), Origins::default());
    let admin = admin_port(
        listeners.admin,
        admin_handler,
        admin,
        limits.of_admin_port(),
    );
    let cases = UseCases::new(store, authority, drain.audit.clone());
    let services = grpc::public_services(cases, &settings, admission, readiness.public_health())?;
    let ports = PublicPorts {
        handler: handlers.of(services, authenticator, settings.origins.clone()),
        budget: public_budget(&limits),
        tls,
        limits,
        connections: drain.connections.clone(),
        closing: closing.clone(),
    };
    let public = ports.port("tags", listeners.public, Protocol::Grpc);
    following.push(tokio::spawn(public.serve()));
    if let Some((listener, keys)) = listeners.rpc.zip(access_keys) {
        let gateway = Gateway::new(ports.handler.clone(), keys, settings.max_message_bytes);
        let rpc = ports.port("rpc", listener, Protocol::Rpc(gateway));
        following.push(tokio::spawn(rpc.serve()));
    }
    tokio::spawn(admin.serve());
    Ok(Serving {
        drain,
        closing,
        following,
    })
}

/// The parts that the handlers of all ports share.
struct Handlers<'a> {
    settings: &'a Settings,
    schema: Schema,
    max_header_bytes: usize,
    drain: &'a Drain,
}

impl<'a> Handlers<'a> {
    fn new(settings: &'a Settings, limits: &Limits, drain: &'a Drain) -> Result<Self, ServeError> {
        Ok(Self {
            settings,
            schema: grpc::schema()?,
            max_header_bytes: limits.header_list_bytes(),
            drain,
        })
    }

    /// The handler for these services, whose callers this authenticator lets in, pages of these origins among them.
    fn of(&self, services: Services, authenticator: Authenticator, origins: Origins) -> Handler {
        Handler::new(HandlerParts {
            services,
            authenticator,
            schema: self.schema.clone(),
            origins,
            request_timeout: self.settings.request_timeout,
            max_message_bytes: self.settings.max_message_bytes,
            max_header_bytes: self.max_header_bytes,
            audit: self.drain.audit.clone(),
            in_flight: self.drain.in_flight.clone(),
            cut_off: self.drain.cut_off.clone(),
        })
    }
}

/// The budget of memory of the public ports, which the metrics tell of.
fn public_budget(limits: &Limits) -> Arc<Budget> {
    let budget = limits.budget();
    let held = Arc::clone(&budget);
    metrics().server.held_bytes.of(move || held.held());
    budget
}

/// The parts that the public ports share.
struct PublicPorts {
    handler: Handler,
    budget: Arc<Budget>,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
    limits: Limits,
    connections: TaskTracker,
    closing: CancellationToken,
}

impl PublicPorts {
    /// A port of this name, which serves this protocol.
    fn port(&self, name: &'static str, listener: TcpListener, protocol: Protocol) -> Port {
        let tls = self.tls.clone();
        Port {
            name,
            evicts: Evicts::IdleStrangers,
            listener,
            connections: self.connections.clone(),
            common: Common {
                handler: self.handler.clone(),
                budget: Arc::clone(&self.budget),
                tls: tls.map(|config| Tls::new(config, self.limits.handshakes, &protocol)),
                protocol,
                limits: self.limits.clone(),
                closing: self.closing.clone(),
            },
        }
    }
}

/// The port of probes and operators.
fn admin_port(listener: TcpListener, handler: Handler, protocol: Protocol, limits: Limits) -> Port {
    Port {
        name: "admin",
        // A probe that finds no slot would have the process ended.
        evicts: Evicts::Anybody,
        listener,
        connections: TaskTracker::new(),
        common: Common {
            handler,
            protocol,
            budget: limits.budget(),
            limits,
            tls: None,
            // It outlives the drain, so that probes see NOT_SERVING until the end.
            closing: CancellationToken::new(),
        },
    }
}
