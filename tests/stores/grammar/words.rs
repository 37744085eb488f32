//! The words of the grammar: so few that requests meet each other's users, keys, values and tokens.

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

/// The accounts of requests; that of the server's default has none.
pub const ACCOUNTS: [Option<&str>; 3] = [Some("1"), Some("2"), None];

/// The metadata that names the account of a request.
pub const ACCOUNT_METADATA: &str = "x-acs-account-id";

/// The ids of users. All come before those that a service makes, so that their order is the same everywhere.
pub const IDS: [&str; 14] = [
    "01",
    "02",
    "03",
    "010",
    "001",
    "0100",
    "020",
    "0001",
    "07",
    "030",
    "0",
    "011",
    "00",
    "000000000000000002",
];

pub const NAMES: [&str; 14] = [
    "u0@example.com",
    "u1@example.com",
    "U2@Example.com",
    "u3@example.com",
    "u4@example.com",
    "u5@example.com",
    "u-6@example.com",
    "u.7@example.com",
    "u_8@example.com",
    "u9@example.com",
    "u1@other.example",
    "a@b",
    "Zoe@example.com",
    "zoe.9@example.com",
];

const VALUES: [&str; 9] = [
    "",
    "a",
    "b",
    "A",
    "\u{503c}",
    "it's \"so\" \\ %_",
    " a ",
    "line\nline",
    "\u{1f600}e\u{301}",
];

const TEXTS: [&str; 6] = ["", "Ann", "\u{5c0f}\u{660e}", "two words", "\"x\" \\", "z"];

const TOKENS: usize = 12;

/// Whether something happens that does so in so many percent of all cases.
pub fn percent(random: &mut StdRng, of_hundred: u32) -> bool {
    random.random_ratio(of_hundred, 100)
}

pub fn pick<'a, T: ?Sized>(random: &mut StdRng, words: &[&'a T]) -> &'a T {
    words.choose(random).copied().expect("there are words")
}

pub fn id(random: &mut StdRng) -> &'static str {
    // The first ones more often, which are mostly there.
    let most = if percent(random, 80) { 8 } else { IDS.len() };
    pick(random, &IDS[..most])
}

/// A name, in its own case or in another one.
pub fn name(random: &mut StdRng) -> String {
    let most = if percent(random, 80) { 8 } else { NAMES.len() };
    let name = pick(random, &NAMES[..most]);
    match random.random_range(0..6) {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        _ => name.to_owned(),
    }
}

/// A key: there are more than a user may carry.
pub fn key(random: &mut StdRng) -> String {
    match random.random_range(0..30) {
        0 => "Env".to_owned(),
        1 => "\u{952e}".to_owned(),
        2 => "k".repeat(128),
        3 => "it's \"a\" key \\ %".to_owned(),
        4 => " k".to_owned(),
        5..12 => "env".to_owned(),
        number => format!("k{number}"),
    }
}

pub fn value(random: &mut StdRng) -> String {
    if percent(random, 3) {
        return "v".repeat(128);
    }
    pick(random, &VALUES).to_owned()
}

pub fn text(random: &mut StdRng) -> &'static str {
    pick(random, &TEXTS)
}

pub fn token(random: &mut StdRng) -> String {
    format!("token {}", random.random_range(0..TOKENS))
}

/// Different keys, 1 to so many.
pub fn keys(random: &mut StdRng, most: usize) -> Vec<String> {
    let count = random.random_range(1..=most);
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = key(random);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The users of a request on tags: most often one or two, by id or by name.
pub fn targets(random: &mut StdRng, body: &mut Map<String, Value>) {
    let count = match random.random_range(0..10) {
        0..5 => 1,
        5..8 => 2,
        8 => random.random_range(3..6),
        _ => random.random_range(6..12),
    };
    if percent(random, 35) {
        let names: Vec<_> = (0..count).map(|_| name(random)).collect();
        body.insert(
            "resourcePrincipalNames".to_owned(),
            json!({ "values": names }),
        );
    } else {
        let ids: Vec<_> = (0..count).map(|_| id(random)).collect();
        body.insert("resourceIds".to_owned(), json!({ "values": ids }));
    }
}

pub fn page_size(random: &mut StdRng) -> i32 {
    *[0, 1, 2, 3, 5, 100]
        .choose(random)
        .expect("there are sizes")
}
