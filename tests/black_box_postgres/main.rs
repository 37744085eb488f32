//! The tests of the black box whose subject is what the service promises, and no store: the same, on PostgreSQL.

#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

mod home;

#[path = "../black_box/answer.rs"]
mod answer;
#[path = "../black_box/users.rs"]
mod users;
#[path = "../black_box/wire.rs"]
mod wire;

#[path = "../black_box/accounts.rs"]
mod postgres_accounts;
#[path = "../black_box/answer_size.rs"]
mod postgres_answer_size;
#[path = "../black_box/limits.rs"]
mod postgres_limits;
#[path = "../black_box/operations.rs"]
mod postgres_operations;
#[path = "../black_box/paging.rs"]
mod postgres_paging;
