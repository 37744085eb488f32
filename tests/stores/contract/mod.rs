//! What every store promises, checked on each store that there is.
//!
//! To put another store under the contract: implement [`Backend`] for it in a file of its own, and instantiate the
//! cases in a module that begins with its name, so that `cargo test sqlite_` or `cargo test postgres_` finds them.

mod backend;
mod concurrency;
mod concurrent_users;
mod counts;
mod deleted_users;
mod expected;
mod fixtures;
mod history;
mod ims;
mod list;
mod model;
mod paging;
mod past;
mod postgres;
mod random;
mod random_users;
mod repeated_users;
mod replay;
mod reverts;
pub mod sqlite;
mod sqlite_audit;
mod sqlite_users;
mod tag;
mod untag;
mod user_filters;
mod user_fixtures;
mod user_names;
mod users;

use backend::{Backend, store_contract, tag_contract};

mod sqlite_store {
    super::store_contract!(crate::contract::sqlite::SqliteBackend);
}

mod sqlite_store_that_compacts {
    super::store_contract!(crate::contract::sqlite::CompactingBackend);
}

mod postgres_store {
    super::store_contract!(crate::contract::postgres::PostgresBackend);
}

mod ims_store {
    super::tag_contract!(crate::contract::ims::ImsBackend);
}
