//! The command line of `untag changes`.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand};

use super::position::watch_start;
use crate::cli::client::{ClientArguments, EXIT_CODES, User, completion, moment};
use crate::cli::values::{caller, revision};
use crate::domain::{Action, Caller, ChangeKey, RequestId, TagKey, Timestamp, WatchStart};

/// `untag changes`.
#[derive(Debug, Args)]
pub struct ChangesArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ChangesCommand,
}

/// A subcommand of `untag changes`.
#[derive(Debug, Subcommand)]
pub enum ChangesCommand {
    /// List changes, the newest first: who made them, when, and of which tags. Each filter that is given has to match.
    #[command(after_help = EXIT_CODES)]
    List(ListArguments),
    /// Show a change: who made it, when and from where, and what it did to each user, with the values that were there before.
    #[command(after_help = EXIT_CODES)]
    Show(ShowArguments),
    /// Undo a change: what it removed comes back, and what it set goes or gets its old value. What was changed again since is a conflict.
    #[command(after_help = EXIT_CODES)]
    Revert(RevertArguments),
    /// Follow the changes as they come, until Ctrl-C. Where the service goes, the watch goes on by itself, and misses nothing.
    #[command(after_help = EXIT_CODES)]
    Watch(WatchArguments),
}

/// `untag changes list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Changes of this user: an id, or a principal name, which has an @. A deleted user is found by its id.
    #[arg(long, value_name = "USER")]
    pub user: Option<User>,

    /// Changes that removed or set a tag with this key.
    #[arg(long, value_name = "KEY", value_parser = |text: &str| TagKey::parse(text), add = completion::keys())]
    pub tag: Option<TagKey>,

    /// Changes that this caller made: `spiffe://<id>`, `dns:<name>`, `jwt:<subject>`, `key:<name>` or anonymous.
    #[arg(long, value_name = "CALLER", value_parser = caller)]
    pub caller: Option<Caller>,

    /// Changes of this action, such as UntagResources or ram:UntagResources.
    #[arg(long, value_name = "ACTION", value_parser = Action::of_change)]
    pub action: Option<Action>,

    /// Changes from this time on: 2026-08-12T09:00:00Z, or how long ago, such as 15m, 2h or 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,

    /// Changes before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,

    /// List the oldest first.
    #[arg(long)]
    pub oldest_first: bool,

    /// The most changes to list; all without it.
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<NonZeroUsize>,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag changes show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The change: the RequestId of the request that made it, or its revision.
    #[arg(value_name = "REQUEST_ID|REVISION", value_parser = change)]
    pub change: ChangeKey,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag changes revert`.
#[derive(Debug, Args)]
pub struct RevertArguments {
    /// The change: the RequestId of the request that made it.
    #[arg(value_name = "REQUEST_ID", value_parser = request_id)]
    pub change: RequestId,

    /// Leave what was changed again since as it is, and revert the rest. Without it, one conflict keeps all from being reverted.
    #[arg(long)]
    pub skip_conflicts: bool,

    /// Only show what would be done, with every conflict, and change nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Do not show it and ask before. Where there is no terminal to ask on, it is needed.
    #[arg(long)]
    pub yes: bool,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag changes watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Where to begin: `now` with the next change, `beginning` with the oldest one, `snapshot` with all users and then every change since,
    /// or behind a position that an earlier watch has named.
    #[arg(long, value_name = "now|beginning|snapshot|POSITION", default_value = "now", value_parser = watch_start)]
    pub from: WatchStart,

    #[command(flatten)]
    pub client: ClientArguments,
}

fn change(text: &str) -> Result<ChangeKey, &'static str> {
    if let Some(id) = RequestId::parse(text) {
        return Ok(ChangeKey::RequestId(id));
    }
    revision(text)
        .map(ChangeKey::Revision)
        .map_err(|_| "give a RequestId, which is a UUID, or the number of a revision, from 1 on")
}

fn request_id(text: &str) -> Result<RequestId, &'static str> {
    RequestId::parse(text).ok_or(
        "give the RequestId of the change, a UUID; `untag changes list` has it, and `untag changes show REVISION`",
    )
}
