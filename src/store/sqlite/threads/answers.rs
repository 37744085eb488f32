//! Who reads beside changes sees them whole, one after another, and from the answer on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::block_on;
use shuttle::thread;

use super::home::{close, list, open, options, tag, untag};
use crate::store::Store as _;
use crate::sync::explore;

/// How far the tag `a` has got: its value is 0 at first, then it is removed, and then it is 1.
fn progress(tags: &str) -> usize {
    let states = ["a=0 b=0", "b=0", "a=1 b=0"];
    let state = states.iter().position(|state| *state == tags);
    state.unwrap_or_else(|| panic!("rows are paired with the tombstones of their commit: {tags}"))
}

#[test]
fn threads_rows_are_read_with_the_tombstones_of_their_commit() {
    explore(6, || {
        let store = open(options());
        let answered = Arc::new(AtomicUsize::new(0));
        let (changing, progressed) = (store.clone(), Arc::clone(&answered));
        let changes = thread::spawn(move || {
            untag(&changing, "a");
            assert_eq!(
                progress(&list(&changing)),
                1,
                "it is answered when it is seen"
            );
            progressed.store(1, Ordering::Relaxed);
            tag(&changing, "a", 1);
            assert_eq!(
                progress(&list(&changing)),
                2,
                "it is answered when it is seen"
            );
        });
        let reading = store.clone();
        let reads = thread::spawn(move || {
            let mut before = 0;
            for _ in 0..3 {
                before = before.max(answered.load(Ordering::Relaxed));
                let now = progress(&list(&reading));
                assert!(
                    now >= before,
                    "nobody sees less than was answered or seen before"
                );
                before = now;
            }
        });
        // Without changes there is time to compact.
        block_on(store.check()).unwrap();
        changes.join().unwrap();
        reads.join().unwrap();
        close(store);
    });
}
