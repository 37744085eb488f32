//! Random commands, on the store and on the model.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Handle;
use untag::domain::{
    Expected, ImportMode, Imported, ListQuery, NewUser, OnMismatch, Resource, TagCommand, TagKey,
    TagSelection, Targets, Timestamp, UntagCommand, UserChange, UserListQuery, UserQuery,
};

use super::Backend;
use super::counts::{AskCounts as _, Counts};
use super::fixtures::*;
use super::model::Model;
use super::replay;
use super::user_fixtures::*;

/// The users that exist at first are 0 to 4; a command may name two more.
pub const USERS: usize = 5;
pub const NAMED: usize = USERS + 2;
/// More keys than a user may carry.
const KEYS: usize = 26;

#[derive(Debug, Clone)]
pub enum Step {
    Untag(UntagCommand),
    Tag(TagCommand),
    List(ListQuery),
    /// Changes of users of an account.
    Change(&'static str, Vec<UserChange>),
    /// An import of users of an account in a mode, which may only validate.
    Import(&'static str, ImportMode, Vec<NewUser>, bool),
    /// A query about a user, whose time is that of the step.
    Get(UserQuery),
    /// A list of users, whose time is that of the step.
    ListUsers(UserListQuery),
    /// The counts of the keys of an account.
    Keys(&'static str),
    /// The counts of the values of a key.
    Values(&'static str, String),
    /// So many days pass.
    Wait(i64),
}

/// What is compared of the answer to a step.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Changed(Result<Counted, Refused>),
    Listed(Result<Vec<(String, String, String)>, Refused>),
    Users(Result<Vec<Seen>, Refused>),
    Imported(Imported),
    User(Option<Seen>),
    UserList(Vec<Seen>),
    Counts(Counts),
    Nothing,
}

impl Step {
    /// The step without what the store of a backend does not do.
    fn for_store_of<B: Backend>(self) -> Self {
        match self {
            Self::Untag(mut command) => {
                command.expected = command.expected.filter(|_| B::KEEPS_USERS);
                Self::Untag(command)
            }
            step => step,
        }
    }

    /// What a store answers at this time.
    pub async fn ask(&self, backend: &impl Backend, now: i64) -> Answer {
        match self.clone() {
            Self::Untag(command) => Answer::Changed(backend.untag(command).await),
            Self::Tag(command) => Answer::Changed(backend.tag(command).await),
            Self::List(query) => Answer::Listed(backend.listed(query).await),
            Self::Change(account, changes) => {
                let command = command(account, now, changes);
                Answer::Users(backend.command(command).await)
            }
            Self::Import(account, mode, users, dry) => {
                let command = import(account, now, mode, users, dry);
                Answer::Imported(backend.import(command).await)
            }
            Self::Get(mut query) => {
                query.time = Timestamp::from_millis(now);
                Answer::User(backend.query(query).await)
            }
            Self::ListUsers(mut query) => {
                query.time = Timestamp::from_millis(now);
                Answer::UserList(backend.user_pages(query).await)
            }
            Self::Keys(account) => Answer::Counts(backend.keys(account).await),
            Self::Values(account, key) => Answer::Counts(backend.values(account, &key).await),
            Self::Wait(_) => Answer::Nothing,
        }
    }

    /// What the model answers at this time.
    pub fn expected(&self, model: &mut Model, now: i64) -> Answer {
        match self.clone() {
            Self::Untag(command) => Answer::Changed(model.untag(&command)),
            Self::Tag(command) => Answer::Changed(model.tag(&command)),
            Self::List(query) => Answer::Listed(model.list(&query)),
            Self::Change(account, changes) => {
                let command = command(account, now, changes);
                Answer::Users(model.change_users(&command))
            }
            Self::Import(account, mode, users, dry) => {
                let command = import(account, now, mode, users, dry);
                Answer::Imported(model.import(&command))
            }
            Self::Get(mut query) => {
                query.time = Timestamp::from_millis(now);
                Answer::User(model.get_user(&query))
            }
            Self::ListUsers(mut query) => {
                query.time = Timestamp::from_millis(now);
                Answer::UserList(model.list_users(&query))
            }
            Self::Keys(account) => Answer::Counts(model.keys(account)),
            Self::Values(account, key) => Answer::Counts(model.values(account, &key)),
            Self::Wait(_) => Answer::Nothing,
        }
    }
}

pub fn users() -> Vec<Resource> {
    let tags = numbered_tags("key-", KEYS, "first");
    let user = |account: &&str, number: usize| {
        let name = format!("User-{number}@Example.com");
        // From a few tags to as many as a user may have.
        user_of(
            account,
            &number.to_string(),
            &name,
            &borrowed(&tags)[..number * 5],
        )
    };
    ACCOUNTS[..2]
        .iter()
        .flat_map(|account| (0..USERS).map(move |number| user(account, number)))
        .collect()
}

pub fn accounts() -> impl Strategy<Value = &'static str> {
    // The empty account is worth a look now and then.
    prop_oneof![8 => Just(ACCOUNTS[0]), 4 => Just(ACCOUNTS[1]), 1 => Just(ACCOUNTS[2])]
}

fn targets() -> impl Strategy<Value = Targets> {
    // Mostly users that exist, since one that doesn't refuses the whole command.
    let number = prop_oneof![12 => 0..USERS, 1 => USERS..NAMED];
    let order = btree_set(number, 1..5)
        .prop_map(Vec::from_iter)
        .prop_shuffle();
    (order, any::<bool>(), any::<bool>()).prop_map(|(numbers, by_name, loud)| {
        if !by_name {
            return ids(numbers.iter().map(ToString::to_string));
        }
        let name = |number: &usize| {
            let name = format!("user-{number}@example.com");
            if loud { name.to_uppercase() } else { name }
        };
        let all: Vec<_> = numbers.iter().map(name).collect();
        names(&all.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

pub fn some_keys(most: usize) -> impl Strategy<Value = BTreeSet<String>> {
    btree_set(
        (0..KEYS).prop_map(|number| format!("key-{number}")),
        1..=most,
    )
}

pub fn value() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just("first"), Just("second"), Just("值")]
}

pub fn untag_step() -> impl Strategy<Value = Step> {
    let selection = prop_oneof![
        1 => Just(TagSelection::All),
        6 => some_keys(8).prop_map(keys),
    ];
    let switches = (any::<bool>(), proptest::bool::weighted(0.2));
    let values = (
        vec(proptest::option::weighted(0.3, value()), 8),
        any::<bool>(),
    );
    (accounts(), targets(), selection, switches, values).prop_map(
        |(account, targets, selection, (allow_missing, validate_only), values)| {
            let account = self::account(account);
            let expected = expected_of(&selection, values);
            Step::Untag(UntagCommand {
                account,
                targets,
                selection,
                expected,
                allow_missing,
                validate_only,
            })
        },
    )
}

/// Values for some of the keys. The cloud compares none.
fn expected_of(
    selection: &TagSelection,
    (values, skip): (Vec<Option<&str>>, bool),
) -> Option<Expected> {
    let TagSelection::Keys(keys) = selection else {
        return None;
    };
    let with_value = |(key, value): (&TagKey, Option<_>)| Some((key.to_string(), value?));
    let pairs: Vec<_> = keys.iter().zip(values).filter_map(with_value).collect();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), *value))
        .collect();
    let on_mismatch = if skip {
        OnMismatch::Skip
    } else {
        OnMismatch::Fail
    };
    (!pairs.is_empty()).then(|| expected(&pairs, on_mismatch))
}

pub fn tag_step() -> impl Strategy<Value = Step> {
    (accounts(), targets(), some_keys(8), vec(value(), 8)).prop_map(
        |(account, targets, keys, values)| {
            let tags: Vec<_> = keys.iter().map(String::as_str).zip(values).collect();
            let mut command = tag(targets, &tags);
            command.account = self::account(account);
            Step::Tag(command)
        },
    )
}

pub fn list_step() -> impl Strategy<Value = Step> {
    let filters = (
        some_keys(3),
        vec(proptest::option::weighted(0.3, value()), 3),
    );
    let targets = proptest::option::of(targets());
    (
        accounts(),
        targets,
        proptest::option::of(filters),
        1..=100_usize,
    )
        .prop_map(|(account, targets, filters, size)| {
            let (keys, values) = filters.unwrap_or_default();
            let filters: Vec<_> = keys.iter().map(String::as_str).zip(values).collect();
            // Everybody's tags are listed by a filter only.
            let everybody = filters.is_empty().then(|| ids(["0"]));
            let mut query = list(targets.or(everybody), &filters);
            query.account = self::account(account);
            query.page_size = page_size(size);
            Step::List(query)
        })
}

/// Commands that change something.
pub fn changes() -> impl Strategy<Value = Vec<Step>> {
    let untag = untag_step().prop_map(|step| match step {
        Step::Untag(command) => Step::Untag(UntagCommand {
            validate_only: false,
            ..command
        }),
        step => step,
    });
    vec(prop_oneof![6 => untag, 1 => tag_step()], 1..30)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        prop_oneof![3 => untag_step(), 4 => tag_step(), 3 => list_step()],
        1..40,
    )
}

