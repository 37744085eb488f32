//! Observability: metrics, probes and the log level, on the admin port, and traces.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]
#![allow(
    clippy::float_cmp,
    reason = "counts are whole numbers, which floats hold exactly"
)]

#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/mod.rs"]
mod support;

#[path = "../security/authority.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod authority;
#[path = "../security/harness.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod harness;
#[path = "../black_box/home.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod home;
#[path = "../black_box/slow_disk.rs"]
mod slow_disk;
#[path = "../black_box/users.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod users;
#[path = "../black_box/wire.rs"]
mod wire;

mod collector;
mod http;
mod scrape;

mod calls;
mod connections;
mod log_level;
mod metrics;
mod probes;
mod rules;
mod security;
mod shared_store;
mod store;
mod traces;
