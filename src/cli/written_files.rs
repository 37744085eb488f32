//! Files that a subcommand makes in a directory.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use super::fail;

/// Writes files, each with its path in the directory and its contents, and prints their paths. Files that are there already
/// are replaced.
pub fn write<Name, Contents>(
    directory: &Path,
    files: impl IntoIterator<Item = (Name, Contents)>,
) -> ExitCode
where
    Name: AsRef<str>,
    Contents: AsRef<[u8]>,
{
    for (name, contents) in files {
        let name = name.as_ref();
        let file = directory.join(name);
        let folder = file.parent().unwrap_or(Path::new(""));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, contents));
        if let Err(error) = written {
            return fail(format_args!("cannot write {}: {error}", file.display()));
        }
        println!("{name}");
    }
    ExitCode::SUCCESS
}
