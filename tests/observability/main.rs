//! What an operator sees: metrics, probes and the log level, on the admin port.

#[path = "../support/mod.rs"]
mod support;

mod http;

mod log_level;
mod metrics;
mod probes;
mod rules;
