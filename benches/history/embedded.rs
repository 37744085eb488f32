//! A history of the embedded store, made by its own commands.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;
use untag::domain::{
    Action, Caller, Origin, PrincipalName, RequestId, Resource, ResourceId, TagCommand, TagKey,
    TagSelection, TagValue, Targets, Timestamp, UntagCommand,
};
use untag::store::Store as _;
use untag::store::sqlite::{Options, SqliteStore};

use crate::{BUSY, BUSY_ONE_OF, EVERYTHING, LOOKUPS, Outcome, account, id, look};

/// How many tags each user has at first, all of which are removed.
const KEYS: u64 = 20;
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

fn user(number: u64) -> Outcome<Resource> {
    let tags: Result<BTreeMap<_, _>, _> = (0..KEYS)
        .map(|key| {
            Ok::<_, ()>((
                TagKey::parse(name(key)).map_err(drop)?,
                value(key).map_err(drop)?,
            ))
        })
        .collect();
    let principal = PrincipalName::parse(format!("user-{number}@example.onaliyun.com"));
    let parsed = (tags, principal, ResourceId::parse(id(number)));
    let (Ok(tags), Ok(principal), Ok(id)) = parsed else {
        return Err("a user".into());
    };
    Resource::new(account()?, id, principal, tags).map_err(|_| "a user".into())
}

fn name(key: u64) -> String {
    format!("k{key:02}")
}

fn value(number: u64) -> Outcome<TagValue> {
    TagValue::parse(format!("value {number}")).map_err(|_| "a value".into())
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
        let (user, key) = if is_busy {
            (users + number / BUSY_ONE_OF % BUSY, 0)
        } else {
            (number % users, number / users)
        };
        let targets = Targets::Ids([ResourceId::parse(id(user)).map_err(|_| "an id")?].into());
        let key = TagKey::parse(name(key)).map_err(|_| "a key")?;
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
                targets,
                tags: vec![(key, value(number)?)],
            };
            store.tag(Arc::new(command), origin).await?
        } else {
            let command = UntagCommand {
                account: account()?,
                targets,
                selection: TagSelection::Keys([key].into()),
                expected: None,
                allow_missing: false,
                validate_only: false,
            };
            store.untag(Arc::new(command), origin).await?
        };
        if changed.changed_resources != Some(1) {
            return Err("a change that changed nothing".into());
        }
    }
}

fn origin(action: Action) -> Arc<Origin> {
    Arc::new(Origin {
        request_id: RequestId::now(),
        time: Timestamp::from(std::time::SystemTime::now()),
        caller: Caller::anonymous(),
        source_ip: Ipv4Addr::LOCALHOST.into(),
        secure_transport: false,
        client_request_id: None,
        action,
        repeat: None,
    })
}
