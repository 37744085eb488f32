//! What a record is asked for by.

use crate::domain::{AccountId, Targets};
use crate::store::sqlite::format::Record;

/// A column that tells records of an account apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    Id,
    Name,
}

/// The key of one record. They come in the order of the indexes, but for names that differ in case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'command> {
    pub kind: KeyKind,
    pub account: &'command str,
    pub name: &'command str,
}

impl<'command> Key<'command> {
    /// The key of a target, by its position in the command.
    pub fn of(account: &'command AccountId, targets: &'command Targets, position: usize) -> Self {
        Self {
            kind: match targets {
                Targets::Ids(_) => KeyKind::Id,
                Targets::Names(_) => KeyKind::Name,
            },
            account: account.as_str(),
            name: targets.name_at(position),
        }
    }

    /// Whether a record of a user has this key. Names are the same in upper and lower case, as they are to the database's index.
    pub fn is_of(self, record: &Record<'_>) -> bool {
        let is_named = match self.kind {
            KeyKind::Id => record.id == self.name,
            KeyKind::Name => record.name.eq_ignore_ascii_case(self.name),
        };
        is_named && record.account == self.account
    }
}
