//! Callers: each sends one command of its worker after the other, and takes down when it was sent and answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Semaphore;
use untag_power_loss::Disk;

use super::clients::{Answer, Clients, Users, as_listed};
use crate::crash::load::is_answer;
use crate::crash::population::{Command, Outcome, Population, Worker};

/// A call, and when it was sent and answered, as moments of the disk.
#[derive(Debug, Clone)]
pub struct Call {
    pub command: Command,
    /// The client token; empty where it has none.
    pub token: String,
    pub sent: usize,
    pub answered: Option<(usize, Answer)>,
}

/// A caller: its worker, and what it has sent so far.
#[derive(Debug)]
pub struct Caller {
    number: usize,
    worker: Worker,
    random: StdRng,
    calls: Vec<Call>,
}

/// The state that all callers share while one server runs.
#[derive(Debug)]
pub struct Shift {
    pub disk: Disk,
    /// Gets a permit for each answer.
    pub answers: Semaphore,
    /// Set when no more calls are to be sent.
    pub is_over: AtomicBool,
    /// Set before the server is killed: until then no call may fail.
    pub is_killed: AtomicBool,
}

impl Shift {
    pub fn new(disk: &Disk) -> Arc<Self> {
        Arc::new(Self {
            disk: disk.clone(),
            answers: Semaphore::new(0),
            is_over: AtomicBool::new(false),
            is_killed: AtomicBool::new(false),
        })
    }
}

impl Caller {
    pub fn new(seed: u64, number: usize) -> Self {
        Self {
            number,
            worker: Worker::new(seed, number, Population::default()).with_one_change(),
            random: StdRng::seed_from_u64(seed.rotate_left(8) ^ number as u64),
            calls: Vec::new(),
        }
    }

    /// Takes up what a killed server has left without an answer. A call with a client token is sent again, and what became of
    /// another one is seen in what there is now.
    pub fn settle(&mut self, moment: usize, found: &Users) {
        let Some(call) = self.calls.last_mut() else {
            return;
        };
        if call.answered.is_some() || !call.token.is_empty() {
            return;
        }
        let mut after = self.worker.population.clone();
        let outcome = after.apply(&call.command);
        if as_listed(&after) == *found {
            let answer = Answer {
                outcome,
                request_id: String::new(),
            };
            call.answered = Some((moment, answer));
            self.worker.population = after;
        } else {
            assert_eq!(
                as_listed(&self.worker.population),
                *found,
                "after a kill, unanswered {:?}",
                call.command
            );
            self.calls.pop();
        }
    }

    /// Sends calls until the shift is over, or the server gone.
    pub async fn run(mut self, mut clients: Clients, shift: Arc<Shift>) -> Self {
        while !shift.is_over.load(Ordering::SeqCst) {
            let is_unanswered = |call: &Call| call.answered.is_none();
            if !self.calls.last().is_some_and(is_unanswered) {
                let call = self.next_call(shift.disk.moment());
                self.calls.push(call);
            }
            let call = self.calls.last_mut().expect("there is one");
            match clients.send(&call.command, &call.token).await {
                Ok(answer) => {
                    let expected = self.worker.population.apply(&call.command);
                    assert_eq!(answer.outcome, expected, "{:?}", call.command);
                    call.answered = Some((shift.disk.moment(), answer));
                    shift.answers.add_permits(1);
                }
                Err(status) => {
                    let is_killed = shift.is_killed.load(Ordering::SeqCst);
                    assert!(!is_answer(&status) && is_killed, "{status}");
                    return self;
                }
            }
        }
        self
    }

    fn next_call(&mut self, sent: usize) -> Call {
        let token = if self.random.random_ratio(3, 4) {
            format!("{}-{}", self.number, self.calls.len())
        } else {
            String::new()
        };
        Call {
            command: self.worker.command(),
            token,
            sent,
            answered: None,
        }
    }

    /// What the caller has sent.
    pub fn into_history(self) -> History {
        History {
            calls: self.calls,
            answered: 0,
            population: Population::default(),
        }
    }
}

/// What a caller has sent, and its users at a moment as the answers have them.
#[derive(Debug)]
pub struct History {
    calls: Vec<Call>,
    answered: usize,
    population: Population,
}

impl History {
    /// Goes on to a later moment.
    pub fn advance(&mut self, moment: usize) {
        while let Some(call) = self.calls.get(self.answered)
            && call.answered.as_ref().is_some_and(|(at, _)| *at <= moment)
        {
            self.population.apply(&call.command);
            self.answered += 1;
        }
    }

    /// The call that is on its way at this moment.
    pub fn underway(&self, moment: usize) -> Option<&Call> {
        let call = self.calls.get(self.answered);
        call.filter(|call| call.sent <= moment)
    }

    /// The last call that was answered as done and can be sent again.
    pub fn last_repeatable(&self) -> Option<(&Call, &Answer)> {
        let answered = self.calls[..self.answered].iter().rev();
        let mut done = answered.filter_map(|call| {
            let (_, answer) = call.answered.as_ref()?;
            let is_repeatable = answer.outcome == Outcome::Done
                && !call.token.is_empty()
                && !answer.request_id.is_empty();
            is_repeatable.then_some((call, answer))
        });
        done.next()
    }

    /// The users as the answers have them.
    pub fn users(&self) -> Users {
        as_listed(&self.population)
    }

    /// How a call that is on its way has to be answered, and the users as they are then.
    pub fn users_after(&self, call: &Call) -> (Outcome, Users) {
        let mut after = self.population.clone();
        let outcome = after.apply(&call.command);
        (outcome, as_listed(&after))
    }

    /// How many calls were answered.
    pub fn answered(&self) -> usize {
        self.answered
    }
}
