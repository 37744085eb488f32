//! The service on PostgreSQL, from outside: the real binary and real servers, also when those fail.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

mod audit;
mod batches;
mod bulk;
mod change_log;
mod connections;
mod cutting_proxy;
mod failover;
mod harness;
mod history;
#[path = "../observability/http.rs"]
mod http;
mod log_check;
mod migrations;
mod outages;
mod pgbouncer;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod prepared;
mod repeats;
#[path = "../support/replay.rs"]
#[allow(dead_code, reason = "each test crate uses its own part")]
mod replayed;
mod replicas;
mod requests;
mod rolling_restart;
mod secrets;
mod start_up;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod users;
#[path = "../support/watcher.rs"]
mod watcher;