pub async fn random_commands_answer_as_the_model_does<B: Backend>() {
    for_each::<B, _, _>(steps(), run_steps::<B>);
}

/// Runs a test with random cases, as many as a backend has.
pub fn for_each<B: Backend, T: std::fmt::Debug, F: Future<Output = Result<(), TestCaseError>>>(
    cases: impl Strategy<Value = T>,
    test: impl Fn(T) -> F,
) {
    let config = Config {
        cases: B::RANDOM_CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let run = || TestRunner::new(config).run(&cases, |case| Handle::current().block_on(test(case)));
    // The steps are awaited inside of the runner's closure, which isn't async.
    if let Err(error) = tokio::task::block_in_place(run) {
        panic!("{error}");
    }
}

pub async fn run_steps<B: Backend>(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let backend = B::start(users()).await;
    let mut model = Model::new(&users());
    let mut now = START;
    for step in steps {
        let step = step.for_store_of::<B>();
        // Commands at one moment, and later ones.
        now += if let Step::Wait(days) = step {
            days * 24 * 60 * 60 * 1_000
        } else {
            i64::from(matches!(step, Step::Change(..) | Step::Import(..)))
        };
        let expected = step.expected(&mut model, now);
        prop_assert_eq!(step.ask(&backend, now).await, expected, "{:?}", step);
    }
    prop_assert_eq!(backend.contents().await, model.contents());
    replay::check(&backend, &users()).await;
    Ok(())
}
