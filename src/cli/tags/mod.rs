//! `untag tags`: the tags of users, by a running service.

mod arguments;
mod batch;
mod change;
mod confirmation;
mod keys;
mod list;
mod look;
mod remove;
mod set;
mod source;
mod user_file;
mod users;
mod work;

use std::process::ExitCode;

pub use arguments::TagsArguments;
use arguments::TagsCommand;

use super::client;

pub fn run(arguments: &TagsArguments) -> ExitCode {
    match &arguments.command {
        TagsCommand::List(arguments) => client::run(list::run(arguments)),
        TagsCommand::Remove(arguments) => client::run(remove::run(arguments)),
        TagsCommand::Set(arguments) => client::run(set::run(arguments)),
        TagsCommand::Keys(arguments) => client::run(keys::run(arguments)),
    }
}
