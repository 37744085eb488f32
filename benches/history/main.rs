//! How long it takes to find changes in a long history, on the embedded store and on PostgreSQL.
//!
//! `cargo bench --bench history -- --entries 10000000`. An entry is found by its RequestId, and the last 100 of a user whose
//! changes are spread over all of the history. The stores are asked directly, one query after the other.

#[path = "../../tests/support/postgres.rs"]
mod cluster;
#[path = "../direct/mod.rs"]
mod direct;
mod embedded;
mod postgres;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use untag::domain::{ChangeKey, ChangesQuery, Direction, RequestId, Revision};
use untag::store::{Retention, Store};

use direct::{Outcome, account, id, resource_id};

/// One change in so many is of a busy user, of whom there are so many.
const BUSY_ONE_OF: u64 = 1000;
const BUSY: u64 = 50;
/// How many entries of a user are asked for.
const LAST: usize = 100;
/// How often an entry is looked for, and entries of a user are.
const LOOKUPS: u64 = 5_000;
const USER_LOOKUPS: u64 = 1_000;

/// Measures how long it takes to find changes in a long history.
#[derive(Parser)]
struct Arguments {
    /// How many entries the history has.
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(100_000..))]
    entries: u64,

    /// The one store to measure; both without it.
    #[arg(long)]
    store: Option<Kind>,

    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A store that keeps a history.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Embedded,
    Postgres,
}

fn main() -> Outcome<()> {
    let Arguments { entries, store, .. } = Arguments::parse();
    // Beside the build and not in /tmp, which may be memory.
    let directory = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let runtime = tokio::runtime::Runtime::new()?;
    if store != Some(Kind::Postgres) {
        runtime.block_on(embedded::measure(entries, directory.path()))?;
    }
    if store != Some(Kind::Embedded) {
        runtime.block_on(postgres::measure(entries, directory.path()))?;
    }
    Ok(())
}

/// Keeps all of the history.
const EVERYTHING: Retention = Retention {
    age: Duration::from_hours(24 * 365 * 100),
    bytes: 1 << 40,
};

/// Looks for entries, and prints how long that takes.
async fn look(
    name: &str,
    store: &impl Store,
    requests: &[RequestId],
    first_busy: u64,
) -> Outcome<()> {
    let mut times = Vec::new();
    for request in requests {
        let started = Instant::now();
        let found = store
            .change(account()?, ChangeKey::RequestId(*request))
            .await?;
        times.push(started.elapsed());
        if found.is_none_or(|change| change.request_id != *request) {
            return Err(format!("{request} was not found").into());
        }
    }
    print(name, "an entry by RequestId", times);
    let mut times = Vec::new();
    for number in 0..USER_LOOKUPS {
        let user = id(first_busy + number % BUSY);
        let query = Arc::new(ChangesQuery {
            account: account()?,
            from: Revision::new(u64::MAX >> 1).ok_or("a revision")?,
            direction: Direction::Backwards,
            user: Some(resource_id(user)?),
            most: LAST,
            most_effects: usize::MAX,
        });
        let started = Instant::now();
        let found = store.changes(query).await?;
        times.push(started.elapsed());
        if found.len() != LAST.min(usize::try_from(first_busy)?) {
            return Err(format!("{} entries of a user", found.len()).into());
        }
    }
    print(name, "the last 100 entries of a user", times);
    Ok(())
}

fn print(store: &str, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 1000].as_secs_f64() * 1000.0;
    println!(
        "{store}: {what}: p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, at most {:.3} ms",
        at(500),
        at(990),
        at(999),
        at(1000)
    );
}
