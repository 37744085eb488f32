//! Logs, metrics, and the lines of the audit.

mod lines;
mod log;
pub mod metrics;

pub use lines::{LineSender, LineWriter, write_lines};
pub use log::{InvalidFilter, LogFormat, LogLevel, start_logging};
