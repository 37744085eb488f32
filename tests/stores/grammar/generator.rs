//! Chooses the next request, by a seed and by what earlier answers have told.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::requests::{self, Known};
use super::side::{CREATE, Call, IMPORT, WATCH, is_id_made};
use super::spoil::spoil;
use super::users;
use super::words::{ACCOUNTS, percent};

const UNTAG: &str = "ram.tag.v1.TagService/UntagResources";
const TAG: &str = "ram.tag.v1.TagService/TagResources";
const LIST: &str = "ram.tag.v1.TagService/ListTagResources";
const LIST_KEYS: &str = "ram.tag.v1.TagService/ListTagKeys";
const LIST_VALUES: &str = "ram.tag.v1.TagService/ListTagValues";
const GET_CHANGE: &str = "ram.tag.v1.ChangeService/GetChange";
const LIST_CHANGES: &str = "ram.tag.v1.ChangeService/ListChanges";
const REVERT: &str = "ram.tag.v1.ChangeService/RevertChange";
const GET_USER: &str = "ram.user.v1.UserService/GetUser";
const LIST_USERS: &str = "ram.user.v1.UserService/ListUsers";
const UPDATE: &str = "ram.user.v1.UserService/UpdateUser";
const DELETE: &str = "ram.user.v1.UserService/DeleteUser";
const UNDELETE: &str = "ram.user.v1.UserService/UndeleteUser";

/// How many requests of each kind there are among a hundred.
const WEIGHTS: [(&str, u32); 16] = [
    (UNTAG, 15),
    (TAG, 17),
    (LIST, 11),
    (LIST_KEYS, 2),
    (LIST_VALUES, 2),
    (GET_CHANGE, 5),
    (LIST_CHANGES, 7),
    (REVERT, 10),
    (WATCH, 1),
    (GET_USER, 5),
    (LIST_USERS, 6),
    (CREATE, 5),
    (UPDATE, 6),
    (DELETE, 2),
    (UNDELETE, 6),
    (IMPORT, 2),
];

/// What comes next.
pub enum Step {
    Call(Call),
    /// The services end without notice, and start again.
    Restart,
}

pub struct Generator {
    random: StdRng,
    pub known: Known,
    /// Requests, to be sent again.
    sent: Vec<Call>,
    /// Requests for a next page.
    pages: Vec<Call>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            known: Known::default(),
            sent: Vec::new(),
            pages: Vec::new(),
        }
    }

    pub fn next(&mut self) -> Step {
        let number = self.sent.len();
        if number < ACCOUNTS.len() {
            let first = Call {
                method: IMPORT,
                account: number,
                body: users::first_import(),
            };
            self.sent.push(first.clone());
            return Step::Call(first);
        }
        if self.random.random_ratio(1, 800) {
            return Step::Restart;
        }
        let again = match self.random.random_range(0..100) {
            0..6 => self.sent[number.saturating_sub(60)..].choose(&mut self.random),
            6..18 => self.pages[self.pages.len().saturating_sub(6)..].choose(&mut self.random),
            _ => None,
        };
        let call = match again.cloned() {
            // Its content or its account is another one now and then.
            Some(mut call) => {
                if percent(&mut self.random, 15) {
                    spoil(&mut self.random, &mut call.body);
                }
                if percent(&mut self.random, 5) {
                    call.account = self.random.random_range(0..ACCOUNTS.len());
                }
                call
            }
            None => self.new_call(),
        };
        let call = self.with_id(call);
        self.sent.push(call.clone());
        Step::Call(call)
    }

    /// A request that has the service make an id only where the account has none yet: the order of two would not be the same.
    fn with_id(&self, mut call: Call) -> Call {
        let mut ids = self.known.ids.iter();
        let has_one = ids.any(|(owner, _)| *owner == call.account);
        if has_one
            && is_id_made(&call)
            && let Some(user) = call.body.get_mut("user").and_then(Value::as_object_mut)
        {
            requests::put(user, "resourceId", "01");
        }
        call
    }

    fn new_call(&mut self) -> Call {
        let random = &mut self.random;
        let account = *[0, 0, 0, 1, 2].choose(random).expect("there are some");
        let (method, _) = WEIGHTS
            .choose_weighted(random, |(_, weight)| *weight)
            .expect("there are some");
        let known = &self.known;
        let mut body = match *method {
            UNTAG => requests::untag(random),
            TAG => requests::tag(random),
            LIST => requests::list(random, known.newest(account)),
            LIST_KEYS => requests::list_keys(random),
            LIST_VALUES => requests::list_values(random),
            GET_CHANGE => requests::get_change(random, known, account),
            LIST_CHANGES => requests::list_changes(random, known),
            REVERT => requests::revert(random, known, account),
            WATCH => requests::watch(random, known, account),
            GET_USER => users::get(random, known, account),
            LIST_USERS => users::list(random),
            CREATE => users::create(random, known, account),
            UPDATE => users::update(random, known, account),
            DELETE => users::delete(random, known, account),
            UNDELETE => users::undelete(random, known, account),
            _ => users::import(random),
        };
        if percent(random, 8) {
            spoil(random, &mut body);
        }
        Call {
            method,
            account,
            body,
        }
    }

    /// Learns from an answer what later requests may ask for.
    pub fn learn(&mut self, call: &Call, answer: &Value) {
        let account = call.account;
        let body = &answer["body"];
        self.learn_change(account, body);
        let answers = answer["answers"].as_array().into_iter().flatten();
        for answer in answers {
            self.learn_change(account, answer);
        }
        let messages = answer["messages"].as_array().into_iter().flatten();
        let positions = messages.filter_map(|message| message.get("position"));
        let positions = positions.map(|position| (account, position.clone()));
        self.known.positions.extend(positions);
        if let Some(token) = body["nextToken"].as_str() {
            let mut next = call.clone();
            next.body["nextToken"] = token.into();
            self.pages.push(next);
        }
        let id = body["user"]["resourceId"].as_str();
        if let Some(id) = id.filter(|id| id.starts_with('\u{a7}')) {
            let known = (account, id.to_owned());
            if !self.known.ids.contains(&known) {
                self.known.ids.push(known);
            }
        }
    }

    fn learn_change(&mut self, account: usize, answer: &Value) {
        let revision = answer["revision"]
            .as_str()
            .and_then(|text| text.parse().ok());
        if let (Some(id), Some(revision)) = (answer["requestId"].as_str(), revision) {
            self.known.changes.push((account, id.to_owned(), revision));
        }
    }
}
