//! Why a subcommand that calls a service failed, and the exit codes.

use std::process::ExitCode;
use std::{fmt, io};

use super::output::printable;
use crate::client::{CallError, OpenError, Outcome};
use crate::server::Signal;

/// The exit codes, as `--help` has them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    refused, or it failed; nothing was changed, unless the message says otherwise
  2    the command line, or a file that it names, is wrong; no call was made
  3    the service can't be reached, or can't do it now; that call has changed nothing
  4    nobody knows whether a change was made: the answer was lost
  128  and the number of the signal that ended it";

/// The exit codes, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Done,
    /// Refused or failed.
    Failed,
    /// The command line or a file is wrong.
    Usage,
    /// The service is out of reach.
    Unavailable,
    /// Nobody knows what came of a change.
    Unknown,
    /// A signal has ended it.
    Ended(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unavailable => 3,
            Exit::Unknown => 4,
            Exit::Ended(code) => code,
        })
    }
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        Self::Ended(signal.exit_code())
    }
}

impl From<&CallError> for Exit {
    fn from(error: &CallError) -> Self {
        match error.outcome() {
            Outcome::Refused => Self::Failed,
            Outcome::Unavailable => Self::Unavailable,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

/// The reason why a subcommand failed.
#[derive(Debug)]
pub enum Failure {
    /// The command line, or a file that it names, is wrong.
    Usage(String),
    /// There is no connection.
    Open(OpenError),
    /// The call failed.
    Call(Box<CallError>),
    /// The output can't be written.
    Output(io::Error),
    /// Something else.
    Failed(String),
}

impl Failure {
    /// The exit code of the failure.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Open(OpenError::Setting(_)) => Exit::Usage,
            Self::Open(OpenError::Unreachable(_)) => Exit::Unavailable,
            Self::Call(error) => error.as_ref().into(),
            Self::Output(_) | Self::Failed(_) => Exit::Failed,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) | Self::Failed(problem) => formatter.write_str(problem),
            Self::Open(error) => error.fmt(formatter),
            Self::Output(error) => write!(formatter, "cannot write the output: {error}"),
            Self::Call(error) => {
                // The service's words are not ours: they may hold what a terminal obeys.
                let text = error.to_string();
                let mut lines = text.lines().map(printable);
                formatter.write_str(&lines.next().unwrap_or_default())?;
                formatter.write_str(advice(error))?;
                lines.try_for_each(|line| write!(formatter, "\n{line}"))
            }
        }
    }
}

/// The flags that may help against an error.
fn advice(error: &CallError) -> &'static str {
    match error.alibaba_code() {
        Some("Unauthenticated") => "; say who calls with --token-file, or with --cert and --key",
        Some("MissingParameter.AccountId") => "; name it with --account",
        Some("PreconditionFailed.Revert") => {
            "; give --skip-conflicts to leave what is in conflict as it is, and to revert the rest"
        }
        _ => "",
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(Box::new(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}
