//! Every kind of statement, tried before the service is ready: what the database can't plan, or does not let its role do, shows
//! there and not in a request.

use futures_util::future::try_join_all;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::origin;
use super::replica::Replica;
use super::session::{Parameters, Session};
use super::statements::{
    AUDIT_POSITION, CHANGE_BY_REQUEST_ID, CHANGE_BY_REVISION, CHANGE_USERS, CHANGES,
    CHANGES_OF_USER, COUNT_KEYS, COUNT_VALUES, FIND_BY_ID, FIND_BY_NAME, GET_USER_BY_ID,
    GET_USER_BY_NAME, HISTORY, LIST_ALL_USERS, LIST_USERS, MAKE_PLANNED, OWED, REMOVE_ALONE,
    REMOVE_SHARED, SCAN, SET_TAGS, UNAUDITED,
};

use crate::domain::{Action, Origin, Timestamp};

/// An account that does not exist, since it is no account.
const NOBODY: &str = "";
/// The RequestId of no request.
const NO_REQUEST: &str = "00000000-0000-0000-0000-000000000000";

type Parameter = (Box<dyn ToSql + Send + Sync>, Type);

/// Sends every kind of statement for an account that does not exist.
pub async fn try_statements(session: &Session) -> Result<(), Error> {
    let mut statements = vec![(SCAN, scan())];
    statements.extend(of_counts());
    statements.extend(of_users());
    statements.extend(of_tags());
    statements.extend(of_the_log());
    let sent = statements
        .iter()
        .map(|(sql, parameters)| session.query(sql, parameters));
    try_join_all(sent).await.map(drop)
}

fn text(text: &'static str) -> Parameter {
    (Box::new(text), Type::TEXT)
}

fn number(number: i64) -> Parameter {
    (Box::new(number), Type::INT8)
}

fn flag(flag: bool) -> Parameter {
    (Box::new(flag), Type::BOOL)
}

fn first_try() -> Parameter {
    (Box::new(1_i32), Type::INT4)
}

/// The origin of what nobody asks for.
fn nowhere() -> Origin {
    Origin::local(Action::UntagResources, Timestamp::from_millis(0))
}

/// The parts of an origin.
fn origin() -> Parameters {
    origin::of_one(&nowhere(), &Replica::default())
}

fn of_tags() -> Vec<(&'static str, Parameters)> {
    let mut statements = vec![(FIND_BY_ID, targets()), (FIND_BY_NAME, targets())];
    let list = || (Box::new(vec!["1"]) as _, Type::TEXT_ARRAY);
    for are_ids in [true, false] {
        let mut shared = vec![text(NOBODY), flag(are_ids), list()];
        shared.push((Box::new(vec![1_i64]), Type::INT8_ARRAY));
        shared.push((Box::new(vec![Some("{key}")]), Type::TEXT_ARRAY));
        shared.push((Box::new(vec![1_i32]), Type::INT4_ARRAY));
        shared.extend(origin::of_all(&[&nowhere()], &Replica::default()));
        statements.push((REMOVE_SHARED, shared));
        let mut alone = vec![text(NOBODY), flag(are_ids), flag(true), list()];
        alone.extend([text("{key}"), list(), list(), flag(true), first_try()]);
        alone.extend(origin());
        statements.push((REMOVE_ALONE, alone));
        let mut set = vec![
            text(NOBODY),
            flag(are_ids),
            list(),
            text("{}"),
            number(20),
            first_try(),
        ];
        set.extend(origin());
        statements.push((SET_TAGS, set));
    }
    statements
}

fn of_the_log() -> Vec<(&'static str, Parameters)> {
    let page = || vec![text(NOBODY), number(1), flag(false), number(1), number(1)];
    let mut of_user = page();
    of_user.push(text("1"));
    let mut unaudited = page();
    unaudited.push(text(NO_REQUEST));
    let nobody = (Box::new(Vec::<String>::new()) as _, Type::TEXT_ARRAY);
    let mut revert = vec![
        text(NOBODY),
        number(0),
        number(0),
        text("[]"),
        text("[]"),
        first_try(),
    ];
    revert.extend(origin());
    vec![
        (CHANGE_BY_REQUEST_ID, vec![text(NOBODY), text(NO_REQUEST)]),
        (CHANGE_BY_REVISION, vec![text(NOBODY), number(1)]),
        (CHANGES, page()),
        (CHANGES_OF_USER, of_user),
        (HISTORY, vec![text(NOBODY)]),
        (MAKE_PLANNED, revert),
        (UNAUDITED, unaudited),
        (AUDIT_POSITION, vec![text(NOBODY), text(NO_REQUEST)]),
        (OWED, vec![nobody]),
    ]
}

fn of_users() -> Vec<(&'static str, Parameters)> {
    let mut change = vec![text(NOBODY), number(0), number(0), text("[]"), first_try()];
    change.extend(origin());
    let users = || {
        let mut users = vec![text(NOBODY), text(""), number(1), number(1), text("")];
        users.push((Box::new(Vec::<String>::new()), Type::TEXT_ARRAY));
        users.extend([text("{}"), flag(false)]);
        users
    };
    let mut all_users = users();
    all_users.push(number(0));
    vec![
        (CHANGE_USERS, change),
        (GET_USER_BY_ID, vec![text(NOBODY), text("1"), number(0)]),
        (GET_USER_BY_NAME, vec![text(NOBODY), text("a@b")]),
        (LIST_USERS, users()),
        (LIST_ALL_USERS, all_users),
    ]
}

fn of_counts() -> [(&'static str, Parameters); 2] {
    let keys = || vec![text(NOBODY), text(""), number(2), number(1)];
    let mut values = keys();
    values.push(text("key"));
    [(COUNT_KEYS, keys()), (COUNT_VALUES, values)]
}

fn targets() -> Parameters {
    vec![
        (Box::new(NOBODY), Type::TEXT),
        (Box::new(vec!["1"]), Type::TEXT_ARRAY),
    ]
}

fn scan() -> Parameters {
    vec![
        (Box::new(NOBODY), Type::TEXT),
        (Box::new(""), Type::TEXT),
        (Box::new(1_i64), Type::INT8),
        (Box::new(Vec::<String>::new()), Type::TEXT_ARRAY),
        (Box::new("{}"), Type::TEXT),
        (Box::new(1_i64), Type::INT8),
    ]
}
