//! How subcommands call a running service: the flags that all of them share, the output, and the exit codes.

mod arguments;
pub mod completion;
mod failure;
mod filter;
mod moment;
mod output;
mod profile;
mod question;
mod user;

pub use arguments::ClientArguments;
pub use failure::{EXIT_CODES, Exit, Failure};
pub use filter::tag_filter;
pub use moment::{moment, rfc3339, rfc3339_seconds};
pub use output::{Output, Table, printable};
pub use question::{ask, can_ask};
pub use user::User;

use std::process::ExitCode;

use super::{process, say};
use crate::client::Connection;

/// Does the work of a subcommand, and says what failed.
pub fn run(work: impl Future<Output = Result<Exit, Failure>>) -> ExitCode {
    let done = process::runtime()
        .map_err(Failure::Failed)
        .and_then(|runtime| runtime.block_on(work));
    let exit = done.unwrap_or_else(|failure| {
        say(&failure);
        failure.exit()
    });
    exit.into()
}

/// Connects to the service that the command line names.
///
/// # Errors
/// [`Failure`].
pub async fn connect(arguments: &ClientArguments) -> Result<Connection, Failure> {
    let settings = arguments.settings().map_err(Failure::Usage)?;
    Ok(Connection::open(&settings).await?)
}
