//! A history of the embedded store, made by its own commands.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;
use untag::domain::{Action, RequestId, TagCommand, Targets};
use untag::store::Store as _;
use untag::store::sqlite::{Options, SqliteStore};

use crate::direct::{KEYS, Outcome, account, id, key, origin, resource_id, untag, user, value};
use crate::{BUSY, BUSY_ONE_OF, EVERYTHING, LOOKUPS, look};

const IN_FLIGHT: usize = 512;

pub async fn measure(entries: u64, directory: &Path) -> Outcome<()> {
    let users = entries / KEYS + 1;
    let options = Options {
        retention: EVERYTHING,
        ..Options::default()
    };
    let population: Outcome<Vec<_>> = (0..users + BUSY).map(user).collect();
    let store = SqliteStore::open(directory, options, population?)?;
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        tasks.spawn(change(store.clone(), Arc::clone(&next), entries, users));
    }
    let mut requests = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        requests.append(&mut ended??);
    }
    let bytes = std::fs::metadata(directory.join("untag.db"))?.len();
    println!(
        "embedded: {entries} entries of {users} users in {:.0} s; the database has {} MiB",
        started.elapsed().as_secs_f64(),
        bytes >> 20
    );
    look("embedded", &store, &requests, users).await
}

/// Makes changes until there are enough. Returns some of their requests.
async fn change(
    store: SqliteStore,
    next: Arc<AtomicU64>,
    entries: u64,
    users: u64,
) -> Outcome<Vec<RequestId>> {
    let mut sample = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= entries {
            return Ok(sample);
        }
        let is_busy = number % BUSY_ONE_OF == BUSY_ONE_OF - 1;
        let (user, tag) = if is_busy {
            (users + number / BUSY_ONE_OF % BUSY, 0)
        } else {
            (number % users, number / users)
        };
        let origin = origin(if is_busy {
            Action::TagResources
        } else {
            Action::UntagResources
        });
        if number.is_multiple_of(entries / LOOKUPS) {
            sample.push(origin.request_id);
        }
        let changed = if is_busy {
            let command = TagCommand {
                account: account()?,
                targets: Targets::Ids([resource_id(id(user))?].into()),
                tags: vec![(key(tag)?, value(number)?)],
            };
            store.tag(Arc::new(command), origin).await?
        } else {
            store.untag(untag(user, tag)?, origin).await?
        };
        if changed.changed_resources != Some(1) {
            return Err("a change that changed nothing".into());
        }
    }
}
