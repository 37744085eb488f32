//! The service on PostgreSQL, from outside: the real binary and real servers, also when those fail.

mod audit;
mod batches;
mod bulk;
mod change_log;
mod connections;
mod failover;
mod given_server;
pub mod harness;
pub mod log_check;
mod migrations;
mod nodes;
mod outages;
mod pgbouncer;
mod prepared;
mod requests;
mod rolling_restart;
mod secrets;
mod start_up;
mod store_file;
mod tls;
mod users;
