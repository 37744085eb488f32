//! The command line of `untag users`.

use clap::{ArgGroup, Args, Subcommand};

use crate::cli::client::{ClientArguments, EXIT_CODES, User, completion};
use crate::domain::{
    Comments, DisplayName, Edit, InvalidUserText, NamePrefix, PrincipalName, ResourceId,
};

/// `untag users`.
#[derive(Debug, Args)]
pub struct UsersArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: UsersCommand,
}

/// A subcommand of `untag users`.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List the users of the account, in order of id.
    #[command(after_help = EXIT_CODES)]
    List(ListArguments),
    /// Show a user with its tags and times.
    #[command(after_help = EXIT_CODES)]
    Show(ShowArguments),
    /// Create a user.
    #[command(after_help = EXIT_CODES)]
    Add(AddArguments),
    /// Give a user another principal name, another display name or other comments.
    #[command(after_help = EXIT_CODES)]
    Rename(RenameArguments),
    /// Delete a user. For 30 days it can be restored.
    #[command(after_help = EXIT_CODES)]
    Remove(RemoveArguments),
    /// Restore a deleted user with the tags that it had.
    #[command(after_help = EXIT_CODES)]
    Restore(RestoreArguments),
}

/// `untag users list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only users whose principal name begins with this, without regard to case.
    #[arg(long, value_name = "TEXT", value_parser = |text: &str| NamePrefix::parse(text))]
    pub name_prefix: Option<NamePrefix>,

    /// Only users that carry this key, or this key with this value.
    #[arg(long, value_name = "KEY[=VALUE]", conflicts_with = "untagged", add = completion::keys_or_tags())]
    pub tag: Option<String>,

    /// Only users without any tag.
    #[arg(long)]
    pub untagged: bool,

    /// Also list deleted users that can still be restored.
    #[arg(long)]
    pub deleted: bool,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag users show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The user: an id, or a principal name, which has an @. By its id a deleted user is found too.
    #[arg(value_name = "USER")]
    pub user: User,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag users add`.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// The principal name, such as alice@example.onaliyun.com.
    #[arg(value_name = "NAME", value_parser = |text: &str| PrincipalName::parse(text))]
    pub name: PrincipalName,

    /// The id: 1 to 32 digits. Without it the service makes one.
    #[arg(long, value_name = "ID", value_parser = |text: &str| ResourceId::parse(text))]
    pub id: Option<ResourceId>,

    /// The name that is shown to people, of up to 24 characters. Without it, the part of the principal name before the @.
    #[arg(long, value_name = "TEXT", value_parser = |text: &str| DisplayName::parse(text))]
    pub display_name: Option<DisplayName>,

    /// What there is to say about the user, in up to 128 characters.
    #[arg(long, value_name = "TEXT", value_parser = |text: &str| Comments::parse(text))]
    pub comments: Option<Comments>,

    /// A tag, the first = of which ends the key. It can be given 20 times.
    #[arg(long = "tag", value_name = "KEY=VALUE", add = completion::tags())]
    pub tags: Vec<String>,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag users rename`.
#[derive(Debug, Args)]
// clap would put the group of what changes before the user.
#[command(
    override_usage = "untag users rename [OPTIONS] <USER> <NEW_NAME|--display-name <TEXT>|--comments <TEXT>>"
)]
#[command(group(ArgGroup::new("what").args(["name", "display_name", "comments"]).required(true).multiple(true)))]
pub struct RenameArguments {
    /// The user: an id, or a principal name, which has an @.
    #[arg(value_name = "USER")]
    pub user: User,

    /// The new principal name.
    #[arg(value_name = "NEW_NAME", value_parser = |text: &str| PrincipalName::parse(text))]
    pub name: Option<PrincipalName>,

    /// The new name that is shown to people, of up to 24 characters; an empty text takes it away.
    #[arg(long, value_name = "TEXT", value_parser = |text: &str| edit(text, DisplayName::parse))]
    pub display_name: Option<Edit<DisplayName>>,

    /// The new comments, of up to 128 characters; an empty text takes them away.
    #[arg(long, value_name = "TEXT", value_parser = |text: &str| edit(text, Comments::parse))]
    pub comments: Option<Edit<Comments>>,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag users remove`.
#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// The user: an id, or a principal name, which has an @.
    #[arg(value_name = "USER")]
    pub user: User,

    /// Do not ask before. Where there is no terminal to ask on, it is needed.
    #[arg(long)]
    pub yes: bool,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// `untag users restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The id of the user.
    #[arg(value_name = "ID", value_parser = |text: &str| ResourceId::parse(text))]
    pub id: ResourceId,

    /// The principal name that it gets; without it its old one, unless somebody else has that by now.
    #[arg(value_name = "NEW_NAME", value_parser = |text: &str| PrincipalName::parse(text))]
    pub name: Option<PrincipalName>,

    #[command(flatten)]
    pub client: ClientArguments,
}

/// An edit of a text, which goes where the new one is empty.
fn edit<'text, T>(
    text: &'text str,
    parse: impl Fn(&'text str) -> Result<T, InvalidUserText>,
) -> Result<Edit<T>, InvalidUserText> {
    match text {
        "" => Ok(Edit::Clear),
        text => parse(text).map(Edit::Set),
    }
}
