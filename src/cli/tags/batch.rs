//! The calls for the users of a file, one after the other.

use std::fmt::Write as _;
use std::pin::pin;

use indicatif::{ProgressBar, ProgressStyle};

use super::source::people;
use super::user_file::Chunk;
use super::work::Work;
use crate::cli::client::{Exit, Failure, Output};
use crate::client::{Answer, CallError};
use crate::domain::Targets;
use crate::server::Signals;

/// The state of a series of calls: what they have come to so far.
pub struct Batch<'a> {
    work: &'a Work,
    output: Output,
    signals: Signals,
    bar: ProgressBar,
    /// Users of calls that were made.
    done: usize,
    /// How many tags these calls have changed, or would; nothing where the service does not tell.
    changed_tags: Option<u64>,
    /// Users of calls that were refused because of some of them.
    refused: usize,
    exit: Exit,
}

/// The place in the file where no more calls are made.
enum Stop {
    /// After this one, which has an answer.
    After,
    /// At this one, which was not made, or perhaps not.
    Here,
}

impl<'a> Batch<'a> {
    /// A series for so many users, of which no call is made yet.
    ///
    /// # Errors
    /// Where signals can't be waited for.
    pub fn new(work: &'a Work, output: Output, users: usize) -> Result<Self, Failure> {
        let signals =
            Signals::listen_at_terminal().map_err(|error| Failure::Failed(error.to_string()))?;
        let style =
            ProgressStyle::with_template("{msg} [{bar:40}] {pos} of {len} users, {eta} left");
        // Shown on a terminal only, that of stderr.
        let bar = ProgressBar::new(users as u64)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(work.label);
        Ok(Self {
            work,
            output,
            signals,
            bar,
            done: 0,
            changed_tags: Some(0),
            refused: 0,
            exit: Exit::Done,
        })
    }

    /// Makes the calls, and says what came of them and how to go on.
    ///
    /// # Errors
    /// Where that can't be written.
    pub async fn run(
        mut self,
        chunks: &[Chunk],
        call: impl AsyncFn(&Targets) -> Result<Answer, CallError>,
    ) -> Result<Exit, Failure> {
        let mut next = None;
        for (at, chunk) in chunks.iter().enumerate() {
            let stop = self.make(chunk, call(&chunk.users)).await;
            self.bar.inc(chunk.users.count() as u64);
            let first = match stop {
                None => continue,
                Some(Stop::After) => at + 1,
                Some(Stop::Here) => at,
            };
            next = chunks.get(first).map(|chunk| chunk.first_line);
            break;
        }
        self.bar.finish_and_clear();
        self.sum_up(next)?;
        Ok(self.exit)
    }

    /// Makes one call, and says whether no more are to be made.
    async fn make(
        &mut self,
        chunk: &Chunk,
        call: impl Future<Output = Result<Answer, CallError>>,
    ) -> Option<Stop> {
        let mut call = pin!(call);
        let mut ending = None;
        let made = loop {
            tokio::select! {
                made = &mut call => break made,
                signal = self.signals.next() => {
                    self.exit = signal.into();
                    if ending.is_some() {
                        self.say(&format!("ended by {signal}: nobody knows whether the call for {chunk} was made"));
                        return Some(Stop::Here);
                    }
                    self.say(&format!("{signal}: stopping after the call for {chunk}; once more stops at once"));
                    ending = Some(Stop::After);
                }
            }
        };
        let stop = match made {
            Ok(answer) => self.note(&answer, chunk),
            Err(error) => self.note_failure(error, chunk),
        };
        stop.or(ending)
    }

    fn note(&mut self, answer: &Answer, chunk: &Chunk) -> Option<Stop> {
        let users = chunk.users.count();
        self.done += users;
        let both = self.changed_tags.zip(answer.changed_tags);
        self.changed_tags = both.map(|(before, more)| before + more);
        // For people the sum is enough.
        if self.output.is_table() {
            return None;
        }
        let done = self.work.done(answer, users, Some(chunk));
        let failed = self.output.result("", &done).err()?;
        self.exit = self.exit.max(Exit::Failed);
        self.say(&Failure::from(failed).to_string());
        Some(Stop::After)
    }

    fn note_failure(&mut self, error: CallError, chunk: &Chunk) -> Option<Stop> {
        let is_about_users = error.is_about_users();
        self.exit = self.exit.max(Exit::from(&error));
        self.say(&format!("{chunk}: {}", Failure::from(error)));
        if is_about_users {
            self.refused += chunk.users.count();
            None
        } else {
            // It would fail again.
            Some(Stop::Here)
        }
    }

    /// Says what was done, what was refused, and how to go on.
    fn sum_up(&mut self, next: Option<u64>) -> Result<(), Failure> {
        let mut sum = self.work.sentence(self.done, self.changed_tags);
        if self.refused > 0 {
            let _ = write!(
                sum,
                "; the calls for {} were refused: mend those lines and run it again, what is done stays as it is",
                people(self.refused)
            );
        }
        if let Some(line) = next {
            let _ = write!(
                sum,
                "; stopped before line {line}: go on with --from-line {line}"
            );
        }
        if self.output.is_table() && self.exit == Exit::Done {
            self.output.result(&sum, &())?;
        } else {
            eprintln!("untag: {sum}");
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        self.bar.suspend(|| eprintln!("untag: {what}"));
    }
}
