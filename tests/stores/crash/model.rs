//! The model of what the store has to hold, worked out from the answers alone.
//!
//! Users live in towns. Every user of a town carries tags of each of the town's workers, and no worker touches another's
//! keys: so each worker knows its own tags for certain, while the records they are in are fought over.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use crate::support::run;

/// How many towns there are.
pub const TOWNS: usize = 8;
/// How many users a town has.
pub const USERS: usize = 20;
/// How many workers send requests to a town's users.
pub const WORKERS: usize = 6;
/// How many keys a worker has on each user: with the one that nobody touches, a user has at most 19 tags.
pub const KEYS: usize = 3;
/// The account of them all.
pub const ACCOUNT: &str = "1000000000000001";
/// On every user, and never named by a request.
const BYSTANDER: (&str, &str) = ("bystander", "stays");

/// Principal name and tags of each user, by id.
pub type State = BTreeMap<String, (String, BTreeMap<String, String>)>;

/// The id of a user of a town.
pub fn user_id(town: usize, user: usize) -> String {
    format!("{}", 2_000_000_000_000_000 + town * 1000 + user)
}

/// The principal name of a user of a town.
pub fn user_name(town: usize, user: usize) -> String {
    format!("user-{user}@town-{town}.example.com")
}

/// The change that a request makes to its worker's tags, of every user that it names.
#[derive(Debug, Clone)]
pub struct Change {
    /// The users, by their number in the town.
    pub users: Vec<usize>,
    /// The keys, by their number.
    pub keys: Vec<usize>,
    /// The value to set; `None` removes the keys.
    pub value: Option<String>,
    /// Whether it also names a user who does not exist, so that the store has to refuse it as a whole.
    pub names_a_stranger: bool,
}

/// The tags of a worker: for each user of the town, the value of each key where it is set.
type Tags = [[Option<String>; KEYS]; USERS];

/// The tags that one worker, and nobody else, changes.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The town.
    pub town: usize,
    worker: usize,
    tags: Tags,
}

/// The fate of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was applied as a whole.
    Applied,
    /// Nothing of it was.
    Absent,
}

impl Plot {
    /// The town and the number of the worker.
    pub fn worker(&self) -> (usize, usize) {
        (self.town, self.worker)
    }

    /// The model of users as they are imported, with every tag set.
    pub fn new(town: usize, worker: usize) -> Self {
        let tags = std::array::from_fn(|_| std::array::from_fn(|_| Some("imported".to_owned())));
        Self { town, worker, tags }
    }

    /// The name of one of its keys.
    pub fn key(&self, key: usize) -> String {
        format!("worker-{}-key-{key}", self.worker)
    }

    /// Whether the user carries the key.
    pub fn has(&self, user: usize, key: usize) -> bool {
        self.tags[user][key].is_some()
    }

    /// Makes the change, where the store has to.
    pub fn apply(&mut self, change: &Change) {
        if change.names_a_stranger {
            return;
        }
        for &user in &change.users {
            for &key in &change.keys {
                self.tags[user][key].clone_from(&change.value);
            }
        }
    }

    /// Finds out the fate of a request without an answer, and records it. `Err` says how it is half there.
    pub fn settle(&mut self, change: &Change, found: &State) -> Result<Fate, String> {
        let mut applied = self.clone();
        applied.apply(change);
        let found = self.found_in(found);
        if found == applied.tags {
            *self = applied;
            // A request that has to be refused changes nothing, and so is never found applied.
            return Ok(if change.names_a_stranger {
                Fate::Absent
            } else {
                Fate::Applied
            });
        }
        if found == self.tags {
            return Ok(Fate::Absent);
        }
        let differing: Vec<_> = (0..USERS)
            .flat_map(|user| (0..KEYS).map(move |key| (user, key)))
            .map(|(user, key)| {
                let (before, after) = (&self.tags[user][key], &applied.tags[user][key]);
                (user, key, before, after, &found[user][key])
            })
            .filter(|(_, _, before, after, found)| before != found || after != found)
            .collect();
        Err(format!(
            "an unanswered request is half there, or an answered one is lost, in town {} for worker {}: \
             {change:?} left (user, key, before, after, found) {differing:?}",
            self.town, self.worker
        ))
    }

    fn found_in(&self, found: &State) -> Tags {
        std::array::from_fn(|user| {
            let tags = found.get(&user_id(self.town, user)).map(|(_, tags)| tags);
            std::array::from_fn(|key| tags.and_then(|tags| tags.get(&self.key(key)).cloned()))
        })
    }
}

/// The whole store, as the plots have it.
pub fn expected_state<'plot>(plots: impl IntoIterator<Item = &'plot Plot>) -> State {
    let mut state = State::new();
    for town in 0..TOWNS {
        for user in 0..USERS {
            let tags = BTreeMap::from([(BYSTANDER.0.to_owned(), BYSTANDER.1.to_owned())]);
            state.insert(user_id(town, user), (user_name(town, user), tags));
        }
    }
    for plot in plots {
        for (user, values) in plot.tags.iter().enumerate() {
            let (_, tags) = state.get_mut(&user_id(plot.town, user)).unwrap();
            for (key, value) in values.iter().enumerate() {
                tags.extend(value.clone().map(|value| (plot.key(key), value)));
            }
        }
    }
    state
}

/// Puts a state into a data directory, with `untag import`.
pub fn import(data: &Path, state: &State) {
    let mut lines = tempfile::NamedTempFile::new().unwrap();
    for (id, (name, tags)) in state {
        let line = serde_json::json!({
            "account_id": ACCOUNT, "resource_id": id, "principal_name": name, "tags": tags
        });
        writeln!(lines, "{line}").unwrap();
    }
    let file = lines.path().to_str().unwrap();
    let imported = run(&["import", "--data-dir", data.to_str().unwrap(), file]);
    assert!(imported.status.success(), "{imported:?}");
}

/// Fails with the users that differ.
pub fn assert_same(found: &State, expected: &State, when: &str) {
    if found == expected {
        return;
    }
    let ids = expected
        .keys()
        .chain(found.keys().filter(|id| !expected.contains_key(*id)));
    let differing: Vec<_> = ids
        .filter(|id| found.get(*id) != expected.get(*id))
        .map(|id| {
            format!(
                "{id}:\n  found    {:?}\n  expected {:?}",
                found.get(id),
                expected.get(id)
            )
        })
        .collect();
    panic!(
        "{when}, {} users are not as the answers say:\n{}",
        differing.len(),
        differing[..differing.len().min(5)].join("\n")
    );
}
