//! `untag serve`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;

use super::args::ServeArguments;
use super::store::Choice;
use super::{fail, json_lines};
use crate::domain::Resource;
use crate::grpc::Settings;
use crate::server::{self, Config, Ended};
use crate::store::Store;
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{self, SqliteStore};
use crate::telemetry;

/// Three users of one account.
const SAMPLE_DATA: &str = include_str!("sample-data.jsonl");

pub fn run(arguments: ServeArguments) -> ExitCode {
    if let Err(error) = check_exposure(arguments.listen, arguments.allow_anonymous) {
        return fail(error);
    }
    let _logs = match telemetry::start_logging(arguments.log_format, &arguments.log_level) {
        Ok(logs) => logs,
        Err(error) => return fail(error),
    };
    let sample = match sample(arguments.sample_data) {
        Ok(sample) => sample,
        Err(error) => return fail(error),
    };
    let sample_account = sample.first().map(|resource| resource.account.clone());
    let config = Config {
        listen: arguments.listen,
        admin_listen: arguments.admin_listen,
        drain_timeout: arguments.drain_timeout,
        settings: Settings {
            default_account: arguments.default_account.or(sample_account),
            request_timeout: arguments.request_timeout,
        },
    };
    let choice = match arguments.store.choose() {
        Ok(choice) => choice,
        Err(error) => return fail(error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("cannot start the runtime: {error}")),
    };
    let queue = usize::try_from(arguments.queue_depth).unwrap_or(usize::MAX);
    let batch = usize::try_from(arguments.commit_batch).unwrap_or(usize::MAX);
    let ended = runtime.block_on(async {
        match choice {
            Choice::Sqlite(directory) => {
                let options = sqlite::Options {
                    queue,
                    batch,
                    ..sqlite::Options::default()
                };
                let store = SqliteStore::open(&directory, options, sample);
                serve(config, store.map_err(|error| error.to_string())?).await
            }
            Choice::Postgres(connection) => {
                if !sample.is_empty() {
                    let sample = sample.into_iter().map(Ok::<_, Infallible>);
                    let imported = postgres::import(&connection, sample).await;
                    imported.map_err(|error| error.to_string())?;
                }
                let connections = usize::from(arguments.store_connections);
                let options = postgres::Options { queue, connections };
                let store = PostgresStore::open(&connection, options).await;
                serve(config, store.map_err(|error| error.to_string())?).await
            }
        }
    });
    // Connections of clients that hang are not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::CutShort(signal)) => ExitCode::from(signal.exit_code()),
        Err(error) => fail(error),
    }
}

async fn serve<S: Store>(config: Config, store: S) -> Result<Ended, String> {
    server::serve(config, store)
        .await
        .map_err(|error| error.to_string())
}

/// Refuses to serve strangers by accident.
fn check_exposure(listen: SocketAddr, allow_anonymous: bool) -> Result<(), String> {
    if listen.ip().is_loopback() || allow_anonymous {
        return Ok(());
    }
    Err(format!(
        "refusing to listen on {listen}, where whoever can connect could change tags; listen on 127.0.0.1, or give \
         --allow-anonymous if the network around the service keeps strangers out"
    ))
}

fn sample(wanted: bool) -> Result<Vec<Resource>, json_lines::LineError> {
    if wanted {
        json_lines::read(SAMPLE_DATA.as_bytes()).collect()
    } else {
        Ok(Vec::new())
    }
}
