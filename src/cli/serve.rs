//! The subcommand `untag serve`.

use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::args::ServeArguments;
use super::limits::count;
use super::security::SecurityArguments;
use super::store::Choice;
use super::{fail, json_lines, memory};
use crate::auth::Demand;
use crate::domain::{AccountId, Resource};
use crate::grpc::Settings;
use crate::server::{self, Config, Ended, Security, Signals};
use crate::service::{Audit, Follower};
use crate::store::ims::{self, ImsStore};
use crate::store::postgres::{self, ConnectionString, PostgresStore};
use crate::store::sqlite::{self, Closing, OpenError, SqliteStore};
use crate::store::{AuditUse, BulkLine, BulkSettings, CommittedChanges, Retention, Store};
#[cfg(feature = "otlp")]
use crate::telemetry::Traces;
use crate::telemetry::{self, LineFile, LineSource, LineWriter};

/// How long the last lines of the audit may take to be written at the end.
const AUDIT_PATIENCE: Duration = Duration::from_secs(5);
/// How long the embedded store may take meanwhile to do what was queued, and to checkpoint its write-ahead log.
const STORE_PATIENCE: Duration = AUDIT_PATIENCE;

/// The users of `--sample-data`: three of one account.
const SAMPLE_DATA: &str = include_str!("sample-data.jsonl");

/// Serves until a signal ends the service. The warnings are about the settings, and go to the log.
pub fn run(arguments: ServeArguments, warnings: &[String]) -> ExitCode {
    run_until_signal(arguments, warnings).unwrap_or_else(fail)
}

