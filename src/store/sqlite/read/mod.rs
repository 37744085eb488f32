//! The threads that read, and what they read.

mod audit;
mod changes;
mod counts;
mod imports;
mod pool;
mod queries;
mod reverts;
mod users;

pub use audit::UnauditedChanges;
pub use changes::{change, changes, history};
pub use counts::{tag_keys, tag_values};
pub use imports::check_import;
pub use pool::Readers;
pub use queries::{check_untag, list};
pub use reverts::check_revert;
pub use users::{get_user, list_users};
