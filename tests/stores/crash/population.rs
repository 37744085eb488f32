//! Commands that let users come and go, and what the store has to hold after them.
//!
//! A worker's commands follow from its seed and its users, so that a process that dies has to say only how it was answered. No worker names
//! another's users or principal names.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use untag::domain::{
    AccountId, Edit, NewUser, PrincipalName, ResourceId, TagCommand, TagKey, TagSelection,
    TagValue, Targets, Timestamp, UntagCommand, User, UserChange, UserCommand, UserUpdate,
};
use untag::store::{Store, StoreError};

use super::model::ACCOUNT;
use crate::support::origin;
use crate::support::replay::with_tags;

/// How many users and how many names a worker has.
const USERS: usize = 8;
const NAMES: usize = 20;
const KEYS: [&str; 3] = ["a", "b", "c"];
/// The moment of the first command. No user expires in the course of a test.
pub const START: i64 = 1_700_000_000_000;

/// A command of a worker.
#[derive(Debug, Clone)]
pub enum Command {
    Users(Arc<UserCommand>),
    Untag(Arc<UntagCommand>),
    Tag(Arc<TagCommand>),
}

/// How a command was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Missing,
    Exists,
    NameTaken,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Done, Self::Missing, Self::Exists, Self::NameTaken];

    fn of<T>(result: Result<T, StoreError>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(StoreError::Missing(_)) => Self::Missing,
            Err(StoreError::UserExists(_)) => Self::Exists,
            Err(StoreError::NameTaken(_)) => Self::NameTaken,
            Err(error) => panic!("the store failed: {error:?}"),
        }
    }

    /// The outcome that shows itself like this.
    pub fn parse(text: &str) -> Option<Self> {
        let is_it = |outcome: &Self| format!("{outcome:?}") == text;
        Self::ALL.into_iter().find(is_it)
    }
}

impl Command {
    pub async fn send(&self, store: &impl Store) -> Outcome {
        match self {
            Self::Users(command) => {
                Outcome::of(store.change_users(Arc::clone(command), origin()).await)
            }
            Self::Untag(command) => Outcome::of(store.untag(Arc::clone(command), origin()).await),
            Self::Tag(command) => Outcome::of(store.tag(Arc::clone(command), origin()).await),
        }
    }
}

/// The id of a worker's user.
fn id(worker: usize, user: usize) -> ResourceId {
    ResourceId::parse(format!("{}", 1000 + worker * 100 + user)).unwrap()
}

/// The worker whose user has this id.
pub fn worker_of(id: &ResourceId) -> usize {
    (id.as_str().parse::<usize>().unwrap() - 1000) / 100
}

/// A worker: its users, and what it does next.
#[derive(Debug)]
pub struct Worker {
    number: usize,
    random: StdRng,
    time: i64,
    /// How many users one command creates, updates, deletes or restores at most.
    most_changes: usize,
    pub population: Population,
}

impl Worker {
    pub fn new(seed: u64, number: usize, population: Population) -> Self {
        Self {
            number,
            random: StdRng::seed_from_u64(seed ^ number as u64),
            time: START,
            most_changes: USERS,
            population,
        }
    }

    /// The same worker, whose commands create, update, delete or restore one user each, as the requests of the service do.
    pub fn with_one_change(self) -> Self {
        Self {
            most_changes: 1,
            ..self
        }
    }

    /// The next command, which can be carried out more often than not.
    pub fn command(&mut self) -> Command {
        self.time += 1;
        let account = AccountId::parse(ACCOUNT).unwrap();
        let count = [1, 1, 2, 4][self.random.random_range(0..4)];
        let mut users: Vec<_> = (0..USERS).collect();
        let mut any = || users.swap_remove(self.random.random_range(0..users.len()));
        let ids: Vec<_> = (0..count).map(|_| id(self.number, any())).collect();
        let key = TagKey::parse(KEYS[self.random.random_range(0..3)]).unwrap();
        match self.random.random_range(0..8) {
            0 => Command::Untag(Arc::new(UntagCommand {
                account,
                targets: Targets::Ids(ids),
                selection: TagSelection::Keys(vec![key]),
                expected: None,
                allow_missing: false,
                validate_only: false,
            })),
            1 => Command::Tag(Arc::new(TagCommand {
                account,
                targets: Targets::Ids(ids),
                tags: vec![(key, TagValue::parse(self.time.to_string()).unwrap())],
            })),
            _ => {
                let ids = ids.into_iter().take(self.most_changes);
                let changes = ids.map(|id| self.change(id)).collect();
                let time = Timestamp::from_millis(self.time);
                let command = UserCommand::new(account, time, changes);
                Command::Users(Arc::new(command.unwrap()))
            }
        }
    }

