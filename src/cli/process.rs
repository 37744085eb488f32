//! What a subcommand that is not a server needs of the process: a runtime, and an end by signals.

use std::{process, thread};

use tokio::runtime::Runtime;

use super::atomic_file;
use crate::server::Signals;

/// Lets SIGTERM, SIGINT and SIGHUP end a subcommand that is not a server, whatever it waits for. Without it they are
/// ignored where it is a container's first process. What it has not committed is not done.
///
/// # Errors
/// Why that is impossible.
pub fn end_on_signals() -> Result<(), String> {
    end_on_signals_saying(String::new)
}

/// As [`end_on_signals`], and says something more in the end.
///
/// # Errors
/// Why that is impossible.
pub fn end_on_signals_saying(more: impl FnOnce() -> String + Send + 'static) -> Result<(), String> {
    let runtime = runtime()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen_at_terminal().map_err(|error| error.to_string())?
    };
    // A thread of its own: reading stdin, or a database that is embedded, blocks the one that works.
    thread::spawn(move || {
        let signal = runtime.block_on(signals.next());
        atomic_file::remove_unfinished();
        eprintln!("untag: ended by {signal}{}", more());
        process::exit(signal.exit_code().into());
    });
    Ok(())
}

/// A runtime for work that waits.
///
/// # Errors
/// Why there is none.
pub fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))
}
