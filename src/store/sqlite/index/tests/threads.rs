//! The index beside those who look into it, while it is filled and users come and go. The rows lie in a list: SQLite's transactions
//! are those of a lock here, and what is read under it is one state.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use super::{ACCOUNTS, User, all_of, by_name, known, user};
use crate::domain::TagSelection;
use crate::store::sqlite::format::RowChange;
use crate::store::sqlite::index::{Found, Index};
use crate::sync::explore;
use crate::sync::parking_lot::Mutex;

/// What becomes of the user `7`: a number and how many tags, or nothing while it is not there.
const VERSIONS: [Option<(i64, usize)>; 5] =
    [Some((1, 1)), Some((1, 3)), None, Some((3, 2)), Some((3, 0))];

fn seven(tags: usize) -> User {
    user(ACCOUNTS[0], "7", &["a", "b", "c"][..tags])
}

/// The store: the version that is committed, and the one that the index has taken over.
struct Rows {
    committed: Mutex<usize>,
    applied: AtomicUsize,
    index: Index,
}

impl Rows {
    /// Makes the change to a version, and lets the index take it over.
    fn change_to(&self, version: usize) {
        *self.committed.lock() = version;
        let change = match (VERSIONS[version], VERSIONS[version - 1]) {
            (Some((number, tags)), _) => seven(tags).written(number),
            (None, before) => seven(0).removed(before.map_or(0, |(number, _)| number)),
        };
        // Another user with the same name, which its number tells apart, comes and goes.
        let mut other = user(ACCOUNTS[0], "8", &["b"]);
        other.name = "U7@EXAMPLE.COM".to_owned();
        self.index.apply(&[change, other.written(2)]);
        self.applied.store(version, Ordering::Relaxed);
        self.index.apply(&[other.removed(2)]);
    }

    /// Reads the rows as a part of filling does.
    fn fill(&self) {
        self.index.note_changes(Some(HashSet::default()));
        let version = *self.committed.lock();
        if let Some((number, tags)) = VERSIONS[version]
            && let RowChange::Written(row) = seven(tags).written(number)
        {
            self.index.put_unchanged(&row.record());
        }
        self.index.note_changes(None);
    }

    /// Looks for the user, who is in the index as in one of the versions meanwhile.
    fn look(&self) {
        let first = self.applied.load(Ordering::Relaxed);
        let found = known(all_of(&self.index, ACCOUNTS[0], "7"));
        let last = *self.committed.lock();
        let found = found.map(|(number, tags)| (number, tags.count_ones() as usize));
        let versions = &VERSIONS[first..=last];
        assert!(
            found.is_none() || versions.contains(&found),
            "{found:?} is no version of {versions:?}"
        );
        let name = by_name(ACCOUNTS[0], "u7@example.com");
        let found = self.index.find(name, &TagSelection::All);
        assert!(matches!(found, Found::Ask | Found::Maybe(1..=3)));
    }
}

#[test]
fn threads_the_index_knows_each_user_as_it_is() {
    explore(40, || {
        let rows = Arc::new(Rows {
            committed: Mutex::new(0),
            applied: AtomicUsize::new(0),
            index: Index::new(usize::MAX),
        });
        let spawn = |work: fn(&Rows)| {
            let rows = Arc::clone(&rows);
            thread::spawn(move || work(&rows))
        };
        let threads = [
            spawn(|rows| (1..VERSIONS.len()).for_each(|version| rows.change_to(version))),
            spawn(Rows::fill),
            spawn(|rows| (0..2).for_each(|_| rows.look())),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        rows.look();
        let found = known(all_of(&rows.index, ACCOUNTS[0], "7"));
        assert_eq!(found, Some((3, 0)), "the index knows the last version");
    });
}
