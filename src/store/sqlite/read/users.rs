//! What is read of users.

use rusqlite::Connection;

use crate::domain::{User, UserKey, UserListQuery, UserPage, UserQuery};
use crate::store::paging::{SCAN_LIMIT, UserPageBuilder};
use crate::store::sqlite::error::ApplyError;
use crate::store::sqlite::format::UserTables;
use crate::store::sqlite::log::{Published, Tombstones};

/// Reads one user, one that is deleted too where it is asked for by its id.
pub fn get_user(
    connection: &Connection,
    published: &Published,
    query: &UserQuery,
) -> Result<Option<User>, ApplyError> {
    let mut number = None;
    loop {
        // A snapshot comes with the tombstones of a row that is known before it.
        let capture = |in_force: &Tombstones| number.map_or(0, |number| in_force.of(number));
        let (snapshot, removed) = published.snapshot(connection, capture)?;
        let tables = UserTables(&snapshot);
        let found = tables.find(&query.account, &query.by, |_| removed)?;
        match found {
            Some(found) if number == Some(found.number) => return Ok(Some(found.user)),
            // Again only where the key has passed to another row meanwhile.
            Some(found) => number = Some(found.number),
            None => {
                let UserKey::Id(id) = &query.by else {
                    return Ok(None);
                };
                let until = Some(query.time.newest_expired());
                let deleted = tables.find_deleted(&query.account, id)?;
                let deleted = deleted.map(|deleted| deleted.user);
                return Ok(deleted.filter(|user| user.delete_time > until));
            }
        }
    }
}

/// Reads a page of users.
pub fn list_users(
    connection: &Connection,
    published: &Published,
    query: &UserListQuery,
) -> Result<UserPage, ApplyError> {
    // One more than a page looks at tells whether it has seen the last.
    let most = SCAN_LIMIT + 1;
    let (snapshot, in_force) = published.snapshot(connection, Tombstones::clone)?;
    let mut page = UserPageBuilder::new(query);
    let removed = |number| in_force.of(number);
    UserTables(&snapshot).each(query, most, removed, |user| page.add(user))?;
    Ok(page.finish())
}
