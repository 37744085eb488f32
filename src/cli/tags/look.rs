//! A look at the tags that users have now.

use crate::cli::client::Failure;
use crate::client::{self, Connection, UserTag};
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
        let mut listing = client::list(connection, Some(&user), &[]);
        let mut tags = Some(Vec::new());
        loop {
            match (listing.page().await, &mut tags) {
                (Ok(Some(page)), Some(tags)) => tags.extend(page),
                (Err(error), _) if error.is_missing_users() => {
                    tags = None;
                    break;
                }
                (Err(error), _) => return Err(error.into()),
                (Ok(_), _) => break,
            }
        }
        all.push((users.name_at(at).to_owned(), tags));
    }
    Ok(all)
}
