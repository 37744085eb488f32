//! What lies on the disk: the data directory, the schema of the database, and how its rows are read and written.

mod directory;
mod migrations;
mod numbers;
mod rows;
mod schema;
pub mod tags;
pub mod tombstone;
mod users;

pub use directory::{DataDirectory, Existing, inspect, open_existing};
pub use migrations::Migration;
pub use numbers::{keep_next_number, next_number};
pub use rows::{COLUMNS, Record, Rewrite, Rewriter, RowChange, RowReader};
pub use schema::touch;
pub use users::{StoredUser, UserTables};
