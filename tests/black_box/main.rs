//! The program seen from outside: the real binary, asked over real connections.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../observability/http.rs"]
mod http;
#[path = "../support/mod.rs"]
mod support;

mod answer;
mod brief;
mod bulk;
mod home;
mod importer;
mod slow_disk;
mod users;
mod wire;

mod accounts;
mod answer_size;
mod answers;
mod browsers;
mod changes;
mod check_policy;
mod connect;
mod connect_refusals;
mod counts;
mod deadlines;
mod directory;
mod embedded;
mod errors;
mod expected;
#[path = "../attacks/frames.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod frames;
mod framing;
mod goaway;
mod health;
mod import_export;
mod import_modes;
mod import_refusals;
mod imports;
mod limits;
mod log_format;
mod logs;
mod operations;
mod paging;
mod past;
mod program;
mod protocol;
mod reflection;
mod repeats;
mod settings;
mod shutdown;
mod store_failures;
mod watches;
