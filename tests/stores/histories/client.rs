//! A client of a history: it sets, removes, reverts and reads tags of the same few users as others, one request after the other, and
//! notes what it has seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tonic::transport::Channel;
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::effect::Kind;
use untag::grpc::proto::get_change_request::Change as Which;
use untag::grpc::proto::list_tag_resources_request::Resources as Listed;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{
    Effect, GetChangeRequest, ListTagResourcesRequest, OnConflict, RevertChangeRequest,
    TagResourcesRequest, UntagResourcesRequest,
};

use super::checker::{Action, Event};
use super::retry::insist;
use crate::postgres::harness::{resource_ids, tag_request, untag_request};

pub const USERS: [usize; 3] = [1, 2, 3];
pub const KEYS: [&str; 3] = ["env", "owner", "team"];
/// So few that the events of a tag fit into the set of the checker.
const REQUESTS_OF_A_CLIENT: usize = 34;

/// A tag, by user and key.
pub type Place = (usize, &'static str);

/// The value of a tag before and behind a change.
type Values = (Option<String>, Option<String>);

/// The events of each tag.
pub type History = BTreeMap<Place, Vec<Event>>;

/// A change that was answered.
pub struct Made {
    pub start: u64,
    pub end: u64,
    pub request_id: String,
    /// The account's newest revision where it has changed nothing; 0 where there is none.
    pub revision: u64,
    pub has_changed: bool,
}

/// The state that the clients of a history share: the clock, and the changes that one of them may revert.
pub struct Shared {
    clock: Instant,
    seed: u64,
    changes: Mutex<Vec<String>>,
}

impl Shared {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            clock: Instant::now(),
            seed,
            changes: Mutex::default(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap()
    }
}

/// A client, and what it has noted.
pub struct Client {
    number: usize,
    shared: Arc<Shared>,
    random: StdRng,
    tags: TagServiceClient<Channel>,
    log: ChangeServiceClient<Channel>,
    pub history: History,
    pub made: Vec<Made>,
    /// How often a request was sent again.
    pub again: usize,
    /// How many reverts have changed something.
    pub reverts: usize,
}

impl Client {
    pub fn new(number: usize, channel: Channel, shared: &Arc<Shared>) -> Self {
        Self {
            number,
            shared: Arc::clone(shared),
            random: StdRng::seed_from_u64(shared.seed.wrapping_add(number as u64)),
            tags: TagServiceClient::new(channel.clone()),
            log: ChangeServiceClient::new(channel),
            history: History::new(),
            made: Vec::new(),
            again: 0,
            reverts: 0,
        }
    }

    /// Sends all requests.
    pub async fn run(mut self) -> Self {
        for request in 0..REQUESTS_OF_A_CLIENT {
            let token = format!("{}-{request}", self.number);
            match self.random.random_range(0..20) {
                0..6 => self.set(token).await,
                6..11 => self.remove(token).await,
                11..14 => self.revert(token).await,
                _ => self.read().await,
            }
        }
        self
    }

    fn some_users(&mut self) -> Vec<usize> {
        let count = self.random.random_range(1..=USERS.len());
        let users = USERS.choose_multiple(&mut self.random, count);
        users.copied().collect()
    }

    fn some_keys(&mut self) -> Vec<&'static str> {
        let count = self.random.random_range(1..=2);
        let keys = KEYS.choose_multiple(&mut self.random, count);
        keys.copied().collect()
    }

    /// Sets tags to a value that nobody else sets.
    async fn set(&mut self, token: String) {
        let (users, keys) = (self.some_users(), self.some_keys());
        let tags: Vec<_> = keys.iter().map(|key| (*key, token.as_str())).collect();
        let request = TagResourcesRequest {
            client_token: token.clone(),
            ..tag_request(&users, &tags)
        };
        let start = self.shared.now();
        let answer = insist!(&mut self.again, self.tags, tag_resources, request).await;
        let has_changed = answer.changed_resources != Some(0);
        let end = self.made(start, answer.request_id, answer.revision, has_changed);
        for place in places(&users, &keys) {
            self.note(place, start, end, Action::Set(token.clone()));
        }
    }

    async fn remove(&mut self, token: String) {
        let (users, keys) = (self.some_users(), self.some_keys());
        let request = UntagResourcesRequest {
            client_token: token,
            ..untag_request(&users, &keys)
        };
        let start = self.shared.now();
        let answer = insist!(&mut self.again, self.tags, untag_resources, request).await;
        let has_changed = answer.changed_resources != Some(0);
        let end = self.made(start, answer.request_id, answer.revision, has_changed);
        for place in places(&users, &keys) {
            self.note(place, start, end, Action::Remove);
        }
    }

    async fn read(&mut self) {
        let users = self.some_users();
        let request = ListTagResourcesRequest {
            resources: Some(Listed::ResourceIds(resource_ids(&users))),
            ..ListTagResourcesRequest::default()
        };
        let start = self.shared.now();
        let answer = insist!(&mut self.again, self.tags, list_tag_resources, request).await;
        let end = self.shared.now();
        let mut listed: HashMap<_, _> = answer
            .tag_resources
            .into_iter()
            .map(|tag| ((tag.resource_id, tag.tag_key), tag.tag_value))
            .collect();
        for (user, key) in places(&users, &KEYS) {
            let value = listed.remove(&(user.to_string(), key.to_owned()));
            self.note((user, key), start, end, Action::Saw(value));
        }
    }

    /// A change of any client, one of the last few, of which something may be as it was left.
    fn late_change(&mut self) -> Option<String> {
        let changes = self.shared.changes.lock().unwrap();
        let late = &changes[changes.len().saturating_sub(8)..];
        late.choose(&mut self.random).cloned()
    }

    /// Reverts a change of any client, as far as nothing was changed since.
    async fn revert(&mut self, token: String) {
        let Some(change) = self.late_change() else {
            return;
        };
        let reverted = self.effects(&change).await;
        let request = RevertChangeRequest {
            request_id: change,
            on_conflict: OnConflict::Skip.into(),
            client_token: token,
            validate_only: false,
        };
        let start = self.shared.now();
        let answer = insist!(&mut self.again, self.log, revert_change, request).await;
        let has_changed = answer.changed_resources != 0;
        let id = answer.request_id.clone();
        let end = self.made(start, answer.request_id, answer.revision, has_changed);
        // The answer to a repetition has no effects, and the log has.
        let done = if has_changed {
            self.reverts += 1;
            self.effects(&id).await
        } else {
            BTreeMap::new()
        };
        for (place, (before, after)) in reverted {
            let is_place = |user: &str, key: &str| user == place.0.to_string() && key == place.1;
            let mut conflicts = answer.conflicts.iter();
            let action = if let Some(done) = done.get(&place) {
                assert_eq!(*done, (after.clone(), before.clone()), "{place:?}");
                Action::Swap(after, before)
            } else if conflicts.any(|one| is_place(&one.resource_id, &one.tag_key)) {
                Action::SawNeither(after, before)
            } else {
                Action::Saw(before)
            };
            self.note(place, start, end, action);
        }
    }

    /// The value before and behind a change, of each tag that it has changed.
    async fn effects(&mut self, change: &str) -> BTreeMap<Place, Values> {
        let request = GetChangeRequest {
            change: Some(Which::RequestId(change.to_owned())),
            ..GetChangeRequest::default()
        };
        let answer = insist!(&mut self.again, self.log, get_change, request).await;
        let effects = answer.change.unwrap().effects;
        effects.into_iter().flat_map(values).collect()
    }

    /// Notes that a change was answered.
    fn made(
        &mut self,
        start: u64,
        request_id: String,
        revision: Option<i64>,
        has_changed: bool,
    ) -> u64 {
        let end = self.shared.now();
        if has_changed {
            let mut changes = self.shared.changes.lock().unwrap();
            changes.push(request_id.clone());
        }
        self.made.push(Made {
            start,
            end,
            request_id,
            revision: revision.map_or(0, i64::unsigned_abs),
            has_changed,
        });
        end
    }

    fn note(&mut self, place: Place, start: u64, end: u64, action: Action) {
        self.history.entry(place).or_default().push(Event {
            start,
            end: Some(end),
            action,
        });
    }
}

fn places(users: &[usize], keys: &[&'static str]) -> Vec<Place> {
    let of_user = |user: &usize| keys.iter().map(|key| (*user, *key)).collect::<Vec<_>>();
    users.iter().flat_map(of_user).collect()
}

/// The value before and behind an effect, of each tag that it has changed.
fn values(effect: Effect) -> Vec<(Place, Values)> {
    let Some(Kind::Tags(tags)) = effect.kind else {
        panic!("{effect:?}");
    };
    let user = effect.resource_id.parse().unwrap();
    let place = |key: String| {
        let key = KEYS.into_iter().find(|known| *known == key);
        (user, key.expect("a key of the history"))
    };
    let removed = tags.removed.into_iter();
    let removed = removed.map(|(key, value)| (place(key), (Some(value), None)));
    let set = tags.set.into_iter();
    let set = set.map(|(key, set)| (place(key), (set.old_value, Some(set.new_value))));
    removed.chain(set).collect()
}
