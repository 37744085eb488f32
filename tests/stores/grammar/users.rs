//! Requests about users.

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::requests::{Known, put, with_token};
use super::words::{IDS, id, key, keys, name, page_size, percent, pick, text, value};

/// An id: one of the words, or now and then one that the services have made.
fn some_id(random: &mut StdRng, known: &Known, account: usize) -> String {
    let made = known.ids.iter().find(|(owner, _)| *owner == account);
    match made.filter(|_| percent(random, 10)) {
        Some((_, made)) => made.clone(),
        None => id(random).to_owned(),
    }
}

fn tags(random: &mut StdRng) -> Map<String, Value> {
    if percent(random, 40) {
        return Map::new();
    }
    let most = if percent(random, 10) { 20 } else { 4 };
    let keys = keys(random, most).into_iter();
    keys.map(|key| (key, value(random).into())).collect()
}

fn described(random: &mut StdRng, user: &mut Map<String, Value>) {
    if percent(random, 30) {
        put(user, "displayName", text(random));
    }
    if percent(random, 30) {
        put(user, "comments", text(random));
    }
}

pub fn get(random: &mut StdRng, known: &Known, account: usize) -> Value {
    if percent(random, 50) {
        json!({ "resourceId": some_id(random, known, account) })
    } else {
        json!({ "principalName": name(random) })
    }
}

pub fn list(random: &mut StdRng) -> Value {
    let mut body = Map::new();
    if percent(random, 30) {
        let prefixes = [
            "u",
            "U",
            "u1",
            "u-",
            "u_",
            "ZOE",
            "x",
            "u1@example.com",
            "@",
            "u.",
        ];
        put(&mut body, "principalNamePrefix", pick(random, &prefixes));
    }
    match random.random_range(0..4) {
        0 => put(&mut body, "untagged", true),
        1 => {
            put(&mut body, "tagKey", key(random));
            if percent(random, 40) {
                put(&mut body, "tagValue", value(random));
            }
        }
        _ => {}
    }
    put(&mut body, "showDeleted", percent(random, 50));
    put(&mut body, "pageSize", page_size(random));
    body.into()
}

/// A user to create. An account has one id that the service makes: the order of several would not be the same.
pub fn create(random: &mut StdRng, known: &Known, account: usize) -> Value {
    let mut user = Map::new();
    let is_made = known.ids.iter().any(|(owner, _)| *owner == account);
    if is_made || percent(random, 95) {
        put(&mut user, "resourceId", some_id(random, known, account));
    }
    put(&mut user, "principalName", name(random));
    described(random, &mut user);
    put(&mut user, "tags", tags(random));
    let mut body = Map::new();
    put(&mut body, "user", user);
    with_token(random, &mut body);
    body.into()
}

pub fn update(random: &mut StdRng, known: &Known, account: usize) -> Value {
    let mut user = Map::new();
    put(&mut user, "resourceId", some_id(random, known, account));
    if percent(random, 60) {
        put(&mut user, "principalName", name(random));
    }
    described(random, &mut user);
    let mut body = Map::new();
    put(&mut body, "user", user);
    if percent(random, 40) {
        let fields = ["principalName", "displayName", "comments"];
        let mask: Vec<_> = fields.into_iter().filter(|_| percent(random, 40)).collect();
        put(&mut body, "updateMask", mask.join(","));
    }
    with_token(random, &mut body);
    body.into()
}

pub fn delete(random: &mut StdRng, known: &Known, account: usize) -> Value {
    let mut body = Map::new();
    put(&mut body, "resourceId", some_id(random, known, account));
    with_token(random, &mut body);
    body.into()
}

pub fn undelete(random: &mut StdRng, known: &Known, account: usize) -> Value {
    let mut body = Map::new();
    put(&mut body, "resourceId", some_id(random, known, account));
    if percent(random, 30) {
        put(&mut body, "newPrincipalName", name(random));
    }
    with_token(random, &mut body);
    body.into()
}

/// The messages of an import: settings, and one chunk or several of a few lines.
pub fn import(random: &mut StdRng) -> Value {
    let modes = ["UNSPECIFIED", "MERGE", "REPLACE_TAGS", "CREATE_ONLY"];
    let mut settings = Map::new();
    put(
        &mut settings,
        "mode",
        format!("IMPORT_MODE_{}", pick(random, &modes)),
    );
    put(&mut settings, "validateOnly", percent(random, 15));
    with_token(random, &mut settings);
    let mut messages = vec![json!({ "settings": settings })];
    let mut number = 0;
    for _ in 0..random.random_range(1..4) {
        let lines: Vec<_> = (0..random.random_range(1..8))
            .map(|_| {
                number += random.random_range(1..3);
                json!({ "number": number.to_string(), "user": line(random) })
            })
            .collect();
        messages.push(json!({ "chunk": { "lines": lines } }));
    }
    messages.into()
}

/// The user of a line, who is wrong now and then.
fn line(random: &mut StdRng) -> Map<String, Value> {
    let mut user = Map::new();
    if percent(random, 98) {
        put(&mut user, "resourceId", id(random));
    }
    let named = if percent(random, 98) {
        name(random)
    } else {
        "no name".to_owned()
    };
    put(&mut user, "principalName", named);
    described(random, &mut user);
    put(&mut user, "tags", tags(random));
    user
}

/// An import that puts most users into an account.
pub fn first_import() -> Value {
    let lines: Vec<_> = IDS[..8]
        .iter()
        .enumerate()
        .map(|(at, id)| {
            let user = json!({ "resourceId": id, "principalName": super::words::NAMES[at] });
            json!({ "number": (at + 1).to_string(), "user": user })
        })
        .collect();
    json!([{ "settings": {} }, { "chunk": { "lines": lines } }])
}
