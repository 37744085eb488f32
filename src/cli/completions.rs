//! The subcommand `untag completions`, and what the script that it prints asks the program.

use std::io::{ErrorKind, Write as _, stdout};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;

use super::args::{Arguments, CompletionsArguments};
use super::fail;

/// The variable by which a script asks for what may follow. It has the name of the shell.
const VARIABLE: &str = "UNTAG_COMPLETE";

/// Prints the script of a shell, which calls `untag` for each completion.
pub fn run(arguments: &CompletionsArguments) -> ExitCode {
    let shells = Shells::builtins();
    let name = arguments.shell.to_string();
    let Some(shell) = shells.completer(&name) else {
        return fail(format_args!("there are no completions for {name}"));
    };
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "untag", "untag", "untag", &mut script);
    match written.and_then(|()| stdout().write_all(&script)) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(format_args!("cannot write to stdout: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Answers where the script of a shell asks for completions, and ends the program.
pub fn answer() {
    let completer = CompleteEnv::with_factory(Arguments::command).var(VARIABLE);
    completer.complete();
}
