//! The users of a call.

use crate::cli::client::User;
use crate::domain::{Targets, limits};

/// The users of one call.
///
/// # Errors
/// Why one call can't have them: there are too many, or some are named by id and some by name.
pub fn of_one_call(users: &[User]) -> Result<Targets, String> {
    if users.len() > limits::RESOURCES {
        return Err(format!(
            "{} users are too many for one call: give at most {}",
            users.len(),
            limits::RESOURCES
        ));
    }
    alike(users).ok_or_else(|| {
        "some users are ids and some are principal names, and one call has users of one kind: give them as one kind, \
         or make two commands"
            .to_owned()
    })
}

/// The users, if all are named in the same way. There is at least one.
pub fn alike(users: &[User]) -> Option<Targets> {
    let ids = users.iter().map(|user| match user {
        User::Id(id) => Some(id.clone()),
        User::Name(_) => None,
    });
    let names = users.iter().map(|user| match user {
        User::Id(_) => None,
        User::Name(name) => Some(name.clone()),
    });
    let ids = ids.collect::<Option<Vec<_>>>().map(Targets::Ids);
    ids.or_else(|| names.collect::<Option<Vec<_>>>().map(Targets::Names))
}
