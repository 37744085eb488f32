//! Histories of clients that change and read the same few users at once.

use std::collections::BTreeMap;

use untag::domain::{Change, Resource, TagKey};

use super::checker::{Action, Event, is_linearizable};
use super::client::{Client, History, KEYS, Made, Place, Shared, USERS};
use super::store::{Home, Replicas, Tags};
use crate::support::long_run::{say, variable};

const CLIENTS: usize = 6;
/// The tags of the users at first.
const FIRST: [Tags; 3] = [
    &[("env", "first")],
    &[],
    &[("env", "first"), ("team", "first")],
];

/// Whether connections are cut.
#[derive(Clone, Copy, PartialEq)]
enum Network {
    Good,
    Cut,
}

/// Checks that the log has what was answered, and that no change has a revision before that of one that was answered before it began.
fn check_order(log: &[Change], made: &[Made]) {
    let logged: BTreeMap<&str, u64> = log
        .iter()
        .map(|change| (change.request_id.as_str(), change.revision.get()))
        .collect();
    let mut has_entry = 0;
    for change in made {
        let expected = change.has_changed.then_some(&change.revision);
        assert_eq!(logged.get(&*change.request_id), expected);
        has_entry += usize::from(change.has_changed);
        let before = made.iter().filter(|before| before.end < change.start);
        let newest = before.map(|before| before.revision).max().unwrap_or(0);
        let is_later =
            newest < change.revision || (newest == change.revision && !change.has_changed);
        assert!(is_later, "{newest} was answered before {}", change.revision);
    }
    assert_eq!(log.len(), has_entry, "a change was made twice, or not");
}

/// The value of a tag.
fn value(resources: &[Resource], (user, key): Place) -> Option<String> {
    let (user, key) = (user.to_string(), TagKey::parse(key).unwrap());
    let mut users = resources.iter();
    let resource = users.find(|resource| resource.id.as_str() == user).unwrap();
    let value = resource.tags().get(&key);
    value.map(|value| value.as_str().to_owned())
}

/// Checks that the events of each tag could have happened in one order, from what the store held at first to what it holds now.
fn check_history(history: &mut History, first: &[Resource], now: &[Resource]) {
    assert_eq!(history.len(), USERS.len() * KEYS.len());
    for (place, events) in history {
        // The end as the store has it is what everybody would read from now on.
        events.push(Event {
            start: u64::MAX,
            end: Some(u64::MAX),
            action: Action::Saw(value(now, *place)),
        });
        let first = value(first, *place);
        assert!(
            is_linearizable(first.as_deref(), events),
            "{place:?}: {events:#?}"
        );
    }
}

/// Checks so many histories as `UNTAG_HISTORIES` says, each of a store of its own.
async fn check_histories(home: fn(&[Tags]) -> Home, replicas: usize, network: Network) {
    for _ in 0..variable("UNTAG_HISTORIES").unwrap_or(1) {
        check_one(&home(&FIRST), replicas, network).await;
    }
}

async fn check_one(home: &Home, replicas: usize, network: Network) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let first = home.resources().await;
    let replicas = Replicas::start(home, replicas).await;
    if network == Network::Cut {
        replicas.begin_cutting();
    }
    let shared = Shared::new(seed);
    let mut running = Vec::new();
    for number in 0..CLIENTS {
        let client = Client::new(number, replicas.channel(number), &shared);
        running.push(tokio::spawn(client.run()));
    }
    let (mut history, mut made) = (History::new(), Vec::new());
    let (mut again, mut reverts) = (0, 0);
    for client in running {
        let client = client.await.unwrap();
        made.extend(client.made);
        again += client.again;
        reverts += client.reverts;
        for (place, events) in client.history {
            history.entry(place).or_default().extend(events);
        }
    }
    let (cuts, to_database) = replicas.cuts();
    replicas.end();
    let events: usize = history.values().map(Vec::len).sum();
    say(&format!(
        "history: {events} events of {} changes, {reverts} of them reverts, {again} requests sent again, {cuts} connections to \
         services and {} to the database cut",
        made.len(),
        to_database.unwrap_or(0),
    ));
    assert!((again == 0) == (network == Network::Good) && reverts > 0);
    check_order(&home.check_log(&first).await, &made);
    check_history(&mut history, &first, &home.resources().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_histories_with_reverts_are_linearizable() {
    check_histories(Home::embedded, 1, Network::Good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_histories_over_cut_connections_are_linearizable() {
    check_histories(Home::embedded, 1, Network::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_two_replicas_are_linearizable() {
    check_histories(Home::postgres, 2, Network::Good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_three_replicas_are_linearizable() {
    check_histories(Home::postgres, 3, Network::Good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_three_replicas_over_cut_connections_are_linearizable() {
    check_histories(Home::postgres, 3, Network::Cut).await;
}
