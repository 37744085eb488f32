//! What the thread that writes has to do.

use std::sync::Arc;

use tokio::sync::oneshot::Receiver;

use crate::current::{self, Reply};
use crate::domain::{
    Changed, ImportCommand, Imported, Origin, RevertCommand, Reverted, TagCommand, UntagCommand,
    UserCommand, UsersChanged,
};
use crate::store::StoreError;
use crate::store::sqlite::log::PAGES_OF_A_USER;
use crate::telemetry::trace::Change;

/// A job: something to do, and where the answer goes.
pub struct Job {
    pub work: Work,
    /// Where the job stands, for whoever traces it. A check has none.
    pub trace: Option<Change>,
}

/// The work of a job: a change with where it comes from, or a check.
pub enum Work {
    Untag(Arc<UntagCommand>, Arc<Origin>, Pending<Changed>),
    Tag(Arc<TagCommand>, Arc<Origin>, Pending<Changed>),
    Users(Arc<UserCommand>, Arc<Origin>, Pending<UsersChanged>),
    Import(Arc<ImportCommand>, Arc<Origin>, Pending<Imported>),
    Revert(Arc<RevertCommand>, Arc<Origin>, Pending<Reverted>),
    /// Finds out whether commits get through.
    Check(Pending<()>),
}

/// An answer that is not sent before what it says is committed.
pub struct Pending<T> {
    reply: Reply<Result<T, StoreError>>,
    answer: Option<Result<T, StoreError>>,
}

impl<T> Pending<T> {
    /// An answer that is not known yet, and where it arrives.
    pub fn new() -> (Self, Receiver<Result<T, StoreError>>) {
        let (reply, answer) = current::reply();
        let pending = Self {
            reply,
            answer: None,
        };
        (pending, answer)
    }

    /// Sets the answer for the case that the transaction is committed.
    pub fn set(&mut self, answer: Result<T, StoreError>) {
        self.answer = Some(answer);
    }

    fn send(self, failure: Option<StoreError>) {
        let answer = failure.map_or(self.answer, |error| Some(Err(error)));
        if let Some(answer) = answer {
            self.reply.send(answer);
        }
    }
}

impl Job {
    /// A job that nobody waits for: it ends the wait of the thread, where that has nothing to do.
    pub fn wake() -> Self {
        Self::check(Pending::new().0)
    }

    /// A check.
    pub fn check(pending: Pending<()>) -> Self {
        Self {
            work: Work::Check(pending),
            trace: None,
        }
    }

    pub fn is_change(&self) -> bool {
        !matches!(self.work, Work::Check(_))
    }

    /// Whether the caller is gone: it has passed its deadline, and is told that nothing is known of its change.
    pub fn is_abandoned(&self) -> bool {
        match &self.work {
            Work::Untag(_, _, pending) | Work::Tag(_, _, pending) => pending.reply.is_abandoned(),
            Work::Users(_, _, pending) => pending.reply.is_abandoned(),
            Work::Import(_, _, pending) => pending.reply.is_abandoned(),
            Work::Revert(_, _, pending) => pending.reply.is_abandoned(),
            Work::Check(pending) => pending.reply.is_abandoned(),
        }
    }

    /// How many targets an untag has.
    pub fn targets(&self) -> usize {
        match &self.work {
            Work::Untag(command, ..) => command.targets.count(),
            Work::Tag(..)
            | Work::Users(..)
            | Work::Import(..)
            | Work::Revert(..)
            | Work::Check(_) => 0,
        }
    }

    /// How many rows it writes at most, about. A change of a user writes two rows and the indexes of both tables.
    pub fn rows(&self) -> usize {
        match &self.work {
            Work::Untag(..) | Work::Check(_) => self.targets(),
            Work::Tag(command, ..) => command.targets.count(),
            Work::Users(command, ..) => PAGES_OF_A_USER * command.changes().len(),
            Work::Import(command, ..) => PAGES_OF_A_USER * command.users().len(),
            Work::Revert(command, ..) => {
                PAGES_OF_A_USER * command.effects.as_ref().map_or(0, Vec::len)
            }
        }
    }

    /// Sets the answer of a job that is not done.
    pub fn refuse(&mut self, error: StoreError) {
        match &mut self.work {
            Work::Untag(_, _, pending) | Work::Tag(_, _, pending) => pending.set(Err(error)),
            Work::Users(_, _, pending) => pending.set(Err(error)),
            Work::Import(_, _, pending) => pending.set(Err(error)),
            Work::Revert(_, _, pending) => pending.set(Err(error)),
            Work::Check(pending) => pending.set(Err(error)),
        }
    }

    /// Sends the answer.
    pub fn answer(self) {
        self.send(None);
    }

    /// Answers that the job has failed.
    pub fn fail(self, error: StoreError) {
        self.send(Some(error));
    }

    fn send(self, failure: Option<StoreError>) {
        match self.work {
            Work::Untag(_, _, pending) | Work::Tag(_, _, pending) => pending.send(failure),
            Work::Users(_, _, pending) => pending.send(failure),
            Work::Import(_, _, pending) => pending.send(failure),
            Work::Revert(_, _, pending) => pending.send(failure),
            Work::Check(pending) => pending.send(failure),
        }
    }
}
