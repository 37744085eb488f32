//! What the fuzz targets expect of the parts of this layer that nothing outside sees.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{change_token, page_token};
use crate::domain::{
    AccountId, ChangeFilter, ChangeKey, ChangeListQuery, ChangeQuery, Continuation, Direction,
    ListQuery, PageSize, Revision, TagFilter, TagKey, Timestamp, UserListQuery,
};

pub use super::connect::fuzzing::{json as connect_json, message as connect_message};

/// Checks that a page token is none of the request's, or goes on where the token that is written of it does; and that another request
/// does not take that one. The first byte is the version of the token that the rest is put into, and the rest by itself is a token, too.
///
/// # Panics
/// Where that does not hold.
pub fn page_tokens(bytes: &[u8]) {
    let Some((version, rest)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let sealed = |token: String| {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).expect("it was written so");
        bytes[0] = *version;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let [list, others] = ["1", "2"].map(list);
    let of_list = page_token::write(&Continuation::Token(text.to_owned()), &list);
    let [users, users_of_others] = ["1", "2"].map(|account| of_users(&account_id(account)));
    let of_users = page_token::seal(*version, &users, text);
    for token in [text.to_owned(), sealed(of_list)] {
        if let Some(next) = page_token::read(&token, &list) {
            let again = page_token::write(&next, &list);
            assert_eq!(page_token::read(&again, &list), Some(next));
            assert_eq!(page_token::read(&again, &others), None);
            assert_eq!(page_token::read_users(&again, &users), None);
        }
    }
    for token in [text, &of_users] {
        if let Some(next) = page_token::read_users(token, &users) {
            let again = page_token::write_users(&next, &users);
            assert_eq!(page_token::read_users(&again, &users), Some(next));
            assert_eq!(page_token::read_users(&again, &users_of_others), None);
            assert_eq!(page_token::read(&again, &list), None);
        }
    }
    changes(text, sealed);
}

fn changes(text: &str, sealed: impl Fn(String) -> String) {
    let [change, other_change] = ["1", "2"].map(change);
    let [list, other_list] = ["1", "2"].map(change_list);
    // The text stands where the numbers do.
    let around = |token: String| {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).expect("it was written so");
        bytes.truncate(9);
        bytes.extend_from_slice(text.as_bytes());
        sealed(URL_SAFE_NO_PAD.encode(bytes))
    };
    let of_change = around(change_token::write_passed(0, &change));
    if let Some(passed) = change_token::read_passed(&of_change, &change) {
        let again = change_token::write_passed(passed, &change);
        assert_eq!(change_token::read_passed(&again, &change), Some(passed));
        assert_eq!(change_token::read_passed(&again, &other_change), None);
        assert_eq!(change_token::read_revision(&again, &list), None);
    }
    let first = Revision::new(1).expect("1 is a revision");
    let of_changes = around(change_token::write_revision(first, &list));
    if let Some(next) = change_token::read_revision(&of_changes, &list) {
        let again = change_token::write_revision(next, &list);
        assert_eq!(change_token::read_revision(&again, &list), Some(next));
        assert_eq!(change_token::read_revision(&again, &other_list), None);
        assert_eq!(change_token::read_passed(&again, &change), None);
    }
}

fn account_id(account: &str) -> AccountId {
    AccountId::parse(account).expect("digits are an account id")
}

fn list(account: &str) -> ListQuery {
    ListQuery {
        account: account_id(account),
        targets: None,
        filters: vec![TagFilter {
            key: TagKey::parse("env").expect("it is a key"),
            value: None,
        }],
        revision: None,
        page_size: PageSize::default(),
        after: None,
    }
}

fn of_users(account: &AccountId) -> page_token::Fingerprint {
    let time = Timestamp::from_millis(1_800_000_000_000);
    page_token::users_fingerprint(&UserListQuery::all(account.clone(), time))
}

fn change(account: &str) -> ChangeQuery {
    ChangeQuery {
        account: account_id(account),
        key: ChangeKey::Revision(Revision::new(7).expect("7 is a revision")),
        page_size: PageSize::default(),
        passed: 0,
    }
}

fn change_list(account: &str) -> ChangeListQuery {
    ChangeListQuery {
        account: account_id(account),
        filter: ChangeFilter::default(),
        direction: Direction::Backwards,
        page_size: PageSize::default(),
        from: None,
    }
}
