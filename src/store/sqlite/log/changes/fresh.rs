//! Untags that were just committed, as their writer knows them: the audit reads no row for them. Where some are missing, it reads the
//! change log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::mark::Mark;
use crate::domain::{
    AuditedChange, AuditedEffect, Origin, Revision, TagSelection, Targets, UntagCommand,
};
use crate::store::sqlite::format::tags::TagMask;
use crate::store::sqlite::index::{Index, KnownKeys};

/// How many bytes of commits may wait for the audit, about. The oldest go first: the audit reads them in the log.
const MOST_BYTES: usize = 8 << 20;
/// What an untag takes beside the texts of its request, and each of its targets, about, in bytes.
const BYTES_OF_AN_UNTAG: usize = 512;
const BYTES_OF_A_TARGET: usize = 80;
const BYTES_OF_A_KEY: usize = 128;

/// A user whose tags were removed by an untag that names it by its id.
#[derive(Debug, Clone, Copy)]
pub struct FreshEffect {
    /// The position of the user among the targets.
    pub target: usize,
    /// The positions of the removed tags in its row, and the keys of that.
    pub removed: TagMask,
    pub keys: KnownKeys,
}

/// An untag that has an entry, by the ids of its users.
#[derive(Debug)]
pub struct FreshUntag {
    pub command: Arc<UntagCommand>,
    pub origin: Arc<Origin>,
    pub revision: Revision,
    pub effects: Vec<FreshEffect>,
}

impl FreshUntag {
    fn bytes(&self) -> usize {
        let keys = match &self.command.selection {
            TagSelection::All => 0,
            TagSelection::Keys(keys) => keys.len(),
        };
        BYTES_OF_AN_UNTAG + BYTES_OF_A_TARGET * self.command.targets.count() + BYTES_OF_A_KEY * keys
    }

    /// The change as the audit tells of it. `None` where the targets are no ids.
    pub fn audited(&self, index: &Index) -> Option<AuditedChange> {
        let Targets::Ids(ids) = &self.command.targets else {
            return None;
        };
        let effect = |effect: &FreshEffect| {
            Some(AuditedEffect {
                resource_id: ids.get(effect.target)?.clone(),
                tag_keys: index.keys_at(effect.keys, effect.removed),
            })
        };
        let origin = &self.origin;
        Some(AuditedChange {
            account: self.command.account.clone(),
            revision: self.revision,
            request_id: origin.request_id,
            client_request_id: origin.client_request_id.clone(),
            time: origin.time,
            caller: origin.caller.clone(),
            source_ip: origin.source_ip,
            secure_transport: origin.secure_transport,
            action: origin.action,
            effects: self.effects.iter().map(effect).collect::<Option<_>>()?,
        })
    }
}

/// A commit that has changed nothing but by these untags.
#[derive(Debug)]
pub struct FreshCommit {
    pub mark: Mark,
    pub untags: Vec<FreshUntag>,
}

/// The commits that wait for the audit, in their order.
#[derive(Debug, Default)]
pub struct FreshCommits {
    commits: VecDeque<(FreshCommit, usize)>,
    bytes: usize,
}

impl FreshCommits {
    pub fn push(&mut self, commit: FreshCommit) {
        let bytes = commit.untags.iter().map(FreshUntag::bytes).sum();
        self.bytes += bytes;
        self.commits.push_back((commit, bytes));
        while self.bytes > MOST_BYTES {
            self.pop();
        }
    }

    /// Takes the commits that come right after one, in their order. Those before them are dropped.
    pub fn take_behind(&mut self, mut sequence: i64) -> Vec<FreshCommit> {
        let mut taken = Vec::new();
        while let Some((first, _)) = self.commits.front()
            && first.mark.sequence <= sequence + 1
        {
            let is_next = first.mark.sequence == sequence + 1;
            if let Some(commit) = self.pop()
                && is_next
            {
                sequence = commit.mark.sequence;
                taken.push(commit);
            }
        }
        taken
    }

    fn pop(&mut self) -> Option<FreshCommit> {
        let (commit, bytes) = self.commits.pop_front()?;
        self.bytes -= bytes;
        Some(commit)
    }
}
