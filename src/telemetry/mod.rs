//! Telemetry: the application log, metrics, traces, and the lines of the audit.

mod appender;
mod json;
mod lines;
mod log;
pub mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
mod outage;
pub mod trace;

pub use appender::LogGuard;
pub use lines::{
    Flush, LineFile, LineSender, LineSlot, LineSource, LineWriter, OnFailure, Written, lost_marker,
    wait_for, write_lines,
};
pub use log::{InvalidFilter, Listener, LogError, LogFormat, LogLevel, start_logging};
#[cfg(feature = "otlp")]
pub use otlp::Traces;

/// The target of security events, which no filter turns off: refused logins, files that are followed, the audit, and the
/// log level itself.
pub const SECURITY: &str = "untag::security";
