//! The tests of the black box, on PostgreSQL: all that can depend on the store. The command line, the protocol, reflection, the
//! health service, the log's format and what is refused before a store is asked are tested once, on the embedded store.

mod home;

#[path = "../../service/black_box/answer.rs"]
mod answer;
#[path = "../../service/black_box/bulk.rs"]
mod bulk;
#[path = "../../service/black_box/importer.rs"]
mod importer;
#[path = "../../service/black_box/users.rs"]
mod users;
#[path = "../../service/black_box/wire.rs"]
mod wire;

#[path = "../../service/black_box/accounts.rs"]
mod postgres_accounts;
#[path = "../../service/black_box/answer_size.rs"]
mod postgres_answer_size;
#[path = "../../service/black_box/answers.rs"]
mod postgres_answers;
#[path = "../../service/black_box/changes.rs"]
mod postgres_changes;
#[path = "../../service/black_box/counts.rs"]
mod postgres_counts;
#[path = "../../service/black_box/deadlines.rs"]
mod postgres_deadlines;
#[path = "../../service/black_box/directory.rs"]
mod postgres_directory;
#[path = "../../service/black_box/expected.rs"]
mod postgres_expected;
#[path = "../../service/black_box/import_ahead.rs"]
mod postgres_import_ahead;
#[path = "../../service/black_box/import_export.rs"]
mod postgres_import_export;
#[path = "../../service/black_box/import_modes.rs"]
mod postgres_import_modes;
#[path = "../../service/black_box/import_refusals.rs"]
mod postgres_import_refusals;
#[path = "../../service/black_box/imports.rs"]
mod postgres_imports;
#[path = "../../service/black_box/limits.rs"]
mod postgres_limits;
#[path = "../../service/black_box/logs.rs"]
mod postgres_logs;
#[path = "../../service/black_box/operations.rs"]
mod postgres_operations;
#[path = "../../service/black_box/paging.rs"]
mod postgres_paging;
#[path = "../../service/black_box/past.rs"]
mod postgres_past;
#[path = "../../service/black_box/repeats.rs"]
mod postgres_repeats;
#[path = "../../service/black_box/shutdown.rs"]
mod postgres_shutdown;
#[path = "../../service/black_box/store_failures.rs"]
mod postgres_store_failures;
#[path = "../../service/black_box/watches.rs"]
mod postgres_watches;
