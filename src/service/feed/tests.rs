//! Watches on the embedded store: whatever they begin with and however they stall, they are told what the log has.

use std::collections::BTreeMap;
use std::path::Path;

use super::ring::Next;
use super::*;
use crate::domain::{
    Action, Change, ChangesQuery, Direction, HistoryPosition, Origin, PassedChange, PrincipalName,
    RequestId, Resource, ResourceId, Revision, TagCommand, TagKey, TagValue, Targets, Timestamp,
    UserChange, UserCommand,
};
use crate::store::Retention;
use crate::store::sqlite::{Options, SqliteStore};

const PATIENCE: Duration = Duration::from_secs(30);
const USERS: usize = 250;

fn account() -> AccountId {
    AccountId::parse("1").unwrap()
}

fn id(number: usize) -> ResourceId {
    ResourceId::parse(number.to_string()).unwrap()
}

fn origin(action: Action) -> Arc<Origin> {
    Arc::new(Origin::local(action, Timestamp::from_millis(0)))
}

fn open(directory: &Path, retention: Retention) -> Arc<SqliteStore> {
    let options = Options {
        retention,
        ..Options::default()
    };
    let user = |number| {
        let name = PrincipalName::parse(format!("user-{number}@example.com")).unwrap();
        Resource::new(account(), id(number), name, BTreeMap::new()).unwrap()
    };
    let is_new = !directory.join("untag.db").exists();
    let users = if is_new { USERS } else { 0 };
    let users = (0..users).map(user).collect();
    Arc::new(SqliteStore::open(directory, options, users).unwrap())
}

fn new_store() -> (Arc<SqliteStore>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (open(directory.path(), Retention::default()), directory)
}

/// Closes a store, once those that read it for a feed have ended.
async fn close(store: Arc<SqliteStore>) {
    while Arc::strong_count(&store) > 1 {
        tokio::task::yield_now().await;
    }
    let closing = store.closing();
    drop(store);
    assert!(closing.wait(PATIENCE));
}

/// A feed that is quick to say that there is nothing.
fn feed(store: &Arc<SqliteStore>) -> Feed<SqliteStore> {
    let times = Times {
        checkpoint: Duration::from_millis(20),
        stale: PATIENCE,
        look: Duration::from_millis(5),
    };
    Feed::new(Arc::clone(store), times)
}

fn room() -> Hold {
    Arc::new(|_| Some(Box::new(())))
}

async fn begin(
    feed: &Feed<SqliteStore>,
    start: WatchStart,
) -> Result<Watch<SqliteStore>, FeedError> {
    feed.watch(account(), start, room()).await
}

/// Sets a tag of these users to a value that it did not have.
async fn change(store: &SqliteStore, users: std::ops::Range<usize>) -> Revision {
    let value = TagValue::parse(RequestId::now().to_string()).unwrap();
    let command = TagCommand {
        account: account(),
        targets: Targets::Ids(users.map(id).collect()),
        tags: vec![(TagKey::parse("k").unwrap(), value)],
    };
    let changed = store
        .tag(Arc::new(command), origin(Action::TagResources))
        .await;
    changed.unwrap().revision.unwrap()
}

async fn event(watch: &mut Watch<SqliteStore>) -> Result<Event, FeedError> {
    let event = tokio::time::timeout(PATIENCE, watch.next()).await;
    event.expect("something happens")
}

/// What a watch is told of up to a revision.
async fn told(watch: &mut Watch<SqliteStore>, until: u64) -> Vec<Arc<Change>> {
    let mut changes: Vec<Arc<Change>> = Vec::new();
    while changes
        .last()
        .is_none_or(|last| last.revision.get() < until)
    {
        match event(watch).await.unwrap() {
            Event::Change(change) => {
                let passed = PassedChange {
                    revision: change.revision,
                    request_id: change.request_id,
                };
                assert_eq!(watch.position().last, Some(passed));
                changes.push(change);
            }
            Event::Checkpoint => {}
            Event::Users(page) => panic!("{page:?}"),
        }
    }
    changes
}

