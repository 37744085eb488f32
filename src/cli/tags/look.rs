//! A look at the tags that users have now.

use crate::cli::client::Failure;
use crate::client::{self, CallError, Connection, UserTag};
use crate::domain::Targets;

/// The tags of each user, who is called as typed; none of a user that does not exist.
///
/// A list names users by their ids and leaves out those without tags: so each is asked for alone.
///
/// # Errors
/// [`Failure`].
pub async fn tags_of_each(
    connection: &Connection,
    users: &Targets,
) -> Result<Vec<(String, Option<Vec<UserTag>>)>, Failure> {
    let mut all = Vec::with_capacity(users.count());
    for at in 0..users.count() {
        let user = users.at(&[at]);
        let tags = match all_tags(connection, &user).await {
            Ok(tags) => Some(tags),
            Err(error) if error.is_missing_users() => None,
            Err(error) => return Err(error.into()),
        };
        all.push((users.name_at(at).to_owned(), tags));
    }
    Ok(all)
}

async fn all_tags(connection: &Connection, user: &Targets) -> Result<Vec<UserTag>, CallError> {
    let mut listing = client::list(connection, Some(user), &[], None);
    let mut tags = Vec::new();
    while let Some(page) = listing.page().await? {
        tags.extend(page);
    }
    Ok(tags)
}
