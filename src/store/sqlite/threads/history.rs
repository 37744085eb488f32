//! The change log beside those who read it, while what has expired is deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use super::home::{account, close, open, options, origin, removal, setting, tag, ticking, untag};
use crate::domain::{Action, ChangeKey, ChangesQuery, Direction, ResourceId, Revision};
use crate::store::sqlite::{Options, SqliteStore, UnauditedChanges};
use crate::store::{AuditUse, CommittedChanges as _, Retention, Store as _, StoreError};
use crate::sync::explore;

/// The revisions of the changes of a user, from the first on.
fn revisions(store: &SqliteStore) -> Result<Vec<u64>, StoreError> {
    let query = ChangesQuery {
        account: account(),
        from: Revision::FIRST,
        direction: Direction::Forwards,
        user: Some(ResourceId::parse("1").unwrap()),
        most: 10,
        most_effects: 100,
    };
    let changes = block_on(store.changes(Arc::new(query)))?;
    Ok(changes.iter().map(|change| change.revision.get()).collect())
}

#[test]
fn threads_a_change_is_found_from_its_answer_on() {
    explore(2, || {
        // Each commit writes the keys of those before it as a run, and forgets them.
        let store = open(Options {
            run_keys: 1,
            ..options()
        });
        let answered = Arc::new(AtomicU64::new(0));
        let (changing, progressed) = (store.clone(), Arc::clone(&answered));
        let changes = thread::spawn(move || {
            for number in 1..=3 {
                let origin = origin(Action::TagResources);
                let request_id = origin.request_id;
                block_on(changing.tag(setting("a", number), origin)).unwrap();
                let found = changing.change(account(), ChangeKey::RequestId(request_id));
                let found = block_on(found).unwrap();
                assert!(found.is_some(), "a change is found by its RequestId");
                progressed.store(number as u64, Ordering::Relaxed);
            }
        });
        let mut before = 0;
        for _ in 0..3 {
            before = before.max(answered.load(Ordering::Relaxed));
            let found = revisions(&store).unwrap();
            let newest = found.len() as u64;
            assert!(newest >= before, "a change that was found is there");
            assert_eq!(
                found,
                (1..=newest).collect::<Vec<_>>(),
                "no change is left out"
            );
            before = newest;
        }
        changes.join().unwrap();
        close(store);
    });
}

/// Reads so many changes as the audit does, and takes note of each.
fn audit(mut unaudited: UnauditedChanges, changes: u64) {
    let mut seen = 0;
    while seen < changes {
        let next = unaudited.next().unwrap();
        assert_eq!(next.lost, 0, "what has no line of the audit stays");
        for change in next.changes {
            seen += 1;
            assert_eq!(change.revision.get(), seen, "the audit sees each change");
        }
        unaudited.written();
        unaudited.wait(Duration::ZERO);
    }
}

#[test]
fn threads_what_the_audit_or_a_reader_needs_stays() {
    explore(2, || {
        let store = open(Options {
            audit: AuditUse::Kept,
            retention: Retention {
                age: Duration::ZERO,
                bytes: 0,
            },
            run_keys: 1,
            now: ticking,
            ..options()
        });
        let unaudited = store.unaudited_changes().unwrap();
        let audit = thread::spawn(move || audit(unaudited, 3));
        let changing = store.clone();
        let changes = thread::spawn(move || {
            untag(&changing, "a");
            tag(&changing, "a", 1);
            // There is time to delete what has expired.
            block_on(changing.check()).unwrap();
            let changed = changing.untag(removal("b"), origin(Action::UntagResources));
            let revision = block_on(changed).unwrap().revision.unwrap();
            block_on(changing.check()).unwrap();
            let newest = changing.change(account(), ChangeKey::Revision(revision));
            let newest = block_on(newest).unwrap();
            assert!(newest.is_some(), "the newest change stays");
        });
        match revisions(&store) {
            Ok(found) => assert!(
                found.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                "no change is left out: {found:?}"
            ),
            Err(StoreError::Compacted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        changes.join().unwrap();
        audit.join().unwrap();
        close(store);
    });
}