async fn log(store: &SqliteStore, from: u64) -> Vec<Change> {
    let query = ChangesQuery {
        account: account(),
        from: Revision::new(from).unwrap(),
        direction: Direction::Forwards,
        user: None,
        most: usize::MAX,
        most_effects: usize::MAX,
    };
    store.changes(Arc::new(query)).await.unwrap()
}

fn assert_same(told: &[Arc<Change>], log: &[Change]) {
    let told = told.iter().map(|change| &**change);
    assert!(told.eq(log), "another sequence than that of the log");
}

#[tokio::test]
async fn a_watch_begins_where_it_is_told_to() {
    let (store, _directory) = new_store();
    let feed = feed(&store);
    // Before anything has ever happened.
    let mut from_beginning = begin(&feed, WatchStart::Beginning).await.unwrap();
    let mut from_now = begin(&feed, WatchStart::Now).await.unwrap();
    for watch in [&mut from_beginning, &mut from_now] {
        assert!(matches!(event(watch).await, Ok(Event::Checkpoint)));
        assert_eq!(watch.position().last, None);
    }
    let before_all = from_now.position();
    change(&store, 0..1).await;
    let middle = {
        told(&mut from_now, 1).await;
        from_now.position()
    };
    for _ in 0..2 {
        change(&store, 0..2).await;
    }
    let log = log(&store, 1).await;
    assert_same(&told(&mut from_beginning, 3).await, &log);
    assert_same(&told(&mut from_now, 3).await, &log[1..]);
    for (start, behind) in [
        (WatchStart::Beginning, 0),
        (WatchStart::After(before_all), 0),
        (WatchStart::After(middle), 1),
    ] {
        let mut watch = begin(&feed, start).await.unwrap();
        assert_same(&told(&mut watch, 3).await, &log[behind..]);
        // At once when it has caught up, and again and again while nothing happens.
        for _ in 0..3 {
            assert!(matches!(event(&mut watch).await, Ok(Event::Checkpoint)));
            assert_eq!(watch.position().last.unwrap().revision.get(), 3);
        }
    }
    let mut late = begin(&feed, WatchStart::Now).await.unwrap();
    change(&store, 0..1).await;
    assert_eq!(told(&mut late, 4).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watch_is_told_what_the_log_has_however_long_it_stalls() {
    const ROUNDS: usize = 150;
    let (store, _directory) = new_store();
    let feed = Arc::new(feed(&store));
    let writing = (0..4).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                // Large ones too, so that the hub can't keep all.
                let users = if round % 10 == 0 { 50 } else { 1 };
                change(&store, writer * 50..writer * 50 + users).await;
            }
        })
    });
    let writing: Vec<_> = writing.collect();
    let last = 4 * ROUNDS as u64;
    let watching = (0..12_usize).map(|number| {
        let feed = Arc::clone(&feed);
        tokio::spawn(async move {
            let mut watch = begin(&feed, WatchStart::Beginning).await.unwrap();
            let mut all = Vec::new();
            let mut stop = 0;
            while stop < last {
                stop = (stop + 1 + number as u64 * 20).min(last);
                all.extend(told(&mut watch, stop).await);
                // The store may be slower than this or not: either way the sequence is whole.
                tokio::time::sleep(Duration::from_millis(number as u64)).await;
                if number % 3 == 0 {
                    let after = WatchStart::After(watch.position());
                    watch = begin(&feed, after).await.unwrap();
                }
            }
            all
        })
    });
    let watching: Vec<_> = watching.collect();
    for writer in writing {
        writer.await.unwrap();
    }
    let log = log(&store, 1).await;
    assert_eq!(log.len() as u64, last);
    for watch in watching {
        assert_same(&watch.await.unwrap(), &log);
    }
}

