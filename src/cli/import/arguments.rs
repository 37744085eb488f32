//! The command line of `untag import`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Arg, ArgGroup, Args, Command, ValueEnum};

use crate::cli::client::ClientArguments;
use crate::cli::store::StoreArguments;
use crate::domain::ImportMode;

/// The form of the file, and what the exit codes mean.
pub const AFTER_HELP: &str = "\
FILE has JSON Lines, one user each:
{\"account_id\":\"1\",\"resource_type\":\"user\",\"resource_id\":\"2\",\"principal_name\":\"a@b.c\",\"tags\":{\"key\":\"value\"}}

Without --address and --profile, the file goes into the store itself: all of it or, where a line is wrong, nothing.
With one of them, it goes to that service, in chunks that are each imported as a whole. Lines that can't be imported are named,
and the others are imported. After a break, the message says how to go on.

Exit codes:
  0    done
  1    lines were refused, or it failed
  2    the command line, or a file that it names, is wrong
  3    the service can't be reached, or can't do it now
  4    nobody knows whether the last chunk was imported
  128  and the number of the signal that ended it";

/// What becomes of a user that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// It gets the name and the tags of its line, and keeps its other tags.
    Merge,
    /// It gets the name of its line, and the tags of the line are all that it carries then: for a file of `untag export`.
    ReplaceTags,
    /// It stays as it is, and the line is refused.
    CreateOnly,
}

impl From<Mode> for ImportMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Merge => Self::Merge,
            Mode::ReplaceTags => Self::ReplaceTags,
            Mode::CreateOnly => Self::CreateOnly,
        }
    }
}

/// `untag import`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("service").args(["address", "profile"])))]
pub struct ImportArguments {
    #[command(flatten)]
    pub store: StoreArguments,

    /// What becomes of users that are there already.
    #[arg(long, value_enum, default_value = "merge")]
    pub mode: Mode,

    /// Only check the file, and say what would be imported.
    #[arg(long)]
    pub dry_run: bool,

    /// With a service: begin at this line of the file, to go on where an earlier run has stopped.
    #[arg(long, value_name = "LINE", requires = "service")]
    pub from_line: Option<NonZeroU64>,

    /// With a service: the token that an earlier run of this import has named. What it has imported is not imported again. Up to 40
    /// characters; without it the program makes one.
    #[arg(long, value_name = "TOKEN", requires = "service", value_parser = token)]
    pub client_token: Option<String>,

    /// The file to read; `-` is stdin.
    pub file: PathBuf,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// The address and the account, as an import means them.
const ADDRESS: &str = "The address of a service to import by. Without it and --profile, the file goes into the store itself";
const ACCOUNT: &str =
    "With a service: refuse lines of other accounts. Without it each line names its own";

/// The command, with a service that only flags can name: a variable that is set for other commands would send the file elsewhere.
pub fn named_by_flags(command: Command) -> Command {
    command
        .mut_arg("address", |argument: Arg| {
            argument.env(None::<&str>).help(ADDRESS)
        })
        .mut_arg("profile", |argument: Arg| argument.env(None::<&str>))
        .mut_arg("account", |argument: Arg| argument.help(ACCOUNT))
}

fn token(text: &str) -> Result<String, &'static str> {
    let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_printable && (1..=crate::domain::limits::IMPORT_TOKEN).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("give 1 to 40 printable characters of ASCII")
}
