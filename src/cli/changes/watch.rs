//! `untag changes watch`.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::arguments::WatchArguments;
use super::position;
use super::row::{ChangeRow, HEADS};
use crate::cli::client::{Exit, Failure, Output, Table, connect, printable};
use crate::cli::process::end_on_signals_saying;
use crate::cli::users::UserRow;
use crate::client::{self, CallError, Change, User, Watch, WatchEvent};
use crate::domain::{HistoryPosition, WatchStart};

/// What a watch tells, as programs get it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(flatten)]
    event: EventRow<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EventRow<'a> {
    Change(ChangeRow<'a>),
    SnapshotBegin {},
    SnapshotUser(UserRow<'a>),
    SnapshotEnd { consistent_revision: i64 },
}

/// The position behind what is printed, which the program names when it ends.
type LastPosition = Arc<Mutex<Option<HistoryPosition>>>;

pub async fn run(arguments: &WatchArguments) -> Result<Exit, Failure> {
    let last: LastPosition = Arc::new(Mutex::new(match arguments.from {
        WatchStart::After(position) => Some(position),
        WatchStart::Now | WatchStart::Beginning | WatchStart::Snapshot => None,
    }));
    let of_signal = Arc::clone(&last);
    end_on_signals_saying(move || {
        going_on(&of_signal).map_or_else(String::new, |how| format!("; {how}"))
    })
    .map_err(Failure::Failed)?;
    let connection = connect(&arguments.client).await?;
    let mut printer = Printer {
        output: arguments.client.output(),
        changes: Table::new(HEADS),
        users: Table::new(UserRow::HEADS),
        last,
    };
    let end = printer
        .follow(client::watch(&connection, arguments.from))
        .await;
    match end {
        Err(Failure::Call(error)) if is_out_of_range(&error) => Err(Failure::Failed(format!(
            "{}; begin again with --from snapshot, which has all users first, and then every change",
            Failure::Call(error)
        ))),
        end => {
            if let Some(how) = going_on(&printer.last) {
                eprintln!("untag: {how}");
            }
            end
        }
    }
}

/// How to go on behind what is printed.
fn going_on(last: &LastPosition) -> Option<String> {
    let last = *last.lock().unwrap_or_else(PoisonError::into_inner);
    last.map(|position| format!("go on with --from {}", position::text(&position)))
}

struct Printer {
    output: Output,
    changes: Table<7>,
    users: Table<4>,
    last: LastPosition,
}

impl Printer {
    /// Prints what a watch tells, until it ends or nobody reads any more.
    async fn follow(&mut self, mut watch: Watch<'_>) -> Result<Exit, Failure> {
        while !self.output.is_closed() {
            match watch.next().await? {
                WatchEvent::Change(change) => self.change(&change, watch.position())?,
                WatchEvent::Checkpoint => {}
                WatchEvent::SnapshotBegin => self.line(None, EventRow::SnapshotBegin {})?,
                WatchEvent::Users {
                    users,
                    consistent_revision,
                } => {
                    self.users(&users)?;
                    if let Some(consistent_revision) = consistent_revision {
                        let end = EventRow::SnapshotEnd {
                            consistent_revision,
                        };
                        self.line(watch.position(), end)?;
                    }
                }
                WatchEvent::Ended(reason) => eprintln!(
                    "untag: the watch has ended and goes on by itself: {}",
                    printable(&reason)
                ),
            }
            if !self.output.is_closed() {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = watch.position();
            }
        }
        Ok(Exit::Done)
    }

    fn change(
        &mut self,
        change: &Change,
        position: Option<HistoryPosition>,
    ) -> Result<(), Failure> {
        let row = ChangeRow::of(change);
        if self.output.is_table() {
            return Ok(self
                .output
                .rows(&mut self.changes, &[row], ChangeRow::cells)?);
        }
        self.line(position, EventRow::Change(row))
    }

    fn users(&mut self, users: &[User]) -> Result<(), Failure> {
        if self.output.is_table() {
            let rows: Vec<UserRow<'_>> = users.iter().map(UserRow::of).collect();
            return Ok(self.output.rows(&mut self.users, &rows, UserRow::cells)?);
        }
        users
            .iter()
            .try_for_each(|user| self.line(None, EventRow::SnapshotUser(UserRow::of(user))))
    }

    /// Prints a line for programs; people do not get it.
    fn line(
        &mut self,
        position: Option<HistoryPosition>,
        event: EventRow<'_>,
    ) -> Result<(), Failure> {
        if self.output.is_table() {
            return Ok(());
        }
        let position = position.as_ref().map(position::text);
        Ok(self.output.result("", &Line { position, event })?)
    }
}

/// Whether what the watch should go on with is not in the history any more.
fn is_out_of_range(error: &CallError) -> bool {
    error
        .alibaba_code()
        .is_some_and(|code| code.starts_with("OutOfRange."))
}
