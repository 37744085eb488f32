//! The use case of an import: users come in chunks, each of which is a change of its own.

mod report;
mod waiting;

use std::collections::HashSet;
use std::sync::Arc;

pub use report::{ChunkReport, RefusedLine};

use super::audit::Requested;
use super::authorisation::authorise;
use super::feed::Hold;
use super::users::UserService;
use super::{RETRY_AFTER, explain};
use crate::domain::{
    AccountId, Action, Call, Error, Fault, ImportCommand, ImportMode, ImportRefusal, Imported,
    NewUser, Origin, Repeat, limits,
};
use crate::store::Store;
use crate::telemetry::metrics::metrics;
use waiting::{Waiting, WaitingLine};

/// What an import is to do.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// The account of the users.
    pub account: AccountId,
    /// What becomes of users that are there already.
    pub mode: ImportMode,
    /// Whether the import only checks, and changes nothing.
    pub validate_only: bool,
}

/// A line of an import.
#[derive(Debug)]
pub struct ImportLine {
    /// The caller's number of the line.
    pub number: u64,
    /// The id that the line gives, as it is given.
    pub id: String,
    /// The user, or what is wrong with it.
    pub user: Result<NewUser, Vec<Fault>>,
}

/// The lines that a caller sends together.
#[derive(Debug)]
pub struct ImportChunk {
    /// At least one, with numbers that rise.
    pub lines: Vec<ImportLine>,
    /// How a repetition of the chunk is known.
    pub repeat: Option<Repeat>,
}

/// An import under way.
pub struct Import<S> {
    service: UserService<S>,
    settings: ImportSettings,
    waiting: Waiting,
}

impl<S: Store> UserService<S> {
    /// Begins an import. What waits in memory for users to come is held by `hold`.
    pub fn import(&self, settings: ImportSettings, hold: Hold) -> Import<S> {
        Import {
            service: self.clone(),
            settings,
            waiting: Waiting::new(hold),
        }
    }

    /// Imports users, with one change.
    async fn import_once(
        &self,
        call: &Call,
        command: ImportCommand,
        repeat: Option<Repeat>,
    ) -> Result<Imported, Error> {
        let command = Arc::new(command);
        let requested = Requested::Import(Arc::clone(&command));
        let entry = self.audit.begin(call, requested).await?;
        let mut actions = command.mode().actions().to_vec();
        // Asked often enough, a check would tell who may not list tags what they are.
        if command.validate_only() {
            actions.push(Action::ListTagResources);
        }
        let allow = |action: &Action| authorise(&self.authority, call, *action, command.account());
        let allowed = actions.iter().try_for_each(allow);
        let origin = Arc::new(Origin::of(call, Action::ImportUsers, repeat));
        let store = Arc::clone(&self.store);
        let change = async move {
            allowed?;
            let imported = store.import_users(command, origin).await;
            // Who is refused stands in the answer.
            let imported = imported.map_err(|error| explain(error, |_| Vec::new()))?;
            metrics().server.replays.inc_by(imported.is_replay.into());
            Ok(imported)
        };
        entry.of(change).await
    }
}

impl<S: Store> Import<S> {
    /// Imports a chunk. Users who would get names that others have wait until those come, too.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::TokenMismatch`], [`Error::Unsupported`], [`Error::Throttled`], [`Error::Unavailable`] or
    /// [`Error::Internal`]: nothing of the chunk was changed, unless the error says otherwise.
    pub async fn chunk(&mut self, call: &Call, chunk: ImportChunk) -> Result<ChunkReport, Error> {
        let ImportChunk { lines, repeat } = chunk;
        let mut report = ChunkReport::of(call, &lines);
        let own = good(lines, &mut report);
        for line in self.waiting.superseded(&own) {
            report.refuse(&line, RefusedLine::SUPERSEDED);
        }
        let waited = self.waiting.for_whom(&own);
        let (count, all) = (own.len(), own.into_iter().chain(waited));
        self.carry_out(call, (all.collect(), count), repeat, &mut report)
            .await?;
        report.resume_at(self.waiting.first_line());
        Ok(report)
    }

    /// Imports the users who still wait: whose names are still taken then is refused. `None` where nobody waits.
    ///
    /// # Errors
    /// Those of [`Import::chunk`].
    pub async fn finish(&mut self, call: &Call) -> Result<Option<ChunkReport>, Error> {
        let all = self.waiting.take_all();
        if all.is_empty() {
            return Ok(None);
        }
        let mut report = ChunkReport::at_end(call, &all);
        self.waiting.close();
        let count = all.len();
        self.carry_out(call, (all, count), None, &mut report)
            .await?;
        Ok(Some(report))
    }

    /// Carries out lines, of which so many are the chunk's own and the others have waited before.
    async fn carry_out(
        &mut self,
        call: &Call,
        (lines, own): (Vec<WaitingLine>, usize),
        repeat: Option<Repeat>,
        report: &mut ChunkReport,
    ) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        debug_assert!(lines.len() <= limits::USER_CHANGES);
        let ImportSettings { account, mode, .. } = &self.settings;
        let users = lines.iter().map(|line| line.user.clone()).collect();
        let command = ImportCommand::new(account.clone(), call.time.into(), *mode, users);
        // The lines are of different users, and bounded.
        let mut command = command.map_err(|_| Error::Internal)?;
        if self.settings.validate_only {
            command = command.only_validated();
        }
        let imported = self.service.import_once(call, command, repeat).await?;
        report.take(&imported);
        let mut refused = imported.refused.into_iter().peekable();
        for (position, line) in lines.into_iter().enumerate() {
            let why = refused.next_if(|refused| refused.position == position);
            // A repetition may have had others that waited.
            let is_unknown = imported.is_replay && position >= own;
            match why.map(|refused| refused.why) {
                _ if is_unknown => self.waiting.keep(line)?,
                None => {}
                Some(ImportRefusal::NameTaken(holder)) if self.waiting.has_room() => {
                    self.waiting.add(line, holder)?;
                }
                Some(why) => report.refuse_for(&line, &why),
            }
        }
        Ok(())
    }
}

/// The lines of a chunk that are users. The others are refused.
fn good(lines: Vec<ImportLine>, report: &mut ChunkReport) -> Vec<WaitingLine> {
    let mut ids = HashSet::with_capacity(lines.len());
    let mut good = Vec::with_capacity(lines.len());
    for line in lines {
        match line.user {
            Err(faults) => report.refuse_faults(line.number, line.id, &faults),
            Ok(user) => {
                let is_new = ids.insert(user.id.clone());
                let line = WaitingLine::new(line.number, user);
                if is_new {
                    good.push(line);
                } else {
                    report.refuse(&line, RefusedLine::TWICE);
                }
            }
        }
    }
    good
}

/// The error where there is no memory for lines that wait.
fn no_memory() -> Error {
    Error::Throttled {
        reason: "the connection holds as much memory as it may, and so no more lines can wait for names",
        retry_after: RETRY_AFTER,
    }
}
