//! The queue of the writer: jobs are done in the order of their callers, each is answered, and a store that is closed has done all.

use futures_util::future::join;
use rusqlite::Connection;
use shuttle::future::block_on;
use shuttle::thread;

use super::home::{close, in_directory, list, open, options, origin, setting, untag};
use crate::domain::Action;
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{Store as _, StoreError};
use crate::sync::explore;

/// A queue that is full now and then.
fn short_queue() -> Options {
    Options {
        queue: 2,
        batch: 2,
        ..options()
    }
}

/// Sends two changes at once that give both users a tag, and returns the value that the tag has when all that are taken are done.
fn set_twice(store: &SqliteStore, key: &str) -> usize {
    let set = |number| {
        let store = store.clone();
        let command = setting(key, number);
        async move { store.tag(command, origin(Action::TagResources)).await }
    };
    let answers = block_on(async { join(set(1), set(2)).await });
    let mut last = 0;
    for (number, answer) in (1..).zip([answers.0, answers.1]) {
        match answer {
            Ok(_) => last = number,
            Err(StoreError::Busy) => {}
            Err(error) => panic!("a job is done or refused: {error}"),
        }
    }
    last
}

#[test]
fn threads_jobs_are_done_in_the_order_of_their_caller() {
    explore(2, || {
        let store = open(short_queue());
        let callers = ["a", "b"].map(|key| {
            let store = store.clone();
            thread::spawn(move || {
                let last = set_twice(&store, key);
                let is_last = list(&store)
                    .split(' ')
                    .any(|tag| tag == format!("{key}={last}"));
                assert!(is_last, "the jobs of a caller are done in their order");
            })
        });
        for caller in callers {
            caller.join().unwrap();
        }
        close(store);
    });
}

#[test]
fn threads_every_check_is_answered() {
    explore(2, || {
        let store = open(short_queue());
        let checks = [(); 2].map(|()| {
            let store = store.clone();
            thread::spawn(move || block_on(store.check()).unwrap())
        });
        // A check that has woken nobody waits for ever.
        for check in checks {
            check.join().unwrap();
        }
        close(store);
    });
}

#[test]
fn threads_a_store_is_closed_when_all_is_done_and_read() {
    explore(2, || {
        let store = open(options());
        let closing = store.closing();
        let [changing, reading] = [store.clone(), store.clone()];
        let changes = thread::spawn(move || untag(&changing, "a"));
        let reads = thread::spawn(move || list(&reading));
        // Nobody waits for this job, which is done or left.
        let left = thread::spawn(move || {
            let mut left = Box::pin(store.tag(setting("c", 1), origin(Action::TagResources)));
            block_on(async { futures_util::poll!(&mut left).is_ready() })
        });
        while !closing.wait(std::time::Duration::ZERO) {
            thread::yield_now();
        }
        changes.join().unwrap();
        reads.join().unwrap();
        left.join().unwrap();
        let commits = in_directory(|directory| {
            assert!(
                !directory.join("untag.db-wal").exists(),
                "the database is whole"
            );
            let connection = Connection::open(directory.join("untag.db")).unwrap();
            let select = "SELECT count(*) FROM change_log";
            connection
                .query_row(select, [], |row| row.get::<_, i64>(0))
                .unwrap()
        });
        assert!((1..=2).contains(&commits), "what was queued is done");
    });
}
