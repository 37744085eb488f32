//! Several replicas on one database.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use untag::domain::Change;

use super::harness::{Client, database_with, serve, tag_request, tags_of, untag_request};
use super::history::{Action, Event, is_linearizable};
use super::log_check::{check, resources};

const USERS: [usize; 3] = [1, 2, 3];
const KEYS: [&str; 3] = ["env", "owner", "team"];
const REQUESTS_OF_A_CLIENT: usize = 34;

/// The events of each tag, by user and key.
type History = BTreeMap<(usize, &'static str), Vec<Event>>;

/// A change that was answered.
struct Made {
    start: u64,
    end: u64,
    request_id: String,
    /// The account's newest revision where it has changed nothing; 0 where there is none.
    revision: u64,
    has_changed: bool,
}

/// The requests of one client: changes and reads of some of the users, one after the other.
async fn client_history(
    mut client: Client,
    number: usize,
    seed: u64,
    clock: Instant,
) -> (History, Vec<Made>) {
    let mut random = StdRng::seed_from_u64(seed + number as u64);
    let now = || u64::try_from(clock.elapsed().as_nanos()).unwrap();
    let (mut history, mut made) = (History::new(), Vec::new());
    for request in 0..REQUESTS_OF_A_CLIENT {
        let count = random.random_range(1..=USERS.len());
        let users: Vec<usize> = USERS.choose_multiple(&mut random, count).copied().collect();
        let count = random.random_range(1..=2);
        let keys: Vec<&'static str> = KEYS.choose_multiple(&mut random, count).copied().collect();
        let value = format!("{number}-{request}");
        let start = now();
        let (actions, end) = match random.random_range(0..3) {
            0 => {
                let tags: Vec<_> = keys.iter().map(|key| (*key, value.as_str())).collect();
                let request = tag_request(&users, &tags);
                let answer = client.tag_resources(request).await.unwrap().into_inner();
                let end = now();
                made.push(Made {
                    start,
                    end,
                    request_id: answer.request_id,
                    revision: answer.revision.map_or(0, i64::unsigned_abs),
                    has_changed: answer.changed_resources != Some(0),
                });
                (each(&users, &keys, |_, _| Action::Set(value.clone())), end)
            }
            1 => {
                let request = untag_request(&users, &keys);
                let answer = client.untag_resources(request).await.unwrap().into_inner();
                let end = now();
                made.push(Made {
                    start,
                    end,
                    request_id: answer.request_id,
                    revision: answer.revision.map_or(0, i64::unsigned_abs),
                    has_changed: answer.changed_resources != Some(0),
                });
                (each(&users, &keys, |_, _| Action::Remove), end)
            }
            _ => {
                let listed = tags_of(&mut client, &users).await.unwrap();
                let end = now();
                let value = |user: usize, key: &str| {
                    let user = user.to_string();
                    let found = listed
                        .iter()
                        .find(|(id, found, _)| *id == user && found == key);
                    Action::Saw(found.map(|(_, _, value)| value.clone()))
                };
                (each(&users, &KEYS, value), end)
            }
        };
        for (place, action) in actions {
            history.entry(place).or_default().push(Event {
                start,
                end: Some(end),
                action,
            });
        }
    }
    (history, made)
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
    assert_eq!(log.len(), has_entry);
}

fn each(
    users: &[usize],
    keys: &[&'static str],
    action: impl Fn(usize, &str) -> Action,
) -> Vec<((usize, &'static str), Action)> {
    let places = users
        .iter()
        .flat_map(|user| keys.iter().map(move |key| (*user, *key)));
    places
        .map(|(user, key)| ((user, key), action(user, key)))
        .collect()
}

async fn check_replicas(replicas: usize) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let database = database_with(&[
        &[("env", "first")],
        &[],
        &[("env", "first"), ("team", "first")],
    ]);
    let first = resources(&database.url()).await;
    let servers: Vec<_> = (0..replicas).map(|_| serve(&database.url(), &[])).collect();
    let clock = Instant::now();
    let mut running = Vec::new();
    for number in 0..6 {
        let client = servers[number % replicas].client().await;
        running.push(tokio::spawn(client_history(client, number, seed, clock)));
    }
    let (mut history, mut made) = (History::new(), Vec::new());
    for client in running {
        let (of_client, made_by_client) = client.await.unwrap();
        made.extend(made_by_client);
        for (place, events) in of_client {
            history.entry(place).or_default().extend(events);
        }
    }
    check_order(&check(&database.url(), &first).await, &made);
    // The end as the database has it is what everybody would read from now on.
    let end = u64::MAX;
    for user in USERS {
        for key in KEYS {
            let sql = format!(
                "SELECT tags ? '{key}', tags->>'{key}' FROM resource WHERE resource_id = '{user}'"
            );
            let found = database.sql(&sql);
            let last = Event {
                start: end,
                end: Some(end),
                action: Action::Saw(found.strip_prefix("t|").map(str::to_owned)),
            };
            history.entry((user, key)).or_default().push(last);
        }
    }
    assert_eq!(history.len(), USERS.len() * KEYS.len());
    for ((user, key), events) in &history {
        let had = *key == "env" && *user != 2 || *key == "team" && *user == 3;
        let first = had.then_some("first");
        assert!(
            is_linearizable(first, events),
            "user {user}, key {key}: {events:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_two_replicas_are_linearizable() {
    check_replicas(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_three_replicas_are_linearizable() {
    check_replicas(3).await;
}
