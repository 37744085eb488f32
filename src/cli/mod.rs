//! The subcommands.

mod args;
mod atomic_file;
mod changes;
mod check_policy;
mod client;
mod completions;
mod config_file;
mod export;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod import;
mod ims;
mod json_lines;
mod limits;
mod man;
mod memory;
mod migrate;
mod process;
mod proto;
mod security;
mod serve;
mod settings;
mod store;
mod tags;
mod toml_file;
mod unknown_variables;
mod users;
mod values;
mod written_files;

use std::fmt::Display;
use std::process::ExitCode;

pub use args::{Arguments, Command};
use settings::Settings;

/// Parses the command line, runs the subcommand and returns the exit code: 0 for success, 1 for a failure, which stderr
/// explains, 2 for a command line that is wrong, and 128 and the number of the signal that ended it. For `check-policy`
/// denied is 1, and a policy file that is wrong is 2; `tags`, `users` and `changes` have codes of their own.
#[must_use]
pub fn run() -> ExitCode {
    completions::answer();
    let Settings { command, warnings } = match Settings::read() {
        Ok(settings) => settings,
        Err(error) => error.exit(),
    };
    // The service has a log for them.
    if !matches!(command, Command::Serve(_)) {
        for warning in &warnings {
            eprintln!("untag: warning: {warning}");
        }
    }
    if matches!(command, Command::Export(_) | Command::Migrate(_))
        && let Err(error) = process::end_on_signals()
    {
        return fail(error);
    }
    match command {
        Command::Serve(arguments) => serve::run(*arguments, &warnings),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Tags(arguments) => tags::run(&arguments),
        Command::Users(arguments) => users::run(&arguments),
        Command::Changes(arguments) => changes::run(&arguments),
        Command::CheckPolicy(arguments) => check_policy::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Proto(arguments) => proto::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}

/// Says what went wrong, and returns the exit code for it.
fn fail(error: impl Display) -> ExitCode {
    say(error);
    ExitCode::FAILURE
}

/// Says what went wrong, and where the settings come from that it names.
fn say(error: impl Display) {
    let error = error.to_string();
    eprintln!("untag: {error}{}", settings::origins(&error));
}
