//! The application log, and its level, which can be changed while the service runs. Traces, where they are wanted, start
//! with it.

use std::fmt;
use std::io::{self, IsTerminal as _, stderr};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use super::SECURITY;
use super::appender::{self, LogGuard};
use super::json::{JsonLines, TextLines};

/// The target of all spans, and of nothing else: they never show in the log.
pub const TARGET: &str = "untag::trace";

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text where stderr is a terminal, JSON otherwise.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the application log can't be started.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter can't be read.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// The thread that writes the log can't be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[from] io::Error),
}

/// A filter that can't be read.
#[derive(Debug, Error)]
#[error(
    "cannot read the log level {filter:?}: {reason}; write a level such as info, or target=level pairs"
)]
pub struct InvalidFilter {
    filter: String,
    reason: String,
}

/// The filter of the log, which can be read and changed.
#[derive(Clone)]
pub struct LogLevel {
    filter: Arc<Mutex<String>>,
    handle: reload::Handle<Targets, Registry>,
}

impl LogLevel {
    /// The filter that is in use.
    #[must_use]
    pub fn get(&self) -> String {
        let filter = self.filter.lock();
        filter.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the filter.
    ///
    /// # Errors
    /// [`InvalidFilter`] for one that can't be read; the old one stays in use.
    pub fn set(&self, filter: &str) -> Result<(), InvalidFilter> {
        let parsed = parse(filter)?;
        // Held while the log changes: of two that change it at once, the one that is told of is the one in use.
        let mut current = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle
            .reload(parsed)
            .map_err(|error| InvalidFilter::new(filter, error))?;
        filter.clone_into(&mut current);
        Ok(())
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("LogLevel")
            .field(&self.get())
            .finish()
    }
}

impl InvalidFilter {
    fn new(filter: &str, reason: impl fmt::Display) -> Self {
        Self {
            filter: filter.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// A layer beside the log that gets all spans and events.
pub type Listener = Box<dyn Layer<Registry> + Send + Sync>;

/// Sends log lines to stderr. A reader that stalls never stalls the service: lines that don't fit the buffer are
/// dropped. What is buffered is written when the guard goes. What `beside` hears does not depend on the log's level.
///
/// # Errors
/// [`LogError`], above all for a filter that can't be read.
pub fn start_logging(
    format: LogFormat,
    filter: &str,
    beside: Option<Listener>,
) -> Result<(LogLevel, LogGuard), LogError> {
    let parsed = parse(filter)?;
    let (buffer, guard) = appender::start(stderr())?;
    let is_terminal = stderr().is_terminal();
    let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(colours)
        .with_writer(buffer);
    let is_json = format == LogFormat::Json || (format == LogFormat::Auto && !is_terminal);
    let (parsed, handle) = reload::Layer::new(parsed);
    let lines = if is_json {
        lines.event_format(JsonLines).with_filter(parsed).boxed()
    } else {
        let text = TextLines(Format::default().with_ansi(colours));
        lines.event_format(text).with_filter(parsed).boxed()
    };
    let layers: Vec<_> = [lines].into_iter().chain(beside).collect();
    tracing_subscriber::registry().with(layers).init();
    let level = LogLevel {
        filter: Arc::new(Mutex::new(filter.to_owned())),
        handle,
    };
    Ok((level, guard))
}

fn parse(filter: &str) -> Result<Targets, InvalidFilter> {
    let directives = filter.split(',').map(str::trim);
    let directives: Vec<_> = directives.filter(|one| !one.is_empty()).collect();
    if directives.is_empty() {
        return Err(InvalidFilter::new(filter, "it is empty"));
    }
    // h2 warns of each odd frame, and a client can send them without end. The exporter of traces warns of each batch that is
    // lost, which `outage.rs` says once. Spans of traces are not for the log.
    let mut targets = Targets::new()
        .with_target("h2", LevelFilter::ERROR)
        .with_target("opentelemetry-otlp", LevelFilter::OFF)
        .with_target(TARGET, LevelFilter::OFF);
    for directive in directives {
        let invalid = |what| InvalidFilter::new(filter, format!("{directive:?} {what}"));
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, directive),
        };
        // The library reads nothing as "error".
        let level = Some(level).filter(|level| !level.is_empty());
        let level: Option<LevelFilter> = level.and_then(|level| level.parse().ok());
        let level = level.ok_or_else(|| invalid("has no level"))?;
        targets = match target {
            Some(target) if is_target(target) => targets.with_target(target, level),
            Some(_) => return Err(invalid("has no target")),
            None => targets.with_default(level),
        };
    }
    // The last one wins: tokio-postgres would show the parameters of statements, and so tag values, to whoever asks for it.
    let targets = targets.with_target("tokio_postgres::query", LevelFilter::INFO);
    Ok(targets.with_target(SECURITY, LevelFilter::INFO))
}

/// Whether a text can be the path of a module.
fn is_target(text: &str) -> bool {
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    !text.is_empty() && text.bytes().all(is_of_path)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_is_levels_and_pairs() {
        for good in [
            "info",
            "OFF",
            "warn,untag::server=debug",
            "info,, h2=trace,",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "inof",
            "untag",
            "info,untag=loud",
            "untag=info=warn",
            "[=debug",
            "[request{code=\"OK\"}]=debug",
            "untag=",
            "=info",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_shows_what_it_names_but_no_secrets() {
        let filter = parse("info,untag::server=off,h2=trace,tokio_postgres=trace").unwrap();
        for (target, level, is_shown) in [
            ("untag::grpc", Level::INFO, true),
            ("untag::grpc", Level::DEBUG, false),
            ("untag::server::drain", Level::ERROR, false),
            ("h2::frame", Level::TRACE, true),
            ("tokio_postgres::config", Level::TRACE, true),
            ("tokio_postgres::query", Level::DEBUG, false),
            (TARGET, Level::ERROR, false),
        ] {
            assert_eq!(
                filter.would_enable(target, &level),
                is_shown,
                "{target} {level}"
            );
        }
        let all = parse("trace,tokio_postgres::query=trace").unwrap();
        assert!(!all.would_enable("tokio_postgres::query", &Level::DEBUG));
        assert!(!all.would_enable("h2::frame", &Level::WARN));
    }
}
