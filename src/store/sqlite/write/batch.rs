//! Jobs that share a commit, and what was looked up for them.

use super::job::Job;
use super::untags::{self, Seen};
use crate::store::sqlite::index::{Lookup, Sighting};

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
