//! Untags that share a statement, a transaction and a flush of the log (group commit).
//!
//! While the database works on untags, those that arrive wait, and the next statement takes them together. It waits for
//! nobody: a row that another session has locked is passed over, and so is a user that does not exist. The commands that
//! name such a row change nothing there, and each is sent again by itself, with the statement that waits and finds out.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use super::outcome::Sent;
use super::pool::{Locks, Pool};
use super::replica::Replica;
use super::rounds::Rounds;
use super::tags::{Removal, answers, shared};
use super::targets::{By, Names};
use super::{Commit, statements};
use crate::current::{self, Reply};
use crate::domain::{AccountId, Applied, Changed, Origin, UntagCommand};
use crate::store::StoreError;
use crate::telemetry::metrics::metrics;
use crate::telemetry::trace::Change;

/// How many statements of a group may be under way: while one waits for the disk, another can do its work. With more, each
/// has fewer commands, and what a statement costs by itself is paid more often.
const STATEMENTS: usize = 2;
/// A statement takes no more commands when it has as many targets as this: they stay locked until it is done.
const TARGETS: usize = 512;

/// What came of a command in a shared statement.
pub enum Shared {
    /// It was applied.
    Applied(Changed),
    /// It was not, or nobody knows: it has to be sent by itself, in the place that it has. Its users are kept from shared
    /// statements until the claim is dropped.
    NotApplied(Sent, (OwnedSemaphorePermit, Claim)),
}

type Reported = Result<Shared, StoreError>;

/// Untags that wait for a statement, and the statements that are under way.
pub struct Batches {
    pool: Arc<Pool>,
    replica: Replica,
    hasher: RandomState,
    groups: Mutex<Groups>,
}

struct Groups {
    /// Those that have something to do.
    by_key: HashMap<Key, Group>,
    /// Those that wait for their turn to send a statement, each once.
    ready: VecDeque<Key>,
    /// The statements of all groups.
    under_way: usize,
    /// How many of them there may be.
    most: usize,
}

impl Groups {
    /// Whether a group may send a statement now.
    fn can_send(&self) -> bool {
        self.under_way < self.most && !self.ready.is_empty()
    }

    /// Lets a group wait for its turn, where it has something to send and may.
    fn queue(&mut self, key: &Key) {
        if let Some(group) = self.by_key.get_mut(key)
            && !group.is_ready
            && !group.waiting.is_empty()
            && group.under_way < STATEMENTS
        {
            group.is_ready = true;
            self.ready.push_back(key.clone());
        }
    }

    fn remove_idle(&mut self, key: &Key) {
        if self.by_key.get(key).is_some_and(Group::is_idle) {
            self.by_key.remove(key);
        }
    }
}

/// What commands that share a statement have in common: the account, so that an engine that divides the table by account
/// has it in one place, and how users are looked for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    account: AccountId,
    by: By,
}

#[derive(Default)]
struct Group {
    /// Those that wait for a statement, by their numbers: one that has waited for others goes before all that came after it.
    waiting: BTreeMap<u64, Job>,
    /// How many commands have come.
    arrived: u64,
    under_way: usize,
    /// Whether it waits for its turn.
    is_ready: bool,
    /// The targets of the commands that are under way, by hash: another statement would only find them locked. A hash that
    /// two users share makes one wait for the other, and no more.
    claimed: HashMap<u64, Claimed>,
}

#[derive(Default)]
struct Claimed {
    /// Commands of one statement may have a user in common.
    holders: usize,
    waiting: Vec<Job>,
}

