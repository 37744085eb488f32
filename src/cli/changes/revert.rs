//! `untag changes revert`.

use serde::Serialize;

use super::arguments::RevertArguments;
use super::effects;
use super::row::EffectRow;
use crate::cli::client::{Exit, Failure, Output, Table, ask, can_ask, connect};
use crate::cli::process::end_on_signals;
use crate::client::{self, Conflict, Mode, Revert, Reverted, Values};
use crate::domain::OnConflict;

/// A revert, as programs get it.
#[derive(Serialize)]
struct Done<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    changed_resources: usize,
    changed_tags: usize,
    dry_run: bool,
    values_redacted: bool,
    effects: Vec<EffectRow<'a>>,
    conflicts: Vec<ConflictRow<'a>>,
}

/// A conflict, as programs get it.
#[derive(Serialize)]
struct ConflictRow<'a> {
    resource_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tag_key: &'a str,
    reason: &'a str,
    message: &'a str,
}

pub async fn run(arguments: &RevertArguments) -> Result<Exit, Failure> {
    let asks = !arguments.yes && !arguments.dry_run;
    if asks && !can_ask() {
        return Err(Failure::Usage(
            "there is no terminal to ask on: look with --dry-run, and give --yes to revert the change; nothing was changed".to_owned(),
        ));
    }
    let connection = connect(&arguments.client).await?;
    end_on_signals().map_err(Failure::Failed)?;
    let revert = Revert {
        change: arguments.change,
        on_conflict: if arguments.skip_conflicts {
            OnConflict::Skip
        } else {
            OnConflict::Fail
        },
        mode: Mode::DryRun,
    };
    let mut output = arguments.client.output();
    if arguments.dry_run {
        let plan = client::revert_change(&connection, &revert).await?;
        let text = format!("{}{}", shown(&plan), sentence(&plan, Mode::DryRun));
        print(&mut output, &text, &plan, Mode::DryRun)?;
        return refusal(&plan, &revert).map_or(Ok(Exit::Done), Err);
    }
    if asks {
        let plan = client::revert_change(&connection, &revert).await?;
        if let Some(refused) = refusal(&plan, &revert) {
            eprint!("{}", shown(&plan));
            return Err(refused);
        }
        if plan.changed_users == 0 {
            let text = format!(
                "{}{}",
                conflicts(&plan.conflicts),
                sentence(&plan, Mode::Make)
            );
            return print(&mut output, &text, &plan, Mode::DryRun);
        }
        ask(
            &shown(&plan),
            &format!("Revert the change {}?", revert.change),
        )?;
    }
    let made = Revert {
        mode: Mode::Make,
        ..revert
    };
    let done = client::revert_change(&connection, &made).await?;
    let text = format!(
        "{}{}",
        conflicts(&done.conflicts),
        sentence(&done, Mode::Make)
    );
    print(&mut output, &text, &done, Mode::Make)
}

/// The failure of a revert that conflicts keep from being made.
fn refusal(plan: &Reverted, revert: &Revert) -> Option<Failure> {
    let conflicts = match (revert.on_conflict, plan.conflicts.len()) {
        (OnConflict::Skip, _) | (OnConflict::Fail, 0) => return None,
        (OnConflict::Fail, 1) => "1 conflict keeps".to_owned(),
        (OnConflict::Fail, count) => format!("{count} conflicts keep"),
    };
    Some(Failure::Failed(format!(
        "{conflicts} the change from being reverted, and nothing was changed; see what is there now with untag tags list, \
         and give --skip-conflicts to leave what is in conflict as it is, and to revert the rest (RequestId {})",
        plan.request_id
    )))
}

/// What a revert does, or would do, and its conflicts.
fn shown(plan: &Reverted) -> String {
    effects::text(&plan.effects, plan.changed_users, plan.values) + &conflicts(&plan.conflicts)
}

fn conflicts(conflicts: &[Conflict]) -> String {
    let rows = conflicts.iter().map(|conflict| {
        let Conflict {
            resource_id,
            tag_key,
            message,
            ..
        } = conflict;
        [resource_id, tag_key, message].map(Clone::clone)
    });
    Table::new(["CONFLICT OF USER", "TAG", "WHY"]).lines(&rows.collect::<Vec<_>>())
}

fn sentence(reverted: &Reverted, mode: Mode) -> String {
    let Reverted {
        request_id,
        changed_users,
        changed_tags,
        ..
    } = reverted;
    let count = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    };
    let extent = match (*changed_users, *changed_tags) {
        (users, 0) => count(users, "user"),
        (users, tags) => format!("{} of {}", count(tags, "tag"), count(users, "user")),
    };
    match (mode, changed_users, reverted.revision) {
        (_, 0, _) => {
            let what = if reverted.conflicts.is_empty() {
                "nothing"
            } else {
                "nothing else"
            };
            format!("there is {what} to revert, and nothing was changed (RequestId {request_id})")
        }
        (Mode::DryRun, ..) => {
            format!(
                "a dry run: would change {extent}, and nothing was changed (RequestId {request_id})"
            )
        }
        (Mode::Make, _, revision) => {
            let revision = revision.map_or_else(String::new, |it| format!("revision {it}, "));
            format!("reverted the change: changed {extent} ({revision}RequestId {request_id})")
        }
    }
}

fn print(
    output: &mut Output,
    text: &str,
    reverted: &Reverted,
    mode: Mode,
) -> Result<Exit, Failure> {
    let conflicts = reverted.conflicts.iter().map(|conflict| ConflictRow {
        resource_id: &conflict.resource_id,
        tag_key: &conflict.tag_key,
        reason: conflict.reason,
        message: &conflict.message,
    });
    let done = Done {
        request_id: &reverted.request_id,
        revision: reverted.revision,
        changed_resources: reverted.changed_users,
        changed_tags: reverted.changed_tags,
        dry_run: mode == Mode::DryRun,
        values_redacted: reverted.values == Values::Redacted,
        effects: reverted.effects.iter().map(EffectRow::of).collect(),
        conflicts: conflicts.collect(),
    };
    output.result(text, &done)?;
    Ok(Exit::Done)
}
