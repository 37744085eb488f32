//! Where the users of a change come from: the command line or a file.

use std::path::{Path, PathBuf};

use super::arguments::FileArguments;
use super::user_file::{self, Chunk};
use super::users;
use crate::cli::client::User;
use crate::domain::Targets;

/// The users of a change.
pub enum Source {
    /// Typed: one call.
    Typed(Targets),
    /// Of a file: a call for each chunk.
    File {
        /// The file; `-` is stdin.
        path: PathBuf,
        /// At least one.
        chunks: Vec<Chunk>,
    },
}

impl Source {
    /// The users that the command line names, or the file that it names.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(typed: &[User], file: &FileArguments) -> Result<Self, String> {
        let Some(path) = &file.from_file else {
            return users::of_one_call(typed).map(Self::Typed);
        };
        Ok(Self::File {
            chunks: user_file::read(path, file.from_line)?,
            path: path.clone(),
        })
    }

    /// How many users there are.
    pub fn count(&self) -> usize {
        self.calls().iter().map(|users| users.count()).sum()
    }

    /// The users of each call.
    pub fn calls(&self) -> Vec<&Targets> {
        match self {
            Self::Typed(users) => vec![users],
            Self::File { chunks, .. } => chunks.iter().map(|chunk| &chunk.users).collect(),
        }
    }

    /// Whether they have come by stdin, which nobody can be asked by any more.
    pub fn is_stdin(&self) -> bool {
        matches!(self, Self::File { path, .. } if path == Path::new("-"))
    }
}

/// A number of users, for a sentence.
pub fn people(count: usize) -> String {
    match count {
        1 => "1 user".to_owned(),
        count => format!("{count} users"),
    }
}
