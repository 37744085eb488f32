//! A grammar of requests, sent to a service on the embedded store and to one on PostgreSQL, one request after the other: both have to
//! answer the same.
//!
//! A request is text in JSON. What only a service knows (a RequestId, a page token, an id that it has made) has a name in it, such
//! as `§R12` for the RequestId of request 12, and each service gets its own.

mod answer;
mod compare;
mod generator;
mod memory;
mod requests;
mod side;
mod spoil;
mod streams;
mod users;
mod words;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use compare::Comparison;

use crate::support::long_run::{say, variable};

/// How many requests are sent; `UNTAG_GRAMMAR_REQUESTS` sets another number.
const REQUESTS: usize = 2_000;
/// How many of them go to the same stores.
const OF_A_SEQUENCE: usize = 2_500;

#[test]
fn grammar_of_requests_is_answered_the_same_by_both_stores() {
    let mut left: usize = variable("UNTAG_GRAMMAR_REQUESTS").unwrap_or(REQUESTS);
    let mut seed: u64 = variable("UNTAG_GRAMMAR_SEED").unwrap_or_else(rand::random);
    while left > 0 {
        let count = left.min(OF_A_SEQUENCE);
        println!("seed {seed}");
        let mut comparison = Comparison::new(seed, count);
        comparison.run();
        say(&format!("grammar: seed {seed}, {}", comparison.summary()));
        left -= count;
        seed = StdRng::seed_from_u64(seed).random();
    }
}
