//! The queue alone, beside those who fill it: what it takes is committed in order, all of it, and in batches that are not too large.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;
use tokio::sync::mpsc;

use super::Queue;
use crate::domain::{
    AccountId, Action, Changed, Origin, ResourceId, TagCommand, TagKey, TagValue, Targets,
    Timestamp,
};
use crate::store::sqlite::write::{Job, Pending, Work};
use crate::sync::crossbeam_channel::{self, Sender};
use crate::sync::explore;

const BATCH: usize = 2;
const JOBS: usize = 3;

/// A change that tells its caller and its place among the changes of that by its tag.
fn command(caller: usize, place: usize) -> Arc<TagCommand> {
    Arc::new(TagCommand {
        account: AccountId::parse("1").unwrap(),
        targets: Targets::Ids(vec![ResourceId::parse("1").unwrap()]),
        tags: vec![(
            TagKey::parse(caller.to_string()).unwrap(),
            TagValue::parse(place.to_string()).unwrap(),
        )],
    })
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin::local(
        Action::TagResources,
        Timestamp::from_millis(0),
    ))
}

/// Sends changes as long as there is room, and waits for the answers. Returns how many were taken.
fn call(jobs: &mpsc::Sender<Job>, caller: usize) -> usize {
    let mut answers = Vec::new();
    for place in 0..JOBS {
        let (pending, answer) = Pending::new();
        let work = Work::Tag(command(caller, place), origin(), pending);
        if jobs.try_send(Job { work, trace: None }).is_ok() {
            answers.push(answer);
        }
        thread::yield_now();
    }
    let taken = answers.len();
    for answer in answers {
        block_on(answer).expect("each job is answered").unwrap();
    }
    taken
}

fn check(jobs: &mpsc::Sender<Job>, checks: &Sender<Job>) {
    let (pending, answer) = Pending::new();
    checks.send(Job::check(pending)).unwrap();
    let _ = jobs.try_send(Job::wake());
    block_on(answer).expect("each check is answered").unwrap();
}

/// The places of the changes of each caller, in the order in which they are committed.
type Committed = [Vec<String>; 2];

fn commit(batch: Vec<Job>, committed: &mut Committed) {
    let changes = batch.iter().filter(|job| job.is_change()).count();
    assert!(changes <= BATCH, "a batch has no more than it may");
    for mut job in batch {
        match &mut job.work {
            Work::Tag(command, _, pending) => {
                let (key, value) = &command.tags[0];
                let caller: usize = key.as_str().parse().unwrap();
                committed[caller].push(value.as_str().to_owned());
                pending.set(Ok(Changed::default()));
            }
            Work::Check(pending) => pending.set(Ok(())),
            _ => unreachable!("nobody sends others"),
        }
        job.answer();
    }
}

#[test]
fn threads_the_queue_is_emptied_in_order() {
    explore(38, || {
        let (jobs, queue) = mpsc::channel(2);
        let (checks, waiting) = crossbeam_channel::unbounded();
        let mut queue = Queue {
            batch: BATCH,
            jobs: queue,
            checks: waiting,
        };
        let writer = thread::spawn(move || {
            let mut committed = Committed::default();
            queue.run(|batch, _| commit(batch, &mut committed));
            committed
        });
        let callers = [0, 1].map(|caller| {
            let jobs = jobs.clone();
            thread::spawn(move || call(&jobs, caller))
        });
        check(&jobs, &checks);
        drop(jobs);
        let taken = callers.map(|caller| caller.join().unwrap());
        let committed = writer.join().unwrap();
        for (places, taken) in committed.iter().zip(taken) {
            assert_eq!(places.len(), taken, "what is taken is committed once");
            assert!(places.is_sorted(), "a caller's changes keep their order");
        }
    });
}
