//! The values of the contract, parsed: a value that exists is a valid one.
//!
//! Nothing here knows gRPC, a database or a clock. Constructors are the only way in, so no code below the parser
//! checks a length or an empty string again.

/// Shows values as their text. Stands before the modules that use it.
macro_rules! display_as_str {
    ($($name:ty),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    )*};
}

mod caller;
mod change;
mod change_query;
mod command;
mod effect_names;
mod error;
mod identity;
mod import;
mod operation;
mod resource;
mod revert;
mod revision;
mod tag;
mod tag_count;
mod targets;
mod timestamp;
mod user;
mod user_command;
mod user_list;
mod watch;

pub use caller::{Action, Call, Caller, ClientRequestId, InvalidChangeAction};
pub use change::{
    AuditedChange, AuditedEffect, Change, ChangeKey, ChangesQuery, ClientToken, Direction, Effect,
    EffectKind, Fingerprint, History, HistoryId, Origin, Repeat, SetTag, changed_tags,
};
pub use change_query::{ChangeFilter, ChangeListQuery, ChangePage, ChangeQuery};
pub use command::{
    Changed, Continuation, Expected, ListQuery, ListedTag, Mismatch, OnMismatch, PageSize,
    Position, TagCommand, TagFilter, TagPage, TagSelection, UntagCommand,
};
pub use effect_names::new_name;
pub use error::{
    Applied, Error, Fault, FaultCode, LONGEST_MESSAGE, Refusal, RefusalKind, first_names,
    message_with_end, shortened,
};
pub use identity::{
    AccountId, InvalidId, InvalidPrincipalName, PrincipalName, RequestId, ResourceId,
};
pub use import::{ImportCommand, ImportMode, ImportPlan, ImportRefusal, Imported, RefusedUser};
pub use operation::Operation;
pub use resource::{Resource, TooManyTags};
pub use revert::{
    ConflictReason, OnConflict, Present, PresentUsers, Revert, RevertCommand, RevertConflict,
    RevertRequest, Reverted, names_of,
};
pub use revision::Revision;
pub use tag::{InvalidTagKey, InvalidTagValue, TagKey, TagValue};
pub use tag_count::{CountPage, TagKeyPage, TagKeysQuery, TagValuePage, TagValuesQuery};
pub use targets::{NamedResource, Targets};
pub use timestamp::{KEEP_DELETED, Timestamp};
pub use user::{Comments, DisplayName, InvalidUserText, User};
pub use user_command::{
    Edit, InvalidUserCommand, NewUser, UserChange, UserCommand, UserKey, UserQuery, UserUpdate,
    UsersChanged,
};
pub use user_list::{
    DeletedUsers, InvalidNamePrefix, NamePrefix, TagCondition, UserContinuation, UserListQuery,
    UserPage,
};

pub use watch::{HistoryPosition, PassedChange, WatchQuery, WatchStart};

/// The only resource type there is: a RAM user.
pub const RESOURCE_TYPE_USER: &str = "user";

/// The limits of the contract, published as buf.validate rules in the proto file too.
pub mod limits {
    /// The most resources that a request may name.
    pub const RESOURCES: usize = 50;
    /// The most tag keys, tags or tag filters that a request may give.
    pub const TAGS: usize = 20;
    /// The most tags that one user may carry.
    pub const TAGS_OF_A_USER: usize = 20;
    /// The most digits of a resource id or an account id.
    pub const ID_DIGITS: usize = 32;
    /// The most characters of a principal name.
    pub const PRINCIPAL_NAME: usize = 128;
    /// The most characters of the part of a principal name that stands before the `@`.
    pub const PRINCIPAL_NAME_USER: usize = 64;
    /// The most characters of a tag key.
    pub const TAG_KEY: usize = 128;
    /// The most characters of a tag value.
    pub const TAG_VALUE: usize = 128;
    /// The most characters of a display name of a user.
    pub const DISPLAY_NAME: usize = 24;
    /// The most characters of the comments on a user.
    pub const COMMENTS: usize = 128;
    /// The most changes of users that are made as a whole.
    pub const USER_CHANGES: usize = 1_000;
    /// The most lines of a chunk of an import.
    pub const IMPORT_LINES: usize = 500;
    /// The most characters of the client token of an import.
    pub const IMPORT_TOKEN: usize = 40;
    /// The most tags or users on a page of a list, and how many there are when the request does not say.
    pub const PAGE_SIZE: u16 = 100;
}
