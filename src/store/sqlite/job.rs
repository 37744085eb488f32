//! What the threads that write have to do.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::lookup::Lookup;
use super::untags::{self, Seen, Sighting};
use crate::domain::{Changed, TagCommand, UntagCommand};
use crate::store::StoreError;
use crate::telemetry::trace::Change;

/// Something to do, and where the answer goes.
pub struct Job {
    pub work: Work,
    pub reply: oneshot::Sender<Outcome>,
    /// Where the job stands, for whoever traces it. A check has none.
    pub trace: Option<Change>,
}

/// What came of a job.
pub type Outcome = Result<Changed, StoreError>;

/// What there is to do.
pub enum Work {
    Untag(Arc<UntagCommand>),
    Tag(Arc<TagCommand>),
    /// Find out whether commits get through.
    Check,
}

impl Job {
    /// A job that nobody waits for: it ends the wait of a thread that has nothing to do.
    pub fn wake() -> Self {
        let (reply, _) = oneshot::channel();
        Self {
            work: Work::Check,
            reply,
            trace: None,
        }
    }

    pub fn is_change(&self) -> bool {
        !matches!(self.work, Work::Check)
    }

    /// Whether the caller is gone: it has passed its deadline, and is told that nothing is known of its change.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// How many targets an untag has.
    pub fn targets(&self) -> usize {
        match &self.work {
            Work::Untag(command) => command.targets.count(),
            Work::Tag(_) | Work::Check => 0,
        }
    }

    /// How many rows it names.
    fn rows(&self) -> usize {
        match &self.work {
            Work::Untag(_) | Work::Check => self.targets(),
            Work::Tag(command) => command.targets.count(),
        }
    }
}

/// Jobs that share a commit.
pub struct Batch {
    pub jobs: Vec<Job>,
    /// How many targets their untags have, and how many rows all of them name.
    targets: usize,
    rows: usize,
    /// What there is of the targets of the first jobs, in their order.
    sightings: Vec<Sighting>,
    /// How many jobs these are of.
    looked_up: usize,
    /// How many turns were over when the first of them was looked up.
    over: Option<u64>,
}

impl Batch {
    pub fn add(&mut self, job: Job) {
        self.targets += job.targets();
        self.rows += job.rows();
        self.jobs.push(job);
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Looks up the targets that were not, in a state of the store in which so many turns are over.
    pub fn look_up(&mut self, lookup: &mut Lookup<'_>, over: u64) -> rusqlite::Result<()> {
        let jobs = &self.jobs[self.looked_up..];
        self.sightings.extend(untags::look_up(lookup, jobs)?);
        self.looked_up = self.jobs.len();
        self.over.get_or_insert(over);
        Ok(())
    }

    /// Each job that was looked up, with what was seen of its targets.
    pub fn each(&self) -> impl Iterator<Item = (&Job, Seen<'_>)> {
        let over = self.over.unwrap_or_default();
        let mut rest = self.sightings.as_slice();
        self.jobs[..self.looked_up].iter().map(move |job| {
            let (sightings, others) = rest.split_at(job.targets());
            rest = others;
            (job, Seen { sightings, over })
        })
    }
}

impl From<Job> for Batch {
    fn from(job: Job) -> Self {
        Self {
            targets: job.targets(),
            rows: job.rows(),
            jobs: vec![job],
            sightings: Vec::new(),
            looked_up: 0,
            over: None,
        }
    }
}
