//! The subcommand `untag completions`.

use std::io::{ErrorKind, Write as _, stdout};
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::{Arguments, CompletionsArguments};
use super::fail;

pub fn run(arguments: &CompletionsArguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "untag",
        &mut script,
    );
    match stdout().write_all(&script) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(format_args!("cannot write to stdout: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}
