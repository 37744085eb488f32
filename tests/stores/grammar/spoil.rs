//! What makes a request wrong: a field that is too long, too large, empty, of another form, or of no method.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

/// A field, and values that are wrong or at the edge.
type Wrong = (&'static str, fn() -> Vec<Value>);

const WRONG: [Wrong; 25] = [
    ("resourceIds", wrong_ids),
    ("resourcePrincipalNames", wrong_names),
    ("tagKeys", wrong_keys),
    ("tags", wrong_tags),
    ("tagKey", || keys().into_iter().map(Value::from).collect()),
    ("tagValue", wrong_values),
    ("expectedValues", || {
        vec![
            json!({ "not named": "x" }),
            json!({ "env": "v".repeat(129) }),
            json!({}),
        ]
    }),
    ("all", || vec![json!(true), json!(false)]),
    ("pageSize", || {
        vec![json!(-1), json!(101), json!(i32::MAX), json!(i32::MIN)]
    }),
    ("nextToken", || {
        vec![json!("garbage"), json!("AAAA"), json!("\u{e9}")]
    }),
    ("clientToken", || {
        vec![
            json!("caf\u{e9}"),
            json!("t".repeat(65)),
            json!("t".repeat(64)),
            json!(""),
        ]
    }),
    ("resourceType", || {
        vec![json!("group"), json!("user"), json!("User")]
    }),
    ("revision", || {
        vec![json!("-1"), json!(i64::MAX.to_string()), json!("0")]
    }),
    ("requestId", || {
        vec![
            json!(""),
            json!("xyz"),
            json!("01a22a1d-0000-7ffd-8acd-befF61b02eee"),
        ]
    }),
    ("resourceId", || {
        vec![
            json!(""),
            json!("12a"),
            json!("1".repeat(33)),
            json!("9".repeat(32)),
        ]
    }),
    ("principalName", || {
        strings(&["", "no at", "a@b@c", "\u{e9}@example.com", "@b", "a@"])
    }),
    ("newPrincipalName", || strings(&["no at", "a@b@c", "@"])),
    ("principalNamePrefix", || {
        strings(&["a b", "%", "\u{e9}", "@@"])
    }),
    ("displayName", || {
        vec![
            json!("d".repeat(25)),
            json!("\u{5c0f}".repeat(24)),
            json!("a\u{0}"),
        ]
    }),
    ("comments", || {
        vec![
            json!("c".repeat(129)),
            json!("\u{5c0f}".repeat(128)),
            json!("a\u{0}"),
        ]
    }),
    ("updateMask", || {
        strings(&["tags", "resourceId", "comments,comments", "createTime"])
    }),
    ("order", || vec![json!(9), json!(-1)]),
    ("onConflict", || vec![json!(9), json!(-1)]),
    ("mode", || vec![json!(9), json!(-1)]),
    ("noSuchField", || vec![json!("x")]),
];

fn strings(words: &[&str]) -> Vec<Value> {
    words.iter().map(|word| json!(word)).collect()
}

fn keys() -> Vec<String> {
    let words = [
        "", "aliyun", "acs:x", "http://x", "https://", "a\u{0}", "ALIYUN",
    ];
    let words = words.into_iter().map(str::to_owned);
    words
        .chain(["k".repeat(129), "\u{952e}".repeat(128)])
        .collect()
}

fn wrong_values() -> Vec<Value> {
    let long = [json!("v".repeat(129)), json!("\u{503c}".repeat(128))];
    let words = strings(&["http://x", "x https://", "a\u{0}"]);
    words.into_iter().chain(long).collect()
}

fn wrong_ids() -> Vec<Value> {
    let many: Vec<_> = (0..51).map(|id: u32| format!("0{id}")).collect();
    let values = [
        json!([]),
        json!([""]),
        json!(["12a"]),
        json!(["01", "01"]),
        json!(["1".repeat(33)]),
    ];
    let more = [
        json!(many),
        json!(many[..50]),
        json!(["01", "x", "02", "y"]),
    ];
    let values = values.into_iter().chain(more);
    values.map(|values| json!({ "values": values })).collect()
}

fn wrong_names() -> Vec<Value> {
    let long = format!("{}@b", "a".repeat(65));
    let values = [
        json!([]),
        json!([""]),
        json!(["no at", "a@b"]),
        json!(["a@b", "A@B"]),
        json!([long]),
    ];
    values.map(|values| json!({ "values": values })).to_vec()
}

fn wrong_keys() -> Vec<Value> {
    let many: Vec<_> = (0..21).map(|key| format!("k{key}")).collect();
    let lists = keys().into_iter().map(|key| json!(["env", key]));
    lists
        .chain([
            json!([]),
            json!(["env", "env"]),
            json!(many),
            json!(many[..20]),
        ])
        .collect()
}

fn wrong_tags() -> Vec<Value> {
    let tag = |key: &str, value: Value| json!({ "key": key, "value": value });
    let many: Vec<_> = (0..21)
        .map(|key| tag(&format!("k{key}"), json!("x")))
        .collect();
    let keys = keys().into_iter().map(|key| json!([tag(&key, json!("x"))]));
    let values = wrong_values()
        .into_iter()
        .map(|value| json!([tag("env", value)]));
    let twice = json!([tag("env", json!("a")), tag("env", json!("b"))]);
    keys.chain(values)
        .chain([json!([]), twice, json!(many), json!(many[..20])])
        .collect()
}

/// Makes a request wrong, or only strange.
pub fn spoil(random: &mut StdRng, body: &mut Value) {
    match body {
        Value::Array(messages) => spoil_import(random, messages),
        Value::Object(fields) => {
            if let Some(Value::Object(user)) = fields.get_mut("user").filter(|_| random.random()) {
                spoil_field(random, user);
            } else {
                spoil_field(random, fields);
            }
        }
        _ => {}
    }
}

/// Takes a field away, or gives one another value: mostly one that is there.
fn spoil_field(random: &mut StdRng, fields: &mut Map<String, Value>) {
    let there: Vec<_> = fields.keys().cloned().collect();
    if let Some(field) = there.choose(random).filter(|_| random.random_ratio(1, 5)) {
        fields.remove(field);
        return;
    }
    let is_there = |(field, _): &&Wrong| there.iter().any(|one| one == field);
    let fitting: Vec<_> = WRONG.iter().filter(is_there).collect();
    let is_any = fitting.is_empty() || random.random_ratio(1, 10);
    let chosen = if is_any {
        WRONG.choose(random)
    } else {
        fitting.choose(random).copied()
    };
    let (field, values) = chosen.expect("there are some");
    let value = values().choose(random).cloned().unwrap_or_default();
    fields.insert((*field).to_owned(), value);
}

/// Spoils the settings, a line or the order of an import.
fn spoil_import(random: &mut StdRng, messages: &mut Vec<Value>) {
    if messages.is_empty() {
        return;
    }
    match random.random_range(0..6) {
        0 => {
            messages.remove(0);
        }
        1 => messages.push(messages[0].clone()),
        2 => messages.push(json!({ "chunk": {} })),
        3 => messages.reverse(),
        4 => {
            if let Some(Value::Object(settings)) = messages[0].get_mut("settings") {
                spoil_field(random, settings);
            }
        }
        _ => {
            let lines = messages
                .last_mut()
                .and_then(|last| last.pointer_mut("/chunk/lines/0/user"));
            if let Some(Value::Object(user)) = lines {
                spoil_field(random, user);
            }
        }
    }
}