#[tokio::test]
async fn a_watch_that_the_hub_has_left_behind_reads_from_the_store() {
    let (store, _directory) = new_store();
    let feed = feed(&store);
    // The first of its changes is gone from the ring.
    let mut slow = begin(&feed, WatchStart::Now).await.unwrap();
    let mut quick = begin(&feed, WatchStart::Now).await.unwrap();
    let mut last = 0;
    while !matches!(slow.source.hub.after(None), Some(Next::Gone)) {
        last = change(&store, 0..50).await.get();
        told(&mut quick, last).await;
    }
    let log = log(&store, 1).await;
    assert_same(&told(&mut slow, last).await, &log);
    assert!(matches!(event(&mut slow).await, Ok(Event::Checkpoint)));
}

#[tokio::test]
async fn a_position_just_before_the_oldest_change_is_good_and_one_before_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), Retention::default());
    let mut positions = Vec::new();
    {
        let mut watch = begin(&feed(&store), WatchStart::Beginning).await.unwrap();
        positions.push(watch.position());
        for revision in 1..=6 {
            change(&store, 0..1).await;
            told(&mut watch, revision).await;
            positions.push(watch.position());
        }
    }
    close(store).await;
    let nothing = Retention {
        age: Duration::ZERO,
        bytes: u64::MAX,
    };
    // Only the newest stays.
    let store = open(directory.path(), nothing);
    let oldest = async {
        loop {
            let oldest = store.history(account()).await.unwrap().oldest.unwrap();
            if oldest.get() == 6 {
                return;
            }
            store.check().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, oldest).await.unwrap();
    let feed = feed(&store);
    for (number, position) in positions.iter().enumerate() {
        let watch = begin(&feed, WatchStart::After(*position)).await;
        if number >= 5 {
            let mut watch = watch.unwrap();
            let next = change(&store, 0..1).await.get();
            let told = told(&mut watch, next).await;
            assert_eq!(told[0].revision.get(), number as u64 + 1);
            return;
        }
        let gone = |error: &FeedError| matches!(error, FeedError::Store(StoreError::Compacted { oldest }) if *oldest == Revision::new(6));
        assert!(watch.as_ref().is_err_and(gone), "{number}: {watch:?}");
    }
    let watch = begin(&feed, WatchStart::Beginning).await;
    assert!(watch.is_err(), "{watch:?}");
}

#[tokio::test]
async fn a_position_of_another_history_or_another_past_is_refused() {
    let (store, directory) = new_store();
    change(&store, 0..1).await;
    close(store).await;
    let backup = tempfile::tempdir().unwrap();
    let file = "untag.db";
    std::fs::copy(directory.path().join(file), backup.path().join(file)).unwrap();

    let store = open(directory.path(), Retention::default());
    let mut watch = begin(&feed(&store), WatchStart::Beginning).await.unwrap();
    for _ in 0..2 {
        change(&store, 0..1).await;
    }
    told(&mut watch, 3).await;
    let ahead = watch.position();
    let restored = open(backup.path(), Retention::default());
    let feed = feed(&restored);
    let refused = |watch: Result<Watch<SqliteStore>, FeedError>| {
        assert!(matches!(watch, Err(FeedError::OtherHistory)), "{watch:?}");
    };
    // The backup has the same history, and not these changes, and then others.
    refused(begin(&feed, WatchStart::After(ahead)).await);
    for _ in 0..3 {
        change(&restored, 0..1).await;
        refused(begin(&feed, WatchStart::After(ahead)).await);
    }
    let (other, _directory) = new_store();
    let history = other.history(account()).await.unwrap().id;
    let elsewhere = HistoryPosition { history, ..ahead };
    refused(begin(&feed, WatchStart::After(elsewhere)).await);
}

