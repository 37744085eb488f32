//! What lies on the disk: the data directory, the schema of the database, and how its rows are read and written.

mod directory;
mod migrations;
mod rows;
mod schema;
pub mod tags;
pub mod tombstone;

pub use directory::{DataDirectory, Existing, FILE_MODE, inspect, open_existing};
pub use migrations::Migration;
pub use rows::{Record, Rewrite, Rewriter, RowReader};
pub use schema::touch;
