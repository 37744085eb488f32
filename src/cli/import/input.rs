//! The file of an import, with a bar of how far it is read.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

/// A file that is read, and the bar that shows how far. The bar is shown on a terminal only.
pub struct Input {
    pub lines: Box<dyn BufRead + Send>,
    pub bar: ProgressBar,
}

/// Opens a file; `-` is stdin.
///
/// # Errors
/// What the system says.
pub fn open(path: &Path) -> Result<Input, String> {
    let (input, bytes): (Box<dyn Read + Send>, Option<u64>) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path);
        let file = file.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let data = file.metadata().ok().filter(Metadata::is_file);
        (Box::new(file), data.map(|data| data.len()))
    };
    let bar = bar(bytes);
    let lines = Box::new(BufReader::with_capacity(1 << 20, bar.wrap_read(input)));
    Ok(Input { lines, bar })
}

fn bar(bytes: Option<u64>) -> ProgressBar {
    let Some(bytes) = bytes else {
        return ProgressBar::new_spinner();
    };
    let style =
        ProgressStyle::with_template("importing [{bar:40}] {bytes} of {total_bytes}, {eta} left");
    // The template is a constant; a broken one would only look plainer.
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
