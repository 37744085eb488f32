//! The lines of a file, cut into chunks that are imported one after the other.

use std::collections::HashSet;
use std::io::BufRead;
use std::mem;
use std::thread;

use tokio::sync::mpsc;

use crate::cli::json_lines::{self, LineError};
use crate::client::Line;
use crate::domain::{AccountId, ResourceId};

/// The most lines of a chunk: few enough that others do not wait long for a change.
const MOST_LINES: usize = 250;
/// The most bytes of a chunk, which with the largest line fit into a message of 64 KiB.
const MOST_BYTES: usize = 40 * 1024;
/// How many chunks are read ahead.
const READ_AHEAD: usize = 4;

/// Lines of one account, each of another user.
pub struct Chunk {
    pub account: AccountId,
    pub first_line: u64,
    pub last_line: u64,
    pub lines: Vec<Line>,
    bytes: usize,
    ids: HashSet<ResourceId>,
}

/// What is read of a file.
pub enum Piece {
    Chunk(Chunk),
    /// A line that is no user, or of another account than is wanted.
    Bad(String),
    /// The file can't be read any further.
    Broken(String),
}

/// Reads a file from a line on, by a thread of its own: what comes by a pipe may take long. Without an account, lines of all accounts
/// are taken.
pub fn read(
    input: impl BufRead + Send + 'static,
    from: u64,
    account: Option<AccountId>,
) -> mpsc::Receiver<Piece> {
    let (pieces, receiver) = mpsc::channel(READ_AHEAD);
    thread::spawn(move || {
        let mut open: Option<Chunk> = None;
        for line in json_lines::read(input) {
            let line = match line {
                Ok(line) if line.number < from => continue,
                Ok(line) => line,
                Err(LineError::Invalid { number, .. }) if number < from => continue,
                Err(error @ LineError::Invalid { .. }) => {
                    if pieces.blocking_send(Piece::Bad(error.to_string())).is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) => {
                    let _ = pieces.blocking_send(Piece::Broken(error.to_string()));
                    return;
                }
            };
            let (number, user) = (line.number, &line.user);
            if let Some(wanted) = account.as_ref().filter(|wanted| **wanted != user.account) {
                let of = &user.account;
                let problem = format!(
                    "line {number}: the user is of account {of}, and --account is {wanted}"
                );
                if pieces.blocking_send(Piece::Bad(problem)).is_err() {
                    return;
                }
                continue;
            }
            let sent = Line::new(number, user);
            let bytes = sent.bytes();
            let chunk = open.take_if(|chunk| !chunk.takes(&user.account, &user.id, bytes));
            if let Some(full) = chunk
                && pieces.blocking_send(Piece::Chunk(full)).is_err()
            {
                return;
            }
            let chunk = open.get_or_insert_with(|| Chunk::at(number, user.account.clone()));
            chunk.add((number, user.id.clone()), sent, bytes);
        }
        if let Some(last) = open {
            let _ = pieces.blocking_send(Piece::Chunk(last));
        }
    });
    receiver
}

impl Chunk {
    fn at(first_line: u64, account: AccountId) -> Self {
        Self {
            account,
            first_line,
            last_line: first_line,
            lines: Vec::new(),
            bytes: 0,
            ids: HashSet::new(),
        }
    }

    /// Whether a line belongs into this chunk. A second line of a user comes behind the first, in another chunk.
    fn takes(&self, account: &AccountId, id: &ResourceId, bytes: usize) -> bool {
        self.account == *account
            && self.lines.len() < MOST_LINES
            && self.bytes + bytes <= MOST_BYTES
            && !self.ids.contains(id)
    }

    fn add(&mut self, (number, id): (u64, ResourceId), line: Line, bytes: usize) {
        self.last_line = number;
        self.bytes += bytes;
        self.ids.insert(id);
        self.lines.push(line);
    }

    /// Takes the lines out.
    pub fn take_lines(&mut self) -> Vec<Line> {
        mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The pieces of a file: the first and the last line of each chunk, and what is said of bad lines.
    fn pieces(text: String, from: u64, account: Option<&str>) -> Vec<Result<(u64, u64), String>> {
        let account = account.map(|account| AccountId::parse(account).unwrap());
        let mut pieces = read(std::io::Cursor::new(text), from, account);
        let mut all = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            all.push(match piece {
                Piece::Chunk(chunk) => Ok((chunk.first_line, chunk.last_line)),
                Piece::Bad(problem) | Piece::Broken(problem) => Err(problem),
            });
        }
        all
    }

    fn user(account: &str, id: usize, tags: &str) -> String {
        format!(
            "{{\"account_id\":\"{account}\",\"resource_id\":\"{id}\",\"principal_name\":\"u{id}@x\",\"tags\":{{{tags}}}}}\n"
        )
    }

    #[test]
    fn chunks_are_of_one_account_and_of_different_users_and_go_on_at_their_first_lines() {
        let mut text = String::new();
        for id in 0..600 {
            text += &user("1", id, "");
        }
        text += &user("2", 0, "");
        text += &user("2", 0, "");
        let chunks = [(1, 250), (251, 500), (501, 600), (601, 601), (602, 602)].map(Ok);
        assert_eq!(pieces(text.clone(), 1, None), chunks);
        assert_eq!(pieces(text.clone(), 251, None), chunks[1..]);
        let of_one = pieces(text, 501, Some("1"));
        assert_eq!(
            of_one[0],
            Err("line 601: the user is of account 2, and --account is 1".to_owned())
        );
        assert_eq!(of_one[2..], [Ok((501, 600))]);
    }

    #[test]
    fn large_users_come_in_small_chunks_and_bad_lines_between_them() {
        let mut tags = String::new();
        for tag in 0..20 {
            let comma = if tag == 0 { "" } else { "," };
            write!(
                tags,
                "{comma}\"{tag:02}{}\":\"{}\"",
                "键".repeat(126),
                "值".repeat(128)
            )
            .unwrap();
        }
        let text = user("1", 1, &tags) + "nonsense\n" + &user("1", 2, &tags) + &user("1", 3, &tags);
        let pieces = pieces(text, 1, None);
        assert!(
            pieces[0].as_ref().unwrap_err().contains("line 2"),
            "{pieces:?}"
        );
        assert_eq!(pieces[1..], [Ok((1, 3)), Ok((4, 4))]);
    }
}
