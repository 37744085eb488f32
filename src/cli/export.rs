//! The subcommand `untag export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use super::args::ExportArguments;
use super::atomic_file::AtomicFile;
use super::store::{self, Choice};
use super::{fail, json_lines};
use crate::store::{postgres, sqlite};

pub fn run(arguments: &ExportArguments) -> ExitCode {
    let choice = match arguments.store.choose() {
        Ok(choice) => choice,
        Err(error) => return fail(error),
    };
    let exported = if arguments.file == Path::new("-") {
        to_writer(&choice, io::stdout().lock())
    } else if is_special(&arguments.file) {
        // Renaming over a pipe or over /dev/null would put a file in its place.
        let file = File::options().write(true).open(&arguments.file);
        file.map_err(ExportError::Output)
            .and_then(|file| to_writer(&choice, file))
    } else {
        to_file(&choice, &arguments.file)
    };
    match exported {
        Ok(count) => {
            eprintln!("exported {count} users from {choice}");
            ExitCode::SUCCESS
        }
        // The reader has seen enough: `untag export | head`.
        Err(ExportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(ExportError::Output(error)) => fail(format_args!(
            "cannot write {}: {error}",
            arguments.file.display()
        )),
        Err(ExportError::Store(error)) => fail(error),
    }
}

/// Whether the path leads to something that is no regular file.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

enum ExportError {
    Output(io::Error),
    Store(String),
}

impl From<sqlite::BulkError<io::Error>> for ExportError {
    fn from(error: sqlite::BulkError<io::Error>) -> Self {
        match error {
            sqlite::BulkError::Caller(error) => Self::Output(error),
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<postgres::BulkError<io::Error>> for ExportError {
    fn from(error: postgres::BulkError<io::Error>) -> Self {
        match error {
            postgres::BulkError::Caller(error) => Self::Output(error),
            other => Self::Store(other.to_string()),
        }
    }
}

fn to_writer(choice: &Choice, output: impl Write) -> Result<u64, ExportError> {
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let each = |resource| json_lines::write(&mut output, &resource);
    let count = match choice {
        Choice::Sqlite(directory) => sqlite::export(directory, each)?,
        Choice::Postgres(connection) => {
            let exported = async { Ok::<_, String>(postgres::export(connection, each).await) };
            store::block_on(exported).map_err(ExportError::Store)??
        }
    };
    output.flush().map_err(ExportError::Output)?;
    Ok(count)
}

/// Writes the users into a file, which keeps its old content until the export is whole.
fn to_file(choice: &Choice, path: &Path) -> Result<u64, ExportError> {
    let file = AtomicFile::create(path).map_err(ExportError::Output)?;
    let count = to_writer(choice, file.content())?;
    file.replace().map_err(ExportError::Output)?;
    Ok(count)
}