fn run_until_signal(
    arguments: ServeArguments,
    warnings: &[String],
) -> Result<ExitCode, Box<dyn Error>> {
    let demand = demand(&arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    #[cfg(feature = "otlp")]
    let traces = traces(arguments.otlp_endpoint.as_ref(), &runtime)?;
    #[cfg(feature = "otlp")]
    let beside = traces.as_ref().map(Traces::layer);
    #[cfg(not(feature = "otlp"))]
    let beside = None;
    let logs = telemetry::start_logging(arguments.log_format, &arguments.log_level, beside);
    let (log_level, _logs) = logs?;
    warn(&arguments, warnings);
    let sample = sample(arguments.sample_data)?;
    let sample_account = sample.first().map(|resource| resource.account.clone());
    let default_account = arguments.default_account.clone().or(sample_account);
    let store = StoreChoice::of(&arguments, default_account.as_ref())?;
    if arguments.check {
        // How often somebody may fail counts while it serves.
        let security = arguments
            .security
            .security(demand, Audit::default(), None)?;
        return check(security, store);
    }
    // Each connection takes a file descriptor, and the usual limit of 1,024 is meant for programs that use select().
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let (audit, audit_writer) = audit(&arguments.security, &store)?;
    let failure_rate = arguments.limits.failure_rate();
    let config = Config {
        listen: arguments.listen,
        listen_rpc: arguments.listen_rpc,
        admin_listen: arguments.admin_listen,
        drain_timeout: arguments.drain_timeout,
        settings: Settings {
            default_account,
            request_timeout: arguments.request_timeout,
            max_message_bytes: arguments.limits.max_message_bytes(),
            reflection: !arguments.security.no_reflection,
            origins: arguments.security.origins(),
        },
        security: arguments.security.security(demand, audit, failure_rate)?,
        limits: arguments.limits.limits(),
        log_level,
    };
    let ends = Arc::new(Ends::default());
    let ended = runtime.block_on(store.serve(sample, config, Arc::clone(&ends)));
    #[cfg(feature = "otlp")]
    if let Some(traces) = traces {
        traces.finish();
    }
    finish(runtime, audit_writer, &ends, &ended);
    match ended? {
        Ended::Drained => Ok(ExitCode::SUCCESS),
        Ended::CutShort(signal) => Ok(ExitCode::from(signal.exit_code())),
    }
}

/// Logs what is doubtful in the settings.
fn warn(arguments: &ServeArguments, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if arguments.security.has_tokens_without_tls() && !arguments.listen.ip().is_loopback() {
        tracing::warn!(
            "tokens cross the network in plain text: give --tls-cert and --tls-key, or put TLS in front"
        );
    }
}

/// What is waited for at the end of a service.
#[derive(Default)]
struct Ends {
    /// The thread that writes the lines of changes.
    follower: Mutex<Option<Follower>>,
    /// The end of the embedded store.
    store: OnceLock<Closing>,
}

impl Ends {
    /// Begins to write the lines of these changes.
    fn follow(&self, audit: &Audit, changes: Option<impl CommittedChanges>) -> Result<(), String> {
        if let Some(changes) = changes {
            let follower = audit.follow(changes).map_err(|error| error.to_string())?;
            *self.follower.lock().unwrap_or_else(PoisonError::into_inner) = follower;
        }
        Ok(())
    }
}

/// Waits, for bounded times, until the audit is written and the embedded store is closed.
fn finish(runtime: Runtime, audit: Option<LineWriter>, ends: &Ends, ended: &Result<Ended, String>) {
    let ending = Instant::now();
    // Connections of clients that hang are not waited for.
    runtime.shutdown_background();
    let follower = ends
        .follower
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(follower) = follower {
        follower.finish(AUDIT_PATIENCE);
    }
    if let Some(writer) = audit {
        writer.finish(AUDIT_PATIENCE.saturating_sub(ending.elapsed()));
    }
    // After a second signal nothing is waited for.
    if let (Some(closing), false) = (ends.store.get(), matches!(ended, Ok(Ended::CutShort(_)))) {
        wait_for(closing, STORE_PATIENCE.saturating_sub(ending.elapsed()));
    }
}

/// Waits until the embedded store is closed, and says so where that takes too long.
fn wait_for(closing: &Closing, patience: Duration) {
    if !closing.wait(patience) {
        tracing::warn!(
            "the database is not whole without its write-ahead log: there was no time to checkpoint it"
        );
    }
}

/// Reads every file that the settings name, as the start of the service does.
fn check(security: Security, store: StoreChoice) -> Result<ExitCode, Box<dyn Error>> {
    // What follows a file or asks a server is a task, and nothing runs on this runtime.
    let idle = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _entered = idle.enter();
    security.start()?;
    store.check()?;
    println!("the settings are good");
    Ok(ExitCode::SUCCESS)
}

/// Whether changes have lines in an audit.
fn audit_use(security: &SecurityArguments, directory: Option<&Path>) -> Result<AuditUse, String> {
    Ok(match security.audit_file(directory)? {
        Some(_) => AuditUse::Kept,
        None => AuditUse::None,
    })
}

/// How much memory the index of the embedded store may take where nothing is given, in bytes.
fn index_memory() -> usize {
    usize::try_from(memory::available(Path::new("/")) / 4).unwrap_or(usize::MAX)
}

/// The store that keeps the tags, with its options.
enum StoreChoice {
    Sqlite(PathBuf, sqlite::Options),
    Postgres(Box<ConnectionString>, postgres::Options),
    Ims(Box<ims::Options>),
}

impl StoreChoice {
    fn of(arguments: &ServeArguments, account: Option<&AccountId>) -> Result<Self, String> {
        let queue = count(arguments.queue_depth);
        let connections = usize::from(arguments.store_connections);
        if arguments.store.is_ims() {
            if arguments.sample_data {
                return Err(
                    "--sample-data is not for --store ims, whose users are the cloud's".to_owned(),
                );
            }
            let interval = arguments.security.reload_interval;
            let options = arguments.ims.options(account, interval, queue, connections);
            return options.map(Box::new).map(Self::Ims);
        }
        let retention = Retention {
            age: Duration::from_secs(arguments.history_retention),
            bytes: arguments.history_max_bytes,
        };
        Ok(match arguments.store.choose()? {
            Choice::Sqlite(directory) => {
                let options = sqlite::Options {
                    queue,
                    batch: count(arguments.commit_batch),
                    index_bytes: arguments.index_memory.unwrap_or_else(index_memory),
                    retention,
                    audit: audit_use(&arguments.security, Some(&directory))?,
                    ..sqlite::Options::default()
                };
                Self::Sqlite(directory, options)
            }
            Choice::Postgres(connection) => {
                let options = postgres::Options {
                    queue,
                    connections,
                    reload_interval: arguments.security.reload_interval,
                    retention,
                    audit: audit_use(&arguments.security, None)?,
                };
                Self::Postgres(connection, options)
            }
        })
    }

    /// The directory of the embedded store.
    fn data_dir(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(directory, _) => Some(directory),
            Self::Postgres(..) | Self::Ims(_) => None,
        }
    }

    /// Where the lines of changes in the audit come from.
    fn line_source(&self) -> LineSource {
        match self {
            Self::Sqlite(..) | Self::Postgres(..) => LineSource::ChangeLog,
            Self::Ims(_) => LineSource::Requests,
        }
    }

    /// Reads the files that the store needs.
    fn check(self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Sqlite(..) => Ok(()),
            Self::Postgres(connection, _) => Ok(PostgresStore::check(&connection)?),
            Self::Ims(options) => Ok(ImsStore::open(*options).map(drop)?),
        }
    }

    /// Opens the store and serves it. `ends` gets what is waited for afterwards.
    async fn serve(
        self,
        sample: Vec<Resource>,
        config: Config,
        ends: Arc<Ends>,
    ) -> Result<Ended, String> {
        let text = |error: &dyn Error| error.to_string();
        match self {
            Self::Sqlite(directory, options) => {
                let audit = config.security.audit.clone();
                let open = move || {
                    let store = SqliteStore::open(&directory, options, sample);
                    let store = store.map_err(|error| text(&error))?;
                    ends.store.get_or_init(|| store.closing());
                    ends.follow(&audit, store.unaudited_changes())?;
                    Ok(store)
                };
                // A log that is long after a crash takes its time.
                let opening = async {
                    let opened = tokio::task::spawn_blocking(open).await;
                    opened.map_err(|error| text(&error))?
                };
                serve(config, opening).await
            }
            Self::Postgres(connection, options) => {
                let audit = config.security.audit.clone();
                let opening = async {
                    if !sample.is_empty() {
                        let sample = sample.into_iter().zip(1..);
                        let sample = sample
                            .map(|(user, number)| Ok::<_, Infallible>(BulkLine { number, user }));
                        let replaced = BulkSettings::REPLACE;
                        let imported = postgres::import(&connection, replaced, sample).await;
                        imported.map_err(|error| text(&error))?;
                    }
                    let store = PostgresStore::open(&connection, options).await;
                    let store = store.map_err(|error| text(&error))?;
                    let changes = store.unaudited_changes(&connection, options.reload_interval);
                    ends.follow(&audit, changes.map_err(|error| text(&error))?)?;
                    Ok(store)
                };
                serve(config, opening).await
            }
            Self::Ims(options) => {
                let opening = async { ImsStore::open(*options).map_err(|error| text(&error)) };
                serve(config, opening).await
            }
        }
    }
}

