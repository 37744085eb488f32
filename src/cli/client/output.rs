//! What is printed: a table for people, or JSON Lines for programs.

use std::borrow::Cow;
use std::io::{self, BufWriter, Stdout, Write};

use clap::ValueEnum;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

/// The standard output. Once its reader has gone, nothing is written any more, and that is no error.
pub struct Output {
    format: OutputFormat,
    to: BufWriter<Stdout>,
    is_closed: bool,
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// For programs: JSON Lines, an object a line.
    Json,
}

impl Output {
    /// An output of which nothing is printed yet.
    pub fn new(format: OutputFormat) -> Self {
        Self {
            format,
            to: BufWriter::new(io::stdout()),
            is_closed: false,
        }
    }

    /// Whether the reader of the output has gone: `untag tags list --tag team | head`.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether a table is wanted.
    pub fn is_table(&self) -> bool {
        self.format == OutputFormat::Table
    }

    /// Prints a result: a sentence for people, or an object for programs.
    ///
    /// # Errors
    /// What the system says.
    pub fn result(&mut self, sentence: &str, object: &impl Serialize) -> io::Result<()> {
        match self.format {
            OutputFormat::Table => self.write(|to| writeln!(to, "{sentence}")),
            OutputFormat::Json => self.objects(&[object]),
        }
    }

    /// Prints rows: of the table for people, or as objects for programs.
    ///
    /// # Errors
    /// What the system says.
    pub fn rows<R: Serialize, const N: usize>(
        &mut self,
        table: &mut Table<N>,
        rows: &[R],
        cells: impl Fn(&R) -> [String; N],
    ) -> io::Result<()> {
        match self.format {
            OutputFormat::Table => {
                let rows: Vec<_> = rows.iter().map(cells).collect();
                let lines = table.lines(&rows);
                self.write(|to| to.write_all(lines.as_bytes()))
            }
            OutputFormat::Json => self.objects(rows),
        }
    }

    fn objects(&mut self, objects: &[impl Serialize]) -> io::Result<()> {
        self.write(|to| {
            objects.iter().try_for_each(|object| {
                serde_json::to_writer(&mut *to, object)?;
                to.write_all(b"\n")
            })
        })
    }

    fn write(
        &mut self,
        lines: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let written = lines(&mut self.to).and_then(|()| self.to.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            written => written,
        }
    }
}

/// A table whose rows come bit by bit: its columns get wider where they must, and never narrower.
pub struct Table<const N: usize> {
    heads: [&'static str; N],
    widths: [usize; N],
    is_begun: bool,
}

impl<const N: usize> Table<N> {
    /// A table without rows, with these heads.
    pub fn new(heads: [&'static str; N]) -> Self {
        Self {
            heads,
            widths: heads.map(str::len),
            is_begun: false,
        }
    }

    /// Whether the table has had no row yet.
    pub fn is_empty(&self) -> bool {
        !self.is_begun
    }

    /// The text of more rows, a line each; the heads stand before the first.
    pub fn lines(&mut self, rows: &[[String; N]]) -> String {
        let rows: Vec<[Cow<'_, str>; N]> = rows
            .iter()
            .map(|row| row.each_ref().map(|cell| printable(cell)))
            .collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        let mut lines = String::new();
        if !self.is_begun && !rows.is_empty() {
            self.is_begun = true;
            lines += &self.line(&self.heads.map(Cow::Borrowed));
        }
        rows.iter()
            .fold(lines, |lines, row| lines + &self.line(row))
    }

    fn line(&self, cells: &[Cow<'_, str>; N]) -> String {
        let mut line = String::new();
        for (width, cell) in self.widths.iter().zip(cells) {
            let padding = width.saturating_sub(cell.width()) + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', padding));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// A text as a terminal may show it: what it would obey, and what turns the direction of writing, is escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_obeyed = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_obeyed(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_its_columns_in_line_and_shows_nothing_that_a_terminal_obeys() {
        let mut table = Table::new(["KEY", "VALUE"]);
        let row = |key: &str, value: &str| [key.to_owned(), value.to_owned()];
        let first = table.lines(&[row("部门", "a"), row("x", "")]);
        assert_eq!(first, "KEY   VALUE\n部门  a\nx\n");
        let then = table.lines(&[row("longer", "\u{1b}[2J\u{202e}b\n")]);
        assert_eq!(then, "longer  \\u{1b}[2J\\u{202e}b\\n\n");
        assert_eq!(table.lines(&[]), "");
    }
}
