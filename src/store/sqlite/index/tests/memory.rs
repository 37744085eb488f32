//! How much memory the index takes.

use super::ACCOUNTS;
use crate::store::sqlite::format::Record;
use crate::store::sqlite::index::Index;

fn put_numbered(index: &Index, number: u32) {
    let mut changing = index.0.changing.lock();
    let (id, name) = (
        format!("2{number:015}"),
        format!("user-{number}@example.com"),
    );
    let record = Record {
        number: number.into(),
        account: ACCOUNTS[0],
        id: &id,
        name: &name,
        tags: &[],
    };
    index.put(&record, &mut changing.budget);
}

#[test]
fn a_user_takes_at_most_56_bytes() {
    let index = Index::new(usize::MAX);
    let mut most = 0;
    for number in 1..=250_000 {
        put_numbered(&index, number);
        // At 114,688 and 229,376 users the tables become twice as large.
        if number >= 100_000 && number % 1_000 == 0 {
            let (bytes, users, names) = index.0.users.measure();
            assert_eq!((users, names), (number as usize, number as usize));
            most = most.max(bytes * 10 / users);
        }
    }
    assert!(most <= 560, "{most} tenths of a byte");
}

#[test]
fn it_takes_no_more_memory_than_it_may() {
    for bytes in [0, 1_000, 100_000, 1_000_000] {
        let index = Index::new(bytes);
        for number in 1..=30_000 {
            put_numbered(&index, number);
            if number % 97 == 0 {
                assert!(index.0.users.measure().0 <= bytes);
            }
        }
        let (_, users, names) = index.0.users.measure();
        assert!(users <= 30_000 && names <= users);
        assert!(
            users * 60 + 500_000 >= bytes.min(30_000 * 60),
            "{users} users in {bytes} bytes"
        );
    }
}
