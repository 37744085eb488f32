//! The operations on users: their parameters, the calls that they take, and their answers.

mod answer;
mod list;
mod parameters;
mod words;

pub use answer::content;
pub use list::UserList;
pub use parameters::{NamedUser, UserChange, create, delete, get, get_deleted, restore, update};
pub use words::in_cloud_words;
