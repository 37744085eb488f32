//! Sends the requests of a seed to both services, and compares the answers.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::runtime::Runtime;

use super::generator::{Generator, Step};
use super::side::{Call, Side};
use super::words::ACCOUNTS;
use crate::histories::store::Home;

/// After so many requests there is a moment that later ones may name.
const MOMENT: usize = 40;

/// A service on each store, and what has been asked of both.
pub struct Comparison {
    seed: u64,
    count: usize,
    sides: [Side; 2],
    generator: Generator,
    runtime: Runtime,
    start: Instant,
    /// How many answers there were of each code.
    codes: BTreeMap<String, usize>,
    restarts: usize,
}

impl Comparison {
    pub fn new(seed: u64, count: usize) -> Self {
        Self {
            seed,
            count,
            sides: [
                Side::new("the embedded store", Home::embedded(&[])),
                Side::new("PostgreSQL", Home::postgres(&[])),
            ],
            generator: Generator::new(seed),
            runtime: Runtime::new().unwrap(),
            start: Instant::now(),
            codes: BTreeMap::new(),
            restarts: 0,
        }
    }

    /// Sends all requests, and compares what the stores hold in the end.
    pub fn run(&mut self) {
        for number in 0..self.count {
            match self.generator.next() {
                Step::Call(call) => {
                    let answer = self.compare(number, &call);
                    self.generator.learn(&call, &answer);
                }
                Step::Restart => {
                    self.restarts += 1;
                    self.sides.iter_mut().for_each(Side::restart);
                }
            }
            if number % MOMENT == 0 {
                self.moment(number);
            }
        }
        self.compare_logs();
        let [one, other] = self.sides.each_mut().map(Side::export);
        assert_eq!(one, other, "the exports differ, seed {}", self.seed);
    }

    fn compare(&mut self, number: usize, call: &Call) -> Value {
        let newest = self.generator.known.newest(call.account);
        let runtime = &self.runtime;
        let sides = self.sides.each_mut();
        let [one, other] = sides.map(|side| side.ask(number, call, newest, runtime));
        assert!(
            one == other,
            "the stores answer request {number} otherwise.\n{} of account {:?}\n{}\n{}: {one:#}\n{}: {other:#}\nTo run it again: \
             UNTAG_GRAMMAR_SEED={} UNTAG_GRAMMAR_REQUESTS={} scripts/test grammar_of_requests",
            call.method,
            ACCOUNTS[call.account],
            call.body,
            self.sides[0].name,
            self.sides[1].name,
            self.seed,
            number + 1,
        );
        let code = one["body"]["code"].as_str().or(one["code"].as_str());
        let code = code.unwrap_or("ok").to_owned();
        *self.codes.entry(code).or_default() += 1;
        one
    }

    /// Gives the requests that follow a moment which is behind the changes before, and before those that come.
    fn moment(&mut self, number: usize) {
        let now = OffsetDateTime::now_utc;
        let moment = now() + time::Duration::milliseconds(1);
        let moment = moment.replace_millisecond(moment.millisecond()).unwrap();
        while now() < moment {
            std::thread::yield_now();
        }
        let name = format!("\u{a7}T{number}");
        let text = moment.format(&Rfc3339).unwrap();
        for side in &mut self.sides {
            side.memory.learn(&name, &text);
        }
        self.generator.known.moments.push(name);
    }

    /// Compares all changes of each account.
    fn compare_logs(&mut self) {
        for account in 0..ACCOUNTS.len() {
            let mut body = json!({ "order": "CHANGE_ORDER_OLDEST_FIRST" });
            for page in 0.. {
                let call = Call {
                    method: "ram.tag.v1.ChangeService/ListChanges",
                    account,
                    body: body.clone(),
                };
                let answer = self.compare(self.count + page, &call);
                let Some(next) = answer["body"]["nextToken"].as_str() else {
                    break;
                };
                body["nextToken"] = next.into();
            }
        }
    }

    pub fn summary(&self) -> String {
        format!(
            "{} requests and {} restarts in {:?}: {:?}",
            self.count,
            self.restarts,
            self.start.elapsed(),
            self.codes
        )
    }
}
