//! Logs, and the lines of the audit.

mod lines;

use std::io::{IsTerminal as _, stderr};

use clap::ValueEnum;
use thiserror::Error;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

pub use lines::{LineSender, LineWriter, write_lines};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text where stderr is a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A filter that can't be read.
#[derive(Debug, Error)]
#[error(
    "cannot read the log level {filter:?}: {source}; write a level such as info, or target=level pairs"
)]
pub struct InvalidFilter {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Sends log lines to stderr. A reader that stalls never stalls the service: lines that don't fit the buffer are
/// dropped. What is buffered is written when the guard goes.
///
/// # Errors
/// [`InvalidFilter`] for a filter that can't be read.
pub fn start_logging(format: LogFormat, filter: &str) -> Result<WorkerGuard, InvalidFilter> {
    let parsed = EnvFilter::builder()
        // h2 warns of each odd frame, and a client can send them without end.
        .parse(format!("h2=error,{filter}"))
        .map_err(|source| InvalidFilter {
            filter: filter.to_owned(),
            source,
        })?;
    let (writer, guard) = tracing_appender::non_blocking(stderr());
    let is_terminal = stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_ansi(is_terminal && std::env::var_os("NO_COLOR").is_none())
        .with_writer(writer);
    if format == LogFormat::Json || (format == LogFormat::Auto && !is_terminal) {
        builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .init();
    } else {
        builder.init();
    }
    Ok(guard)
}