#[tokio::test]
async fn a_snapshot_and_the_changes_behind_it_are_what_there_is() {
    let (store, _directory) = new_store();
    let feed = feed(&store);
    change(&store, 0..50).await;
    let mut watch = begin(&feed, WatchStart::Snapshot).await.unwrap();
    let start = watch.position();
    let mut users = BTreeMap::new();
    let mut pages = 0;
    let consistent = loop {
        let page = match event(&mut watch).await.unwrap() {
            Event::Users(page) => page,
            other => panic!("{other:?}"),
        };
        pages += 1;
        assert_eq!(watch.position(), start);
        for user in page.users {
            let before = users.insert(user.resource.id.clone(), user);
            assert_eq!(before, None);
        }
        if let Some(end) = page.end {
            break end.consistent.unwrap();
        }
        // Some before what was told, and some behind it; one goes.
        change(&store, 0..50).await;
        change(&store, 200..250).await;
        let delete = vec![UserChange::Delete {
            id: id(100 + pages),
        }];
        let command = UserCommand::new(account(), Timestamp::from_millis(1), delete).unwrap();
        let deleted = store.change_users(Arc::new(command), origin(Action::UntagResources));
        deleted.await.unwrap();
    };
    assert!(pages > 1);
    for change in told(&mut watch, consistent.get()).await {
        for effect in &change.effects {
            apply(&mut users, effect);
        }
    }
    let mut there = BTreeMap::new();
    let mut all = begin(&feed, WatchStart::Snapshot).await.unwrap();
    loop {
        let Event::Users(page) = event(&mut all).await.unwrap() else {
            panic!("the snapshot goes on");
        };
        there.extend(
            page.users
                .into_iter()
                .map(|user| (user.resource.id.clone(), user)),
        );
        if page.end.is_some() {
            break;
        }
    }
    assert!(users == there, "the snapshot is not what there is");
}

/// Sets what an effect says.
fn apply(users: &mut BTreeMap<ResourceId, crate::domain::User>, effect: &crate::domain::Effect) {
    use crate::domain::EffectKind;
    match &effect.kind {
        EffectKind::Tags { removed, set } => {
            // One that was deleted before it was listed.
            let Some(user) = users.get_mut(&effect.resource_id) else {
                return;
            };
            let mut tags = user.resource.tags().clone();
            tags.retain(|key, _| removed.iter().all(|(removed, _)| removed != key));
            tags.extend(set.iter().map(|tag| (tag.key.clone(), tag.new.clone())));
            let (id, name) = (
                effect.resource_id.clone(),
                user.resource.principal_name.clone(),
            );
            user.resource = Resource::new(account(), id, name, tags).unwrap();
        }
        EffectKind::Deleted(_) => {
            users.remove(&effect.resource_id);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_watch_without_room_ends_and_one_that_nobody_waits_for_leaves_nothing() {
    let (store, _directory) = new_store();
    let feed = feed(&store);
    change(&store, 0..1).await;
    let none: Hold = Arc::new(|_| None);
    let mut watch = feed
        .watch(account(), WatchStart::Beginning, none)
        .await
        .unwrap();
    assert!(matches!(event(&mut watch).await, Err(FeedError::NoMemory)));
    assert!(feed.hubs.lock()[&account()].strong_count() == 1);
    drop(watch);
    assert!(feed.hubs.lock()[&account()].strong_count() == 0);
    change(&store, 0..1).await;
    assert_eq!(feed.held.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_store_that_is_not_read_for_long_ends_its_watches() {
    let (store, _directory) = new_store();
    let times = Times {
        checkpoint: Duration::from_millis(20),
        stale: Duration::ZERO,
        // Longer than any test takes.
        look: Duration::from_hours(1),
    };
    let feed = Feed::new(Arc::clone(&store), times);
    let mut watch = begin(&feed, WatchStart::Now).await.unwrap();
    assert!(matches!(event(&mut watch).await, Ok(Event::Checkpoint)));
    assert!(matches!(event(&mut watch).await, Err(FeedError::Stale)));
}
