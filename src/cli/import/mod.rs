//! The subcommand `untag import`.

mod arguments;
mod chunks;
mod input;
mod offline;
mod online;
mod report;

use std::process::ExitCode;

pub use arguments::{AFTER_HELP, ImportArguments, named_by_flags};

use super::client;

pub fn run(arguments: &ImportArguments) -> ExitCode {
    if arguments.client.names_service() {
        return client::run(online::run(arguments));
    }
    offline::run(arguments)
}
