//! The service on PostgreSQL, from outside: the real binary and real servers, also when those fail.

mod audit;
mod batches;
mod bulk;
mod change_log;
mod connections;
mod cutting_proxy;
mod failover;
mod given_server;
mod harness;
mod history;
mod log_check;
mod migrations;
mod nodes;
mod outages;
mod pgbouncer;
mod prepared;
mod repeats;
mod replicas;
mod requests;
mod rolling_restart;
mod secrets;
mod start_up;
mod store_file;
mod tls;
mod users;
