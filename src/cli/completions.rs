//! The subcommand `untag completions`.

use std::io::stdout;
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::{Arguments, CompletionsArguments};

pub fn run(arguments: &CompletionsArguments) -> ExitCode {
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "untag",
        &mut stdout(),
    );
    ExitCode::SUCCESS
}