    /// A change of a user that fits what there is of it, or, now and then, any.
    fn change(&mut self, id: ResourceId) -> UserChange {
        let random = &mut self.random;
        let name = random.random_range(0..NAMES);
        let name = PrincipalName::parse(format!("name-{name}@worker-{}", self.number)).unwrap();
        let fitting = match self.population.0.get(&id) {
            None => 0,
            Some(user) if user.delete_time.is_some() => 3,
            Some(_) => random.random_range(1..3),
        };
        let kind = if random.random_ratio(1, 20) {
            random.random_range(0..4)
        } else {
            fitting
        };
        match kind {
            0 => {
                let value = TagValue::parse("created").unwrap();
                let tags = KEYS.map(|key| (TagKey::parse(key).unwrap(), value.clone()));
                UserChange::Create(NewUser::new(id, name, tags.into()).unwrap())
            }
            1 => UserChange::Update(UserUpdate {
                id,
                principal_name: Some(name),
                display_name: Edit::Keep,
                comments: Edit::Keep,
                tags: None,
            }),
            2 => UserChange::Delete { id },
            _ => UserChange::Restore {
                id,
                new_name: random.random_bool(0.5).then_some(name),
            },
        }
    }
}

/// The users of a worker by id, the deleted ones too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Population(BTreeMap<ResourceId, User>);

impl Population {
    /// Adds a user that was found.
    pub fn add(&mut self, user: User) {
        self.0.insert(user.resource.id.clone(), user);
    }

    /// Makes the command where the store has to. Returns how it has to be answered.
    pub fn apply(&mut self, command: &Command) -> Outcome {
        let mut after = self.clone();
        let made = match command {
            Command::Users(command) => after.change(command),
            Command::Untag(command) => after.retag(&command.targets, |tags| {
                tags.retain(|key, _| !command.selection.contains(key.as_str().as_bytes()));
            }),
            Command::Tag(command) => after.retag(&command.targets, |tags| {
                tags.extend(command.tags.iter().cloned());
            }),
        };
        match made {
            Ok(()) => {
                *self = after;
                Outcome::Done
            }
            Err(outcome) => outcome,
        }
    }

    /// The users, in order of their ids.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.0.values()
    }

    fn is_there(&self, id: &ResourceId) -> bool {
        self.0
            .get(id)
            .is_some_and(|user| user.delete_time.is_none())
    }

    fn change(&mut self, command: &UserCommand) -> Result<(), Outcome> {
        let is_known = |id: &ResourceId| self.0.contains_key(id);
        let is_missing = |change: &UserChange| match change {
            UserChange::Create(_) => false,
            UserChange::Restore { id, .. } => !is_known(id),
            UserChange::Update(_) | UserChange::Delete { .. } => !self.is_there(change.id()),
        };
        let exists = |change: &UserChange| match change {
            UserChange::Create(new) => is_known(&new.id),
            UserChange::Restore { id, .. } => self.is_there(id),
            UserChange::Update(_) | UserChange::Delete { .. } => false,
        };
        if command.changes().iter().any(is_missing) {
            return Err(Outcome::Missing);
        }
        if command.changes().iter().any(exists) {
            return Err(Outcome::Exists);
        }
        let time = command.time();
        for change in command.changes() {
            let user = self.0.get(change.id());
            let user = match change {
                UserChange::Create(new) => new.created(command.account(), time),
                UserChange::Update(update) => update.updated(user.unwrap(), time),
                UserChange::Delete { .. } => User {
                    delete_time: Some(time),
                    ..user.unwrap().clone()
                },
                UserChange::Restore { new_name, .. } => {
                    let mut user = user.unwrap().clone();
                    (user.delete_time, user.update_time) = (None, Some(time));
                    if let Some(name) = new_name {
                        user.resource.principal_name = name.clone();
                    }
                    user
                }
            };
            self.add(user);
        }
        let there = self.0.values().filter(|user| user.delete_time.is_none());
        let names: Vec<_> = there
            .map(|user| user.resource.principal_name.folded())
            .collect();
        let different: HashSet<_> = names.iter().collect();
        if different.len() < names.len() {
            return Err(Outcome::NameTaken);
        }
        Ok(())
    }

    fn retag(
        &mut self,
        targets: &Targets,
        change: impl Fn(&mut BTreeMap<TagKey, TagValue>),
    ) -> Result<(), Outcome> {
        let Targets::Ids(ids) = targets else {
            panic!("users are named by their ids");
        };
        if !ids.iter().all(|id| self.is_there(id)) {
            return Err(Outcome::Missing);
        }
        for id in ids {
            let user = self.0.get_mut(id).unwrap();
            let mut tags = user.resource.tags().clone();
            change(&mut tags);
            user.resource = with_tags(&user.resource, tags);
        }
        Ok(())
    }
}
