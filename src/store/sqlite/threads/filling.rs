//! The index is filled beside changes, and knows of each user what its row has then.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use super::home::{USERS, account, close, list, now, open, options, origin, removal, tag, untag};
use crate::domain::{Action, ResourceId, UserChange, UserCommand};
use crate::store::{Store as _, StoreError};
use crate::sync::explore;

#[test]
fn threads_an_untag_while_the_index_is_filled_removes_the_right_tag() {
    explore(4, || {
        let store = open(options());
        let changing = store.clone();
        let changes = thread::spawn(move || {
            // The tags of the rows lie at other positions from then on.
            tag(&changing, "0", 1);
            untag(&changing, "a");
        });
        block_on(store.check()).unwrap();
        changes.join().unwrap();
        assert_eq!(list(&store), "0=1 b=0", "the index tells where tags lie");
        close(store);
    });
}

#[test]
fn threads_a_user_who_is_deleted_while_the_index_is_filled_is_missing() {
    explore(2, || {
        let store = open(options());
        let id = ResourceId::parse(USERS[1]).unwrap();
        let deletion = UserChange::Delete { id };
        let command = UserCommand::of_one(account(), now(), deletion);
        let deleted = store.change_users(Arc::new(command), origin(Action::DeleteUser));
        block_on(deleted).unwrap();
        let untagged = store.untag(removal("a"), origin(Action::UntagResources));
        let untagged = block_on(untagged);
        assert!(
            matches!(&untagged, Err(StoreError::Missing(missing)) if missing == &[1]),
            "who is deleted is missing: {untagged:?}"
        );
        close(store);
    });
}
