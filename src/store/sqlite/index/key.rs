//! What a record is asked for by.

use crate::domain::{AccountId, Targets};

/// A column that tells records of an account apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    Id,
    Name,
}

impl KeyKind {
    pub const ALL: [Self; 2] = [Self::Id, Self::Name];

    pub fn column(self) -> &'static str {
        match self {
            Self::Id => "resource_id",
            Self::Name => "principal_name",
        }
    }

    /// Whether the two are the same to the column's index.
    pub fn is_same(self, one: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Id => one == other,
            Self::Name => one.eq_ignore_ascii_case(other),
        }
    }
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
}
