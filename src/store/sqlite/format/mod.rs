//! What lies on the disk: the data directory, the schema of the database, and how its rows are read and written.

mod directory;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod log_effect;
pub mod log_entry;
mod log_user;
mod migrations;
mod numbers;
mod rows;
mod schema;
pub mod tags;
pub mod tombstone;
mod users;

pub use directory::{DataDirectory, Existing, create_directory, inspect, open_existing};
pub use log_effect::LoggedEffect;
pub use log_user::{decode_users, encode_users};
pub use migrations::Migration;
#[cfg(test)]
pub use migrations::create;
pub use numbers::{keep_next_number, next_number};
pub use rows::{COLUMNS, Record, Rewrite, Rewriter, RowChange, RowReader};
pub use schema::{begin_history, reserve_pages, touch};
pub use users::{StoredUser, UserTables};
