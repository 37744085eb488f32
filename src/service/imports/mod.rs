//! The use case of an import: users come in chunks, each of which is a change of its own.

mod report;
mod under_way;
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
    NewUser, Origin, Repeat, RequestId, Timestamp, limits,
};
use crate::store::Store;
use crate::telemetry::metrics::metrics;
use under_way::{Ids, UnderWay};
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
    under_way: UnderWay,
}

/// A chunk that the store has not been asked for yet.
pub struct BegunChunk<S> {
    service: UserService<S>,
    call: Call,
    /// None where all of its lines were refused.
    command: Option<ImportCommand>,
    repeat: Option<Repeat>,
    lines: Lines,
}

/// A chunk whose change was made, if it had one.
pub struct MadeChunk {
    lines: Lines,
    imported: Option<Imported>,
}

/// The lines of a chunk that are carried out, and the report.
struct Lines {
    all: Vec<WaitingLine>,
    /// How many of them came with the chunk. The others have waited before.
    own: usize,
    /// The users of chunks that were under way when this one began.
    beside: Vec<Arc<Ids>>,
    report: ChunkReport,
}

impl<S: Store> UserService<S> {
    /// Begins an import. What waits in memory for users to come is held by `hold`.
    pub fn import(&self, settings: ImportSettings, hold: Hold) -> Import<S> {
        Import {
            service: self.clone(),
            settings,
            waiting: Waiting::new(hold),
            under_way: UnderWay::default(),
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
    /// Whether a chunk has a user of a chunk that is under way: it may begin when that is done, since the later line of a user
    /// counts.
    #[must_use]
    pub fn must_wait(&self, chunk: &ImportChunk) -> bool {
        let users = chunk
            .lines
            .iter()
            .filter_map(|line| line.user.as_ref().ok());
        self.under_way.has_any(users.map(|user| &user.id))
    }

    /// Begins a chunk, which is carried out beside those that are under way. Users who would get names that others have wait until
    /// those come, too.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn begin(&mut self, call: Call, chunk: ImportChunk) -> Result<BegunChunk<S>, Error> {
        debug_assert!(!self.must_wait(&chunk));
        let ImportChunk { lines, repeat } = chunk;
        let mut report = ChunkReport::of(&call, &lines);
        let own = good(lines, &mut report);
        for line in self.waiting.superseded(&own) {
            report.refuse(&line, RefusedLine::SUPERSEDED);
        }
        let waited = self.waiting.for_whom(&own, &self.under_way);
        self.begin_lines(call, (own, waited), repeat, report)
    }

    /// Begins the change of the users who still wait: whose names are still taken then is refused. `None` where nobody waits. No
    /// chunk is under way.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn finish(&mut self, call: Call) -> Result<Option<BegunChunk<S>>, Error> {
        let all = self.waiting.take_all();
        if all.is_empty() {
            return Ok(None);
        }
        let report = ChunkReport::at_end(&call, &all);
        self.waiting.close();
        self.begin_lines(call, (all, Vec::new()), None, report)
            .map(Some)
    }

    fn begin_lines(
        &mut self,
        call: Call,
        (own, waited): (Vec<WaitingLine>, Vec<WaitingLine>),
        repeat: Option<Repeat>,
        report: ChunkReport,
    ) -> Result<BegunChunk<S>, Error> {
        let first_waited = waited.iter().map(|line| line.number).min();
        let count = own.len();
        let lines: Vec<_> = own.into_iter().chain(waited).collect();
        let ids = lines.iter().map(|line| line.user.id.clone()).collect();
        Ok(BegunChunk {
            command: self.command(call.time.into(), &lines)?,
            service: self.service.clone(),
            call,
            repeat,
            lines: Lines {
                all: lines,
                own: count,
                beside: self.under_way.begin(ids, first_waited),
                report,
            },
        })
    }

    fn command(
        &self,
        time: Timestamp,
        lines: &[WaitingLine],
    ) -> Result<Option<ImportCommand>, Error> {
        if lines.is_empty() {
            return Ok(None);
        }
        debug_assert!(lines.len() <= limits::USER_CHANGES);
        let ImportSettings { account, mode, .. } = &self.settings;
        let users = lines.iter().map(|line| line.user.clone()).collect();
        let command = ImportCommand::new(account.clone(), time, *mode, users);
        // The lines are of different users, and bounded.
        let mut command = command.map_err(|_| Error::Internal)?;
        if self.settings.validate_only {
            command = command.only_validated();
        }
        Ok(Some(command))
    }

    /// Ends the chunk that was begun first of those that are under way, and returns its report.
    ///
    /// # Errors
    /// [`Error::Throttled`]: there is no memory for lines that wait.
    pub fn end(&mut self, chunk: MadeChunk) -> Result<ChunkReport, Error> {
        let MadeChunk { lines, imported } = chunk;
        self.under_way.end();
        let Lines {
            all,
            own,
            beside,
            mut report,
        } = lines;
        if let Some(imported) = imported {
            report.take(&imported);
            let mut refused = imported.refused.into_iter().peekable();
            for (position, line) in all.into_iter().enumerate() {
                let why = refused.next_if(|refused| refused.position == position);
                // A repetition may have had others that waited.
                let is_unknown = imported.is_replay && position >= own;
                match why.map(|refused| refused.why) {
                    _ if is_unknown => self.waiting.keep(line)?,
                    None => {}
                    Some(ImportRefusal::NameTaken(holder)) if self.waiting.has_room() => {
                        let is_beside = |ids: &Arc<Ids>| ids.contains(&holder);
                        if beside.iter().any(is_beside) || self.under_way.has_any([&holder]) {
                            self.waiting.add_beside(line, holder)?;
                        } else {
                            self.waiting.add(line, holder)?;
                        }
                    }
                    Some(why) => report.refuse_for(&line, &why),
                }
            }
        }
        report.resume_at(self.waiting.first_line());
        report.resume_at(self.under_way.first_waited());
        Ok(report)
    }
}

impl<S: Store> BegunChunk<S> {
    /// The RequestId of its change.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.call.request_id
    }

    /// Makes the change.
    ///
    /// # Errors
    /// [`Error::NoPermission`], [`Error::TokenMismatch`], [`Error::Unsupported`], [`Error::Throttled`], [`Error::Unavailable`] or
    /// [`Error::Internal`]: nothing of the chunk was changed, unless the error says otherwise.
    pub async fn make(self) -> Result<MadeChunk, Error> {
        let imported = match self.command {
            None => None,
            Some(command) => {
                let import = self.service.import_once(&self.call, command, self.repeat);
                Some(import.await?)
            }
        };
        Ok(MadeChunk {
            lines: self.lines,
            imported,
        })
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
