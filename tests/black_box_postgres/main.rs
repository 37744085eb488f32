//! The tests of the black box, on PostgreSQL: all but the command line, and what only the embedded store has.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

mod home;

#[path = "../black_box/answer.rs"]
mod answer;
#[path = "../black_box/brief.rs"]
mod brief;
#[path = "../black_box/bulk.rs"]
mod bulk;
#[path = "../black_box/importer.rs"]
mod importer;
#[path = "../black_box/users.rs"]
mod users;
#[path = "../black_box/wire.rs"]
mod wire;

#[path = "../black_box/accounts.rs"]
mod postgres_accounts;
#[path = "../black_box/answer_size.rs"]
mod postgres_answer_size;
#[path = "../black_box/answers.rs"]
mod postgres_answers;
#[path = "../black_box/changes.rs"]
mod postgres_changes;
#[path = "../black_box/counts.rs"]
mod postgres_counts;
#[path = "../black_box/deadlines.rs"]
mod postgres_deadlines;
#[path = "../black_box/directory.rs"]
mod postgres_directory;
#[path = "../black_box/errors.rs"]
mod postgres_errors;
#[path = "../black_box/expected.rs"]
mod postgres_expected;
#[path = "../black_box/health.rs"]
mod postgres_health;
#[path = "../black_box/import_export.rs"]
mod postgres_import_export;
#[path = "../black_box/import_modes.rs"]
mod postgres_import_modes;
#[path = "../black_box/import_refusals.rs"]
mod postgres_import_refusals;
#[path = "../black_box/imports.rs"]
mod postgres_imports;
#[path = "../black_box/limits.rs"]
mod postgres_limits;
#[path = "../black_box/log_format.rs"]
mod postgres_log_format;
#[path = "../black_box/logs.rs"]
mod postgres_logs;
#[path = "../black_box/operations.rs"]
mod postgres_operations;
#[path = "../black_box/paging.rs"]
mod postgres_paging;
#[path = "../black_box/past.rs"]
mod postgres_past;
#[path = "../black_box/protocol.rs"]
mod postgres_protocol;
#[path = "../black_box/reflection.rs"]
mod postgres_reflection;
#[path = "../black_box/repeats.rs"]
mod postgres_repeats;
#[path = "../black_box/shutdown.rs"]
mod postgres_shutdown;
#[path = "../black_box/store_failures.rs"]
mod postgres_store_failures;
#[path = "../black_box/watches.rs"]
mod postgres_watches;
