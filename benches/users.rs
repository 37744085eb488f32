//! How many users a second the embedded store creates and deletes in batches, beside untags.
//!
//! `cargo bench --bench users -- --users 200000 --batch 1000`. The store is asked directly. The same 64 untags are in flight in each of
//! three phases: alone, while users are created, and while those users are deleted.

mod direct;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::task::JoinSet;
use untag::domain::{Action, NewUser, ResourceId, Timestamp, UserChange, UserCommand};
use untag::store::Store as _;
use untag::store::sqlite::{Options, SqliteStore};

use direct::{Outcome, account, name, origin, resource_id, tags, untag, user};

/// Users that lose their tags.
const TAGGED: u64 = 200_000;
const UNTAGS: usize = 64;
/// The tags of a user that is created.
const TAGS: u64 = 2;
/// How long untags are alone.
const ALONE: Duration = Duration::from_secs(5);

/// Measures how fast users come and go beside untags.
#[derive(Parser)]
struct Arguments {
    /// How many users come and go.
    #[arg(long, default_value = "200000", value_parser = clap::value_parser!(u64).range(1_000..))]
    users: u64,

    /// How many of them one change creates or deletes.
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    batch: u64,

    /// How many such changes are in flight.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..=64))]
    in_flight: u64,

    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    // Beside the build and not in /tmp, which may be memory.
    let directory = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let population: Outcome<Vec<_>> = (0..TAGGED).map(user).collect();
    let store = SqliteStore::open(directory.path(), Options::default(), population?)?;
    let untags = Untags {
        store: store.clone(),
        next: Arc::default(),
    };
    untags
        .beside("alone", async {
            tokio::time::sleep(ALONE).await;
            Ok(0)
        })
        .await?;
    untags
        .beside("created", change(&store, &arguments, create))
        .await?;
    untags
        .beside("deleted", change(&store, &arguments, delete))
        .await
}

/// Changes all the users in batches, and returns how many they are.
async fn change(
    store: &SqliteStore,
    arguments: &Arguments,
    of: fn(u64) -> Outcome<UserChange>,
) -> Outcome<usize> {
    let (users, batch) = (arguments.users, arguments.batch);
    let next = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..arguments.in_flight {
        let (store, next) = (store.clone(), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                if first >= users {
                    return Outcome::Ok(());
                }
                let numbers = first..users.min(first + batch);
                let changes: Outcome<Vec<_>> = numbers.map(of).collect();
                let now = Timestamp::from(std::time::SystemTime::now());
                let command = UserCommand::new(account()?, now, changes?)?;
                let origin = origin(Action::CreateUser);
                store.change_users(Arc::new(command), origin).await?;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(usize::try_from(users)?)
}

/// The id of a user who comes and goes, by its number.
fn new_id(number: u64) -> Outcome<ResourceId> {
    resource_id((3_000_000_000_000_000 + number).to_string())
}

fn create(number: u64) -> Outcome<UserChange> {
    let name = name(format!("new-{number}@example.onaliyun.com"))?;
    let user = NewUser::new(new_id(number)?, name, tags(TAGS)?)?;
    Ok(UserChange::Create(user))
}

fn delete(number: u64) -> Outcome<UserChange> {
    let id = new_id(number)?;
    Ok(UserChange::Delete { id })
}

/// The untags that are in flight in each phase. Each removes a tag that is there.
struct Untags {
    store: SqliteStore,
    next: Arc<AtomicU64>,
}

impl Untags {
    /// Keeps untags in flight until this is done, and prints how fast both were.
    async fn beside(
        &self,
        what: &str,
        changes: impl Future<Output = Outcome<usize>>,
    ) -> Outcome<()> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..UNTAGS {
            let next = Arc::clone(&self.next);
            tasks.spawn(remove_tags(self.store.clone(), next, Arc::clone(&is_over)));
        }
        let started = Instant::now();
        let users = changes.await?;
        let took = started.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            times.append(&mut ended??);
        }
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 of them")]
        let rate = |count: usize| count as f64 / took;
        println!(
            "{what}: {:.0} users a second; {:.0} untags a second, p50 {:.2} ms, p99 {:.2} ms",
            rate(users),
            rate(times.len()),
            at(50),
            at(99)
        );
        Ok(())
    }
}

/// Removes tags, one after the other, until it is over. Returns how long each took.
async fn remove_tags(
    store: SqliteStore,
    next: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let command = untag(number % TAGGED, number / TAGGED)?;
        let started = Instant::now();
        let origin = origin(Action::UntagResources);
        let changed = store.untag(command, origin).await?;
        times.push(started.elapsed());
        if changed.changed_resources != Some(1) {
            return Err("all tags are gone; take fewer users".into());
        }
    }
    Ok(times)
}
