//! The command line of `untag tags`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use crate::cli::client::{ClientArguments, EXIT_CODES, User, completion};
use crate::cli::values::revision;
use crate::domain::{Revision, TagKey};

/// `untag tags`.
#[derive(Debug, Args)]
pub struct TagsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: TagsCommand,
}

/// A subcommand of `untag tags`.
#[derive(Debug, Subcommand)]
pub enum TagsCommand {
    /// List the tags of users, or the users that carry tags, in order of resource id and key.
    #[command(after_help = EXIT_CODES)]
    List(ListArguments),
    /// Remove tags from users: from all of them or from none.
    #[command(after_help = EXIT_CODES)]
    Remove(RemoveArguments),
    /// Set tags on users: on all of them or on none. The value of a key that is there already is overwritten.
    #[command(after_help = EXIT_CODES)]
    Set(SetArguments),
    /// List the keys of the tags that the users of the account carry, or the values of one key, each with how many users carry it.
    #[command(after_help = EXIT_CODES)]
    Keys(KeysArguments),
}

/// `untag tags list`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("selection").args(["users", "keys"]).required(true).multiple(true)))]
pub struct ListArguments {
    /// The users, up to 50 of them: ids, or principal names, which have an @. Without any, all users of the account that have
    /// the tags.
    #[arg(value_name = "USER")]
    pub users: Vec<User>,

    /// Only users that carry this key, or this key with this value, and only this tag of theirs. It can be given 20 times:
    /// then a user has to carry all of them.
    #[arg(long = "tag", value_name = "KEY[=VALUE]", add = completion::keys_or_tags())]
    pub keys: Vec<String>,

    /// The tags as they were right behind the change of this revision, instead of those of now. Of users that are named.
    #[arg(long, value_name = "REVISION", requires = "users", value_parser = revision)]
    pub revision: Option<Revision>,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// Users who are typed, or stand in a file.
#[derive(Debug, Args)]
pub struct FileArguments {
    /// Take the users from this file, and call the service for 50 of them at a time: each call changes all of its users or
    /// none. The file has one user a line; blank lines and those that begin with # do not count. `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,

    /// Begin at this line of the file, to go on where an earlier run has stopped.
    #[arg(long, value_name = "LINE", requires = "from_file")]
    pub from_line: Option<NonZeroU64>,
}

/// `untag tags remove`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("from").args(["users", "from_file"]).required(true)))]
#[command(group(ArgGroup::new("what").args(["keys", "all"]).required(true)))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct RemoveArguments {
    /// The users, up to 50 of them: ids, or principal names, which have an @.
    #[arg(value_name = "USER")]
    pub users: Vec<User>,

    /// A key to remove. It can be given 20 times. A key that a user does not carry is passed over.
    #[arg(long = "tag", value_name = "KEY", value_parser = |text: &str| TagKey::parse(text), add = completion::keys())]
    pub keys: Vec<TagKey>,

    /// Remove every tag. On a terminal it shows what would go, and asks.
    #[arg(long)]
    pub all: bool,

    /// Only check the call, the existence of the users included, and change nothing. What would go it does not show.
    #[arg(long)]
    pub dry_run: bool,

    /// Pass over users that do not exist.
    #[arg(long)]
    pub allow_missing: bool,

    /// Do not ask before --all. Where there is no terminal to ask on, --all needs it.
    #[arg(long)]
    pub yes: bool,

    #[command(flatten)]
    pub file: FileArguments,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag tags set`.
#[derive(Debug, Args)]
pub struct SetArguments {
    /// The users, up to 50 of them: ids, or principal names, which have an @. And the tags, up to 20: a key and a value with =
    /// between them, the first of several. An empty value is one too.
    #[arg(value_name = "USER|KEY=VALUE", required = true, add = completion::tags())]
    pub words: Vec<String>,

    /// Only list the tags of the users, and show what would change. This is a look and no promise: somebody else may change
    /// them meanwhile.
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub file: FileArguments,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag tags keys`.
#[derive(Debug, Args)]
pub struct KeysArguments {
    /// List the values of this key.
    #[arg(long, value_name = "KEY", value_parser = |text: &str| TagKey::parse(text), add = completion::keys())]
    pub tag: Option<TagKey>,

    #[command(flatten)]
    pub client: ClientArguments,
}
