//! `untag users`: the users of an account, by a running service.

mod add;
mod arguments;
mod list;
mod remove;
mod rename;
mod restore;
mod row;
mod show;

use std::process::ExitCode;

pub use arguments::UsersArguments;
use arguments::UsersCommand;
pub use row::Row as UserRow;

use super::client;

pub fn run(arguments: &UsersArguments) -> ExitCode {
    match &arguments.command {
        UsersCommand::List(arguments) => client::run(list::run(arguments)),
        UsersCommand::Show(arguments) => client::run(show::run(arguments)),
        UsersCommand::Add(arguments) => client::run(add::run(arguments)),
        UsersCommand::Rename(arguments) => client::run(rename::run(arguments)),
        UsersCommand::Remove(arguments) => client::run(remove::run(arguments)),
        UsersCommand::Restore(arguments) => client::run(restore::run(arguments)),
    }
}