impl Group {
    /// Takes a command that can be sent: its caller waits, and no other statement than `own` has its users.
    fn take(&mut self, own: &Rounds) -> Option<Job> {
        loop {
            let (_, job) = self.waiting.pop_first()?;
            // A caller that is gone has passed its deadline, and is told that nothing is known of its change.
            if job.reply.is_abandoned() {
                job.reply.send(Err(StoreError::stopped(Applied::No)));
                continue;
            }
            let taken = |hash: &&u64| self.claimed.contains_key(hash) && !own.names(**hash);
            match job.targets.iter().find(taken).copied() {
                Some(taken) => self.claimed.entry(taken).or_default().waiting.push(job),
                None => return Some(job),
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0 && self.claimed.is_empty() && !self.is_ready
    }
}

struct Job {
    command: Arc<UntagCommand>,
    origin: Arc<Origin>,
    /// The targets as its call takes them, until that is sent.
    names: Vec<String>,
    /// The targets by hash, each once.
    targets: Vec<u64>,
    /// Its number among the commands of its group.
    arrival: u64,
    /// The round of its statement, once it is in one.
    round: i32,
    place: OwnedSemaphorePermit,
    trace: Change,
    reply: Reply<Reported>,
}

/// What is under way: a statement, or a command. Others that waited for it may go when this is dropped.
pub struct Claim {
    batches: Arc<Batches>,
    key: Key,
    targets: Vec<u64>,
    statements: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.targets.is_empty() && self.statements == 0 {
            return;
        }
        let mut groups = self.batches.groups();
        groups.under_way -= self.statements;
        let Some(group) = groups.by_key.get_mut(&self.key) else {
            return;
        };
        group.under_way -= self.statements;
        for target in &self.targets {
            if let Entry::Occupied(mut claimed) = group.claimed.entry(*target) {
                claimed.get_mut().holders -= 1;
                if claimed.get().holders == 0 {
                    let released = claimed.remove().waiting.into_iter();
                    group.waiting.extend(released.map(|job| (job.arrival, job)));
                }
            }
        }
        groups.queue(&self.key);
        groups.remove_idle(&self.key);
        let can_send = groups.can_send();
        drop(groups);
        // Not from here: a runtime that shuts down drops what it is given, and that would end here again.
        if let Ok(runtime) = Handle::try_current()
            && can_send
        {
            let batches = Arc::clone(&self.batches);
            runtime.spawn(async move { batches.send() });
        }
    }
}

impl Batches {
    /// With as many statements under way as there are connections: with more, one would only wait behind another, with fewer commands
    /// than have come by then.
    pub fn new(pool: Arc<Pool>, replica: Replica) -> Self {
        Self {
            groups: Mutex::new(Groups {
                by_key: HashMap::new(),
                ready: VecDeque::new(),
                under_way: 0,
                most: pool.connections().max(STATEMENTS),
            }),
            pool,
            replica,
            hasher: RandomState::new(),
        }
    }

    /// Has a command carried out in a shared statement, in a place of the queue that it keeps until the database is done
    /// with it. One whose caller stops waiting before that is not sent.
    pub async fn untag(
        self: &Arc<Self>,
        command: Arc<UntagCommand>,
        origin: Arc<Origin>,
        place: OwnedSemaphorePermit,
    ) -> Reported {
        let names = Names::of(&command.targets);
        let key = Key {
            account: command.account.clone(),
            by: names.by,
        };
        let targets = names.names.iter().map(|name| self.hasher.hash_one(name));
        let mut targets: Vec<u64> = targets.collect();
        targets.sort_unstable();
        targets.dedup();
        let (reply, answer) = current::reply();
        let job = Job {
            command,
            origin,
            names: names.names,
            targets,
            arrival: 0,
            round: 1,
            place,
            trace: Change::queue(),
            reply,
        };
        self.add(&key, job);
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::stopped(Applied::Maybe)))
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, key: &Key, mut job: Job) {
        let mut groups = self.groups();
        let group = groups.by_key.entry(key.clone()).or_default();
        group.arrived += 1;
        job.arrival = group.arrived;
        group.waiting.insert(job.arrival, job);
        groups.queue(key);
        drop(groups);
        self.send();
    }

    /// Sends what waits, as far as statements may be under way.
    fn send(self: &Arc<Self>) {
        while let Some(batch) = self.next() {
            tokio::spawn(batch.run());
        }
    }

    /// Takes the commands of the next statement: of the group whose turn it is, those that have waited longest.
    fn next(self: &Arc<Self>) -> Option<Batch> {
        let mut groups = self.groups();
        while groups.can_send() {
            let key = groups.ready.pop_front()?;
            let Some(group) = groups.by_key.get_mut(&key) else {
                continue;
            };
            group.is_ready = false;
            let jobs = self.take(&key, group);
            if jobs.is_empty() {
                groups.remove_idle(&key);
                continue;
            }
            group.under_way += 1;
            groups.under_way += 1;
            groups.queue(&key);
            let statement = self.claim(&key, Vec::new(), 1);
            return Some(Batch { jobs, statement });
        }
        None
    }

    /// Takes the commands of a group's next statement.
    fn take(self: &Arc<Self>, key: &Key, group: &mut Group) -> Vec<(Job, Claim)> {
        let (mut jobs, mut own, mut targets) = (Vec::new(), Rounds::default(), 0);
        while targets < TARGETS
            && let Some(mut job) = group.take(&own)
        {
            let Some(round) = own.add(&job.targets) else {
                group.waiting.insert(job.arrival, job);
                break;
            };
            job.round = round;
            targets += job.targets.len();
            jobs.push(self.claim_for(key, group, job));
        }
        jobs
    }

    /// Claims the targets of a command.
    fn claim_for(self: &Arc<Self>, key: &Key, group: &mut Group, mut job: Job) -> (Job, Claim) {
        let targets = std::mem::take(&mut job.targets);
        for hash in &targets {
            group.claimed.entry(*hash).or_default().holders += 1;
        }
        (job, self.claim(key, targets, 0))
    }

    fn claim(self: &Arc<Self>, key: &Key, targets: Vec<u64>, statements: usize) -> Claim {
        Claim {
            batches: Arc::clone(self),
            key: key.clone(),
            targets,
            statements,
        }
    }
}

