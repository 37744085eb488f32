//! Jobs that share a commit, and what was looked up for them before.

use super::job::Job;
use super::untags::{self, LookupResults};
use crate::store::sqlite::index::{Lookup, LookupResult};

/// Jobs that share a commit.
pub struct Batch {
    pub jobs: Vec<Job>,
    /// How many targets their untags have, and how many rows all of them name.
    targets: usize,
    rows: usize,
    /// What was found of the targets of the first jobs, in their order.
    results: Vec<LookupResult>,
    /// How many jobs these results are of.
    looked_up: usize,
    /// The commit epoch that was completed when the first of them was looked up.
    completed: Option<u64>,
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

    /// Looks up the targets that were not, in a state of the store in which this commit epoch is completed.
    pub fn look_up(&mut self, lookup: &mut Lookup<'_>, completed: u64) -> rusqlite::Result<()> {
        let jobs = &self.jobs[self.looked_up..];
        self.results.extend(untags::look_up(lookup, jobs)?);
        self.looked_up = self.jobs.len();
        self.completed.get_or_insert(completed);
        Ok(())
    }

    /// Each job that was looked up, with what was found of its targets.
    pub fn each(&self) -> impl Iterator<Item = (&Job, LookupResults<'_>)> {
        let completed = self.completed.unwrap_or_default();
        let mut rest = self.results.as_slice();
        self.jobs[..self.looked_up].iter().map(move |job| {
            let (results, others) = rest.split_at(job.targets());
            rest = others;
            (job, LookupResults { results, completed })
        })
    }
}

impl From<Job> for Batch {
    fn from(job: Job) -> Self {
        Self {
            targets: job.targets(),
            rows: job.rows(),
            jobs: vec![job],
            results: Vec::new(),
            looked_up: 0,
            completed: None,
        }
    }
}