#[cfg(feature = "otlp")]
fn traces(endpoint: Option<&http::Uri>, runtime: &Runtime) -> Result<Option<Traces>, String> {
    let Some(endpoint) = endpoint else {
        return Ok(None);
    };
    // The exporter's connection lives on the runtime.
    let _entered = runtime.enter();
    match Traces::start(endpoint) {
        Ok(traces) => Ok(Some(traces)),
        Err(error) => Err(format!("cannot send traces to {endpoint}: {error}")),
    }
}

/// Opens a store and serves it. Signals count from the beginning: a container's first process is not ended by one that it
/// does not listen to.
async fn serve<S: Store>(
    config: Config,
    opening: impl Future<Output = Result<S, String>>,
) -> Result<Ended, String> {
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    let store = tokio::select! {
        opened = opening => opened?,
        signal = signals.next() => {
            tracing::info!(%signal, "ending before the store is open");
            return Ok(Ended::CutShort(signal));
        }
    };
    server::serve(config, store, signals)
        .await
        .map_err(|error| error.to_string())
}

/// The proof of identity that is demanded of callers.
///
/// # Errors
/// When strangers would be served by accident.
fn demand(arguments: &ServeArguments) -> Result<Demand, String> {
    let demand = arguments.security.demand()?;
    let listen = arguments.listen;
    if demand != Demand::Nothing || listen.ip().is_loopback() || arguments.security.allow_anonymous
    {
        return Ok(demand);
    }
    Err(format!(
        "refusing to listen on {listen}, where whoever can connect could change tags; demand a certificate (--client-ca) \
         or a token (--jwks), listen on 127.0.0.1, or give --allow-anonymous if the network around the service keeps \
         strangers out"
    ))
}

/// Opens the audit, in a data directory that is made where it is missing.
fn audit(
    arguments: &SecurityArguments,
    store: &StoreChoice,
) -> Result<(Audit, Option<LineWriter>), String> {
    let Some(file) = arguments.audit_file(store.data_dir())? else {
        return Ok((Audit::default(), None));
    };
    let (on_failure, source) = (arguments.on_audit_failure(), store.line_source());
    let is_rotated = matches!(file, LineFile::Rotated(_));
    let directory = store.data_dir().filter(|_| is_rotated);
    let failed = |source| match directory.map(Path::to_path_buf) {
        Some(path) => OpenError::Directory { path, source }.to_string(),
        None => format!("cannot write the audit log {file}: {source}"),
    };
    if let Some(directory) = directory {
        sqlite::create_directory(directory).map_err(failed)?;
    }
    let (sender, writer) = telemetry::write_lines(&file, on_failure, source).map_err(failed)?;
    Ok((Audit::to(sender, on_failure, source), Some(writer)))
}

fn sample(wanted: bool) -> Result<Vec<Resource>, json_lines::LineError> {
    if wanted {
        let lines = json_lines::read(SAMPLE_DATA.as_bytes());
        lines.map(|line| line.map(|line| line.user)).collect()
    } else {
        Ok(Vec::new())
    }
}
