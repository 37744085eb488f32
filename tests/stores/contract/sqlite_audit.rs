//! What the embedded store tells the audit of what it commits.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use untag::domain::{AuditedChange, TagSelection};
use untag::store::sqlite::{Options, SqliteStore};
use untag::store::{AuditUse, CommittedChanges, Store as _};

use super::fixtures::{ids, keys, names, numbered_user, origin, tag, untag};

fn open(directory: &Path) -> SqliteStore {
    let options = Options {
        audit: AuditUse::Kept,
        ..Options::default()
    };
    let tags = [("a", "1"), ("b", "2"), ("c", "3")];
    let users = (1..=6).map(|number| numbered_user(number, &tags));
    SqliteStore::open(directory, options, users.collect()).unwrap()
}

/// The changes that the audit has not seen, with those that can't be read.
fn rest(changes: &mut impl CommittedChanges) -> (Vec<AuditedChange>, u64) {
    let (mut all, mut lost) = (Vec::new(), 0);
    loop {
        let next = changes.next().unwrap();
        if next.is_empty() {
            return (all, lost);
        }
        lost += next.lost;
        all.extend(next.changes);
    }
}

async fn change_users(store: &SqliteStore) {
    for command in [
        untag(ids(["1"]), keys(["a"])),
        untag(ids(["2", "1", "3"]), keys(["c", "a"])),
        untag(ids(["4"]), TagSelection::All),
        untag(names(&["user-5@example.com"]), keys(["b"])),
        untag(ids(["6"]), keys(["c", "nothing"])),
    ] {
        store.untag(Arc::new(command), origin()).await.unwrap();
    }
    let command = tag(ids(["1", "4"]), &[("a", "9")]);
    store.tag(Arc::new(command), origin()).await.unwrap();
    let command = untag(ids(["1", "4"]), TagSelection::All);
    store.untag(Arc::new(command), origin()).await.unwrap();
}

#[tokio::test]
async fn sqlite_audit_is_told_the_same_as_it_reads_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut changes = store.unaudited_changes().unwrap();
    change_users(&store).await;
    let told = rest(&mut changes);
    assert_eq!((told.0.len(), told.1), (7, 0));
    // What was told is gone by now, and has to be read.
    changes.rewind();
    assert_eq!(rest(&mut changes), told);
}

#[tokio::test]
async fn sqlite_audit_of_untags_by_id_reads_no_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut changes = store.unaudited_changes().unwrap();
    // A row that is written is in the index, also while that is being filled.
    let command = tag(ids(["1", "2", "3"]), &[("a", "9")]);
    store.tag(Arc::new(command), origin()).await.unwrap();
    assert_eq!(rest(&mut changes).0.len(), 1);
    let command = untag(ids(["2", "1", "3"]), keys(["c", "a"]));
    store.untag(Arc::new(command), origin()).await.unwrap();
    let connection = Connection::open(directory.path().join("untag.db")).unwrap();
    let broken = "UPDATE change_log SET entries = x'ff'";
    connection.execute_batch(broken).unwrap();
    let (told, lost) = rest(&mut changes);
    let [change] = told.as_slice() else {
        panic!("{told:?}");
    };
    let effects = change.effects.iter().map(|effect| {
        let keys: Vec<_> = effect
            .tag_keys
            .iter()
            .map(untag::domain::TagKey::as_str)
            .collect();
        (effect.resource_id.as_str(), keys)
    });
    let expected = ["2", "1", "3"].map(|id| (id, vec!["a", "c"]));
    assert_eq!(effects.collect::<Vec<_>>(), expected);
    assert_eq!(lost, 0);
    changes.rewind();
    assert_eq!(rest(&mut changes).1, 2, "the log is read for what is gone");
}
