//! Requests about tags and changes.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

use super::words::{id, key, keys, page_size, percent, pick, targets, token, value};

/// What earlier answers have told, by the names that they have in requests.
#[derive(Default)]
pub struct Known {
    /// Changes of an account: its place, the name of the RequestId and the revision.
    pub changes: Vec<(usize, String, u64)>,
    /// Positions of watches, with the place of their account.
    pub positions: Vec<(usize, Value)>,
    /// The names of moments.
    pub moments: Vec<String>,
    /// The names of ids that the services have made.
    pub ids: Vec<(usize, String)>,
}

impl Known {
    /// The newest revision of an account.
    pub fn newest(&self, account: usize) -> u64 {
        let mine = self.changes.iter().filter(|(owner, ..)| *owner == account);
        mine.map(|(.., revision)| *revision).max().unwrap_or(0)
    }

    /// The name of the RequestId of a change, mostly a late one of the account.
    pub fn change(&self, random: &mut StdRng, account: usize) -> Option<String> {
        let mine: Vec<_> = self
            .changes
            .iter()
            .filter(|(owner, ..)| *owner == account || percent(random, 1))
            .collect();
        let late = if percent(random, 80) { 6 } else { 200 };
        let late = &mine[mine.len().saturating_sub(late)..];
        late.choose(random).map(|(_, name, _)| name.clone())
    }
}

/// An object of JSON, to be filled.
pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => unreachable!("{other} is no object"),
    }
}

pub fn put(body: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    body.insert(field.to_owned(), value.into());
}

pub fn untag(random: &mut StdRng) -> Value {
    let mut body = Map::new();
    targets(random, &mut body);
    let keys = keys(random, 6);
    let is_all = percent(random, 12);
    if !is_all && percent(random, 25) {
        let expected = keys.iter().filter(|_| percent(random, 60));
        let expected: Vec<_> = expected.cloned().collect();
        let expected = expected.into_iter().map(|key| (key, value(random).into()));
        let expected: Map<_, _> = expected.collect();
        put(&mut body, "expectedValues", expected);
        put(&mut body, "skipMismatched", percent(random, 50));
    }
    if is_all {
        put(&mut body, "all", true);
    } else {
        put(&mut body, "tagKeys", keys);
    }
    put(&mut body, "allowMissing", percent(random, 40));
    put(&mut body, "validateOnly", percent(random, 10));
    with_token(random, &mut body);
    body.into()
}

pub fn with_token(random: &mut StdRng, body: &mut Map<String, Value>) {
    if percent(random, 20) {
        put(body, "clientToken", token(random));
    }
}

pub fn tag(random: &mut StdRng) -> Value {
    let mut body = Map::new();
    targets(random, &mut body);
    let tags = keys(random, 8).into_iter();
    let tags: Vec<_> = tags
        .map(|key| json!({ "key": key, "value": value(random) }))
        .collect();
    put(&mut body, "tags", tags);
    with_token(random, &mut body);
    body.into()
}

pub fn list(random: &mut StdRng, newest: u64) -> Value {
    let mut body = Map::new();
    let by_users = percent(random, 60);
    if by_users {
        targets(random, &mut body);
    }
    if !by_users || percent(random, 40) {
        let filters = keys(random, 2).into_iter();
        let filters: Vec<_> = filters
            .map(|key| {
                let mut filter = object(json!({ "key": key }));
                if percent(random, 40) {
                    put(&mut filter, "value", value(random));
                }
                Value::from(filter)
            })
            .collect();
        put(&mut body, "tags", filters);
    }
    if by_users && percent(random, 40) {
        put(
            &mut body,
            "revision",
            random.random_range(0..=newest + 1).to_string(),
        );
    }
    put(&mut body, "pageSize", page_size(random));
    body.into()
}

pub fn list_keys(_: &mut StdRng) -> Value {
    json!({})
}

pub fn list_values(random: &mut StdRng) -> Value {
    json!({ "tagKey": key(random) })
}

pub fn get_change(random: &mut StdRng, known: &Known, account: usize) -> Value {
    let mut body = Map::new();
    let change = known.change(random, account);
    if let Some(change) = change.filter(|_| percent(random, 60)) {
        put(&mut body, "requestId", change);
    } else {
        let newest = known.newest(account);
        let revision = random.random_range(0..=newest + 1);
        put(&mut body, "revision", revision.to_string());
    }
    body.into()
}

const ACTIONS: [&str; 9] = [
    "ram:UntagResources",
    "TagResources",
    "ram:CreateUser",
    "UpdateUser",
    "ram:DeleteUser",
    "untag:RevertChange",
    "ram:UndeleteUser",
    "untag:ImportUsers",
    "ram:NoSuchAction",
];

pub fn list_changes(random: &mut StdRng, known: &Known) -> Value {
    let mut body = Map::new();
    if percent(random, 30) {
        put(&mut body, "resourceId", id(random));
    }
    if percent(random, 25) {
        put(&mut body, "tagKey", key(random));
    }
    if percent(random, 10) {
        put(&mut body, "caller", pick(random, &["anonymous", "jwt:a"]));
    }
    if percent(random, 25) {
        put(&mut body, "action", pick(random, &ACTIONS));
    }
    for field in ["startTime", "endTime"] {
        if let Some(moment) = known.moments.choose(random).filter(|_| percent(random, 25)) {
            put(&mut body, field, moment.clone());
        }
    }
    let orders = [
        "CHANGE_ORDER_UNSPECIFIED",
        "CHANGE_ORDER_NEWEST_FIRST",
        "CHANGE_ORDER_OLDEST_FIRST",
    ];
    put(&mut body, "order", pick(random, &orders));
    put(&mut body, "pageSize", page_size(random));
    body.into()
}

pub fn revert(random: &mut StdRng, known: &Known, account: usize) -> Value {
    let mut body = Map::new();
    let change = known.change(random, account);
    let absent = "01A22A1D-0000-7FFD-8ACD-BEFF61B02EEE";
    put(
        &mut body,
        "requestId",
        change.unwrap_or_else(|| absent.to_owned()),
    );
    let on_conflict = [
        "ON_CONFLICT_UNSPECIFIED",
        "ON_CONFLICT_FAIL",
        "ON_CONFLICT_SKIP",
        "ON_CONFLICT_SKIP",
    ];
    put(&mut body, "onConflict", pick(random, &on_conflict));
    put(&mut body, "validateOnly", percent(random, 20));
    with_token(random, &mut body);
    body.into()
}

pub fn watch(random: &mut StdRng, known: &Known, account: usize) -> Value {
    let mine = known
        .positions
        .iter()
        .filter(|(owner, _)| *owner == account);
    let positions: Vec<_> = mine.map(|(_, position)| position).collect();
    let position = positions.choose(random);
    if let Some(position) = position.filter(|_| percent(random, 40)) {
        return json!({ "after": position });
    }
    let starts = ["BEGINNING", "SNAPSHOT", "NOW"];
    json!({ "startAt": format!("WATCH_START_{}", pick(random, &starts)) })
}
