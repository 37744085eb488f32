//! `untag export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use super::args::ExportArguments;
use super::{fail, json_lines};
use crate::store::sqlite::{self, BulkError};

pub fn run(arguments: &ExportArguments) -> ExitCode {
    let directory = &arguments.data.data_dir;
    let exported = if arguments.file == Path::new("-") {
        to_writer(directory, io::stdout().lock())
    } else {
        to_file(directory, &arguments.file)
    };
    match exported {
        Ok(count) => {
            eprintln!("exported {count} users from {}", directory.display());
            ExitCode::SUCCESS
        }
        // The reader has seen enough: `untag export | head`.
        Err(BulkError::Caller(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(BulkError::Caller(error)) => fail(format_args!(
            "cannot write {}: {error}",
            arguments.file.display()
        )),
        Err(error) => fail(error),
    }
}

fn to_writer(directory: &Path, output: impl Write) -> Result<u64, BulkError<io::Error>> {
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let count = sqlite::export(directory, |resource| {
        json_lines::write(&mut output, &resource)
    })?;
    output.flush().map_err(BulkError::Caller)?;
    Ok(count)
}

/// Writes beside the file and renames, so that a file with its name is a whole export.
fn to_file(directory: &Path, path: &Path) -> Result<u64, BulkError<io::Error>> {
    let partial = path.with_added_extension("partial");
    let file = File::create(&partial).map_err(BulkError::Caller)?;
    let result = to_writer(directory, &file).and_then(|count| {
        file.sync_all()
            .and_then(|()| fs::rename(&partial, path))
            .map_err(BulkError::Caller)?;
        Ok(count)
    });
    if result.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&partial);
    }
    result
}
