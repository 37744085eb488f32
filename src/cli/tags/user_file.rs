//! A file of users, one a line, cut into calls.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::num::NonZeroU64;
use std::path::Path;

use super::users::alike;
use crate::cli::client::User;
use crate::domain::{Targets, limits};

/// The longest line, in bytes: a user has less than half of it.
const LONGEST_LINE: u64 = 512;

/// The users of one call, and where they stand in the file.
pub struct Chunk {
    pub users: Targets,
    pub first_line: u64,
    pub last_line: u64,
}

impl fmt::Display for Chunk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first_line == self.last_line {
            write!(formatter, "line {}", self.first_line)
        } else {
            write!(formatter, "lines {} to {}", self.first_line, self.last_line)
        }
    }
}

/// Reads the users of a file from a line on. All of it is read before the first call, so that a broken line costs nothing.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read(path: &Path, from: Option<NonZeroU64>) -> Result<Vec<Chunk>, String> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let file = File::open(path);
        Box::new(file.map_err(|error| format!("cannot read {}: {error}", path.display()))?)
    };
    let of_file = |problem| format!("the file of users {}: {problem}", path.display());
    parse(BufReader::new(input), from.map_or(1, NonZeroU64::get)).map_err(of_file)
}

fn parse(mut input: impl BufRead, from: u64) -> Result<Vec<Chunk>, String> {
    let mut users: Vec<(u64, User)> = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        match read.map_err(|error| format!("cannot read line {number}: {error}"))? {
            0 => break,
            _ if line.len() as u64 == LONGEST_LINE => {
                return Err(format!("line {number} is too long for a user"));
            }
            _ => {}
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| format!("line {number} is no UTF-8"))?
            .trim_start_matches('\u{feff}')
            .trim();
        if number < from || text.is_empty() || text.starts_with('#') {
            continue;
        }
        let user: User = text
            .parse()
            .map_err(|error| format!("line {number} is no user: {error}"))?;
        if let Some((first, other)) = users.first()
            && matches!(other, User::Id(_)) != matches!(user, User::Id(_))
        {
            return Err(format!(
                "line {first} has an id or a principal name, and line {number} has the other: make two files"
            ));
        }
        users.push((number, user));
    }
    if users.is_empty() {
        return Err(match from {
            1 => "there is no user in it".to_owned(),
            from => format!("there is no user from line {from} on"),
        });
    }
    Ok(users.chunks(limits::RESOURCES).filter_map(chunk).collect())
}

fn chunk(lines: &[(u64, User)]) -> Option<Chunk> {
    let (first_line, _) = lines.first()?;
    let (last_line, _) = lines.last()?;
    let users: Vec<User> = lines.iter().map(|(_, user)| user.clone()).collect();
    Some(Chunk {
        users: alike(&users)?,
        first_line: *first_line,
        last_line: *last_line,
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn a_file_is_cut_into_calls_that_know_their_lines() {
        let mut text = "\u{feff}# people\n\n 1 \r\n".to_owned();
        for id in 2..=51 {
            writeln!(text, "{id}").unwrap();
        }
        let chunks = parse(text.as_bytes(), 1).unwrap();
        let shape = |chunks: &[Chunk]| -> Vec<(usize, u64, u64)> {
            let shape = |chunk: &Chunk| (chunk.users.count(), chunk.first_line, chunk.last_line);
            chunks.iter().map(shape).collect()
        };
        assert_eq!(shape(&chunks), [(50, 3, 52), (1, 53, 53)]);
        assert_eq!(shape(&parse(text.as_bytes(), 53).unwrap()), [(1, 53, 53)]);
    }

    #[test]
    fn what_is_no_user_is_named_by_its_line() {
        let long = "1".repeat(600);
        for (text, said) in [
            ("1\nalice\n", "line 2 is no user: an id must be"),
            ("1\na@\n", "line 2 is no user: a principal name must be"),
            (
                "# x\n1\n\na@b\n",
                "line 2 has an id or a principal name, and line 4",
            ),
            ("# 1\n\n", "there is no user in it"),
            (&long, "line 1 is too long"),
        ] {
            let error = parse(text.as_bytes(), 1).err().unwrap();
            assert!(error.contains(said), "{error}");
        }
        assert!(parse(&b"1\n\xff\n"[..], 1).is_err());
        let error = parse(&b"1\n"[..], 2).err().unwrap();
        assert!(error.contains("no user from line 2 on"), "{error}");
    }
}
