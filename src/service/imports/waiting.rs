//! The lines of an import that wait: their users get names that others have, who may still come and give them up.

use std::collections::HashSet;

use super::no_memory;
use super::under_way::UnderWay;
use crate::domain::{Error, NewUser, ResourceId};
use crate::service::feed::{Held, Hold};

/// How many lines wait at most. With those of a chunk they are as many as one change has.
const MOST: usize = 500;

/// A line with a good user.
pub struct WaitingLine {
    pub number: u64,
    pub user: NewUser,
    /// Who has the name, where that was found.
    holder: Option<ResourceId>,
    /// Whether that user has come already.
    has_come: bool,
    /// The memory that it takes while it waits.
    held: Option<Held>,
}

impl WaitingLine {
    pub fn new(number: u64, user: NewUser) -> Self {
        Self {
            number,
            user,
            holder: None,
            has_come: false,
            held: None,
        }
    }

    /// How much memory it takes, about.
    fn bytes(&self) -> usize {
        let tags = self.user.tags().iter();
        let tags = tags.map(|(key, value)| 128 + key.as_str().len() + value.as_str().len());
        1024 + tags.sum::<usize>()
    }
}

/// The lines that wait, in order.
pub struct Waiting {
    lines: Vec<WaitingLine>,
    most: usize,
    hold: Hold,
}

impl Waiting {
    pub fn new(hold: Hold) -> Self {
        Self {
            lines: Vec::new(),
            most: MOST,
            hold,
        }
    }

    /// Whether one more may wait.
    pub fn has_room(&self) -> bool {
        self.lines.len() < self.most
    }

    /// Lets nobody wait any more.
    pub fn close(&mut self) {
        self.most = 0;
    }

    /// Lets a line wait for this user to come.
    pub fn add(&mut self, line: WaitingLine, holder: ResourceId) -> Result<(), Error> {
        self.keep(WaitingLine {
            holder: Some(holder),
            has_come: false,
            ..line
        })
    }

    /// Lets a line wait until the chunk with this user is done: it came beside the line, and may have given up its name since.
    pub fn add_beside(&mut self, line: WaitingLine, holder: ResourceId) -> Result<(), Error> {
        self.keep(WaitingLine {
            holder: Some(holder),
            has_come: true,
            ..line
        })
    }

    /// Lets a line wait on.
    pub fn keep(&mut self, mut line: WaitingLine) -> Result<(), Error> {
        if line.held.is_none() {
            line.held = Some((self.hold)(line.bytes()).ok_or_else(no_memory)?);
        }
        self.lines.push(line);
        Ok(())
    }

    /// The first line that waits.
    pub fn first_line(&self) -> Option<u64> {
        self.lines.iter().map(|line| line.number).min()
    }

    pub fn take_all(&mut self) -> Vec<WaitingLine> {
        std::mem::take(&mut self.lines)
    }

    /// Takes the lines of users of whom there is a new line.
    pub fn superseded(&mut self, new: &[WaitingLine]) -> Vec<WaitingLine> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        let ids: HashSet<_> = new.iter().map(|line| &line.user.id).collect();
        let is_superseded = |line: &mut WaitingLine| ids.contains(&line.user.id);
        self.lines.extract_if(.., is_superseded).collect()
    }

    /// Takes the lines that wait for these users, and for those who have come and are not under way any more, and the lines that
    /// wait for the users of such lines.
    pub fn for_whom(&mut self, come: &[WaitingLine], under_way: &UnderWay) -> Vec<WaitingLine> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        let mut ids: HashSet<_> = come.iter().map(|line| line.user.id.clone()).collect();
        let mut found = Vec::new();
        loop {
            let is_for = |line: &mut WaitingLine| {
                let is_now = |holder| {
                    ids.contains(holder) || (line.has_come && !under_way.has_any([holder]))
                };
                line.holder.as_ref().is_some_and(is_now)
            };
            let more: Vec<_> = self.lines.extract_if(.., is_for).collect();
            if more.is_empty() {
                return found;
            }
            ids.extend(more.iter().map(|line| line.user.id.clone()));
            found.extend(more);
        }
    }
}
