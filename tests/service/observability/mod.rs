//! Observability: metrics, probes and the log level, on the admin port, and traces.

#![allow(
    clippy::float_cmp,
    reason = "counts are whole numbers, which floats hold exactly"
)]

#[cfg(feature = "otlp")]
mod collector;
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
#[cfg(feature = "otlp")]
mod traces;
