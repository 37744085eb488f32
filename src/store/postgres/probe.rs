//! Every kind of statement, tried before the service is ready: what the database can't plan, or does not let its role do, shows
//! there and not in a request.

use futures_util::future::try_join_all;
use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::session::{Parameters, Session};
use super::statements::{
    BY_ID, BY_NAME, ByTarget, CHANGE_USERS, GET_USER_BY_ID, GET_USER_BY_NAME, LIST_ALL_USERS,
    LIST_USERS, SCAN,
};

/// An account that does not exist, since it is no account.
const NOBODY: &str = "";

/// Sends every kind of statement for an account that does not exist.
pub async fn try_statements(session: &Session) -> Result<(), Error> {
    let mut statements = vec![(SCAN, scan())];
    statements.extend(of_users());
    for by_target in [&BY_ID, &BY_NAME] {
        statements.extend(of(by_target));
    }
    let sent = statements
        .iter()
        .map(|(sql, parameters)| session.query(sql, parameters));
    try_join_all(sent).await.map(drop)
}

fn of(by_target: &ByTarget) -> Vec<(&'static str, Parameters)> {
    let mut statements = vec![(by_target.find, targets())];
    let keys = &by_target.untag_keys;
    for sql in [keys.waiting, keys.passing] {
        let mut parameters = targets();
        parameters.push((Box::new(false), Type::BOOL));
        parameters.push((Box::new(vec!["key"]), Type::TEXT_ARRAY));
        statements.push((sql, parameters));
    }
    let all = &by_target.untag_all;
    for sql in [all.waiting, all.passing] {
        let mut parameters = targets();
        parameters.push((Box::new(false), Type::BOOL));
        statements.push((sql, parameters));
    }
    let mut shared = targets();
    shared.push((Box::new(vec![1_i64]), Type::INT8_ARRAY));
    shared.push((Box::new(vec![Some("{key}")]), Type::TEXT_ARRAY));
    statements.push((by_target.untag_shared, shared));
    let mut tag = targets();
    tag.push((Box::new("{}"), Type::TEXT));
    tag.push((Box::new(20_i64), Type::INT8));
    statements.push((by_target.tag, tag));
    statements
}

fn of_users() -> Vec<(&'static str, Parameters)> {
    let text = |text: &'static str| (Box::new(text) as _, Type::TEXT);
    let number = |number: i64| (Box::new(number) as _, Type::INT8);
    vec![
        (
            CHANGE_USERS,
            vec![text(NOBODY), number(0), number(0), text("[]")],
        ),
        (GET_USER_BY_ID, vec![text(NOBODY), text("1"), number(0)]),
        (GET_USER_BY_NAME, vec![text(NOBODY), text("a@b")]),
        (LIST_USERS, vec![text(NOBODY), text(""), number(1)]),
        (
            LIST_ALL_USERS,
            vec![text(NOBODY), text(""), number(1), number(0)],
        ),
    ]
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
