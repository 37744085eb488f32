//! `untag changes`: the history of an account, its undo and its feed, by a running service.

mod arguments;
mod effects;
mod list;
mod position;
mod revert;
mod row;
mod show;
mod watch;

use std::process::ExitCode;

pub use arguments::ChangesArguments;
use arguments::ChangesCommand;

use super::client;

pub fn run(arguments: &ChangesArguments) -> ExitCode {
    match &arguments.command {
        ChangesCommand::List(arguments) => client::run(list::run(arguments)),
        ChangesCommand::Show(arguments) => client::run(show::run(arguments)),
        ChangesCommand::Revert(arguments) => client::run(revert::run(arguments)),
        ChangesCommand::Watch(arguments) => client::run(watch::run(arguments)),
    }
}