/// A statement and its commands.
struct Batch {
    jobs: Vec<(Job, Claim)>,
    statement: Claim,
}

impl Batch {
    async fn run(mut self) {
        let batches = &self.statement.batches;
        let (pool, replica) = (Arc::clone(&batches.pool), batches.replica.clone());
        let (jobs, key) = (&mut self.jobs, &self.statement.key);
        let answer = pool.perform(Locks::SkipLocked, |session| async move {
            // There may have been a wait for the connection.
            for (job, _) in jobs.extract_if(.., |(job, _)| job.reply.is_abandoned()) {
                job.reply.send(Err(StoreError::stopped(Applied::No)));
            }
            if jobs.is_empty() {
                return Ok(Vec::new());
            }
            let removals = jobs.iter_mut().map(|(job, _)| Removal {
                names: std::mem::take(&mut job.names),
                selection: &job.command.selection,
                origin: &job.origin,
                round: job.round,
            });
            let removals: Vec<_> = removals.collect();
            let account = key.account.as_str();
            let targets: Vec<usize> = removals.iter().map(|removal| removal.names.len()).collect();
            let parameters = shared(account, key.by, removals, &replica);
            let changes = jobs.len();
            let traces = jobs.iter_mut().map(|(job, _)| &mut job.trace);
            let spans = traces.filter_map(|change| change.commit(changes));
            let _spans: Vec<Span> = spans.collect();
            let _commit = Commit(Instant::now());
            let rows = session
                .query(statements::REMOVE_SHARED, &parameters)
                .await?;
            let none = || vec![None; changes];
            Ok(rows.first().map_or_else(none, |row| answers(row, &targets)))
        });
        match answer.await {
            Ok(answers) => self.finish(answers, || Sent::No),
            Err(failure) if failure.may_have_been_applied() => {
                let (failure, none) = (Arc::new(failure), vec![None; self.jobs.len()]);
                self.finish(none, || Sent::Unanswered(Arc::clone(&failure)));
            }
            Err(failure) if failure.may_be_of_one_command() => {
                let changes = self.jobs.len();
                metrics().store.retries.inc_by(changes as u64);
                tracing::debug!(%failure, changes, "a shared statement has failed; sending its changes one by one");
                let none = vec![None; changes];
                self.finish(none, || Sent::No);
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                for (job, _) in self.jobs {
                    job.reply.send(Err(failure.to_store_error(Applied::No)));
                }
            }
        }
    }

    /// Answers each command: with what came of it, or that it was not applied as far as anybody knows.
    fn finish(mut self, answers: Vec<Option<Changed>>, sent: impl Fn() -> Sent) {
        let applied = answers.iter().flatten().count();
        if applied > 0 {
            metrics().store.shared_commit(applied);
        }
        for ((job, mut claim), answer) in self.jobs.into_iter().zip(answers) {
            let answer = match answer {
                Some(changed) => {
                    // All that were applied let go at once, and the next statement takes all that have waited for them.
                    self.statement.targets.append(&mut claim.targets);
                    Shared::Applied(changed)
                }
                None => Shared::NotApplied(sent(), (job.place, claim)),
            };
            job.reply.send(Ok(answer));
        }
    }
}
