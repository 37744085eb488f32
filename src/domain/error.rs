//! The errors that callers are told of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{
    AccountId, Action, Caller, ChangeKey, HistoryPosition, Mismatch, NamedResource, RequestId,
    RevertConflict, Revision, UntagCommand,
};

/// The Alibaba Cloud error code of a fault in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// No account is named.
    MissingAccountId,
    /// An account id that is none.
    InvalidAccountId,
    /// A resource type other than `user`.
    InvalidResourceType,
    /// No resource is named.
    MissingResourceId,
    /// Over 50 resources.
    TooManyResourceIds,
    /// A resource id that is none.
    InvalidResourceId,
    /// A principal name that is none.
    InvalidResourcePrincipalName,
    /// Neither keys nor `all`.
    MissingTagKeysOrDeleteAll,
    /// Over 20 tag keys.
    TooManyTagKeys,
    /// A tag key that is none.
    InvalidTagKey,
    /// The same tag key twice.
    DuplicateTagKey,
    /// No tags to set.
    MissingTags,
    /// Over 20 tags.
    TooManyTags,
    /// A tag value that is none.
    InvalidTagValue,
    /// An expected value of a key that is not to be removed.
    InvalidExpectedValues,
    /// No principal name, where one is needed.
    MissingPrincipalName,
    /// A display name that is none.
    InvalidDisplayName,
    /// Comments that are none.
    InvalidComments,
    /// A field that can't be updated, or nothing to update.
    InvalidUpdateMask,
    /// A client token that is none.
    InvalidClientToken,
    /// Neither a RequestId nor a revision.
    MissingChange,
    /// A RequestId that is none.
    InvalidRequestId,
    /// A revision below 1, or one beside no resources.
    InvalidRevision,
    /// A caller that is too long.
    InvalidCaller,
    /// An action that is none.
    InvalidAction,
    /// An end before the beginning.
    InvalidEndTime,
    /// An order that is none.
    InvalidOrder,
    /// A way to treat conflicts that is none.
    InvalidOnConflict,
    /// A start of a watch that is none.
    InvalidStartAt,
    /// A position in a history that is none.
    InvalidPosition,
    /// A mode of an import that is none.
    InvalidImportMode,
    /// No lines, or over 500.
    TooManyLines,
    /// A number of a line that does not rise.
    InvalidLineNumber,
    /// A page size below 0 or over 100.
    InvalidPageSize,
    /// A page token that this request did not get.
    InvalidNextToken,
    /// A `grpc-timeout` header that is none.
    InvalidTimeout,
    /// Bytes that are not the request message.
    MalformedRequest,
}

impl FaultCode {
    /// The code as the cloud API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingAccountId => "MissingParameter.AccountId",
            Self::InvalidAccountId => "InvalidParameter.AccountId",
            Self::InvalidResourceType => "InvalidParameter.ResourceType",
            Self::MissingResourceId => "MissingParameter.ResourceId",
            Self::TooManyResourceIds => "NumberExceed.ResourceIds",
            Self::InvalidResourceId => "InvalidParameter.ResourceId",
            Self::InvalidResourcePrincipalName => "InvalidParameter.ResourcePrincipalName",
            Self::MissingTagKeysOrDeleteAll => "MissingParameter.TagKeysOrDeleteAll",
            Self::TooManyTagKeys => "NumberExceed.TagKeys",
            Self::InvalidTagKey => "InvalidParameter.TagKey",
            Self::DuplicateTagKey => "Duplicate.TagKey",
            Self::MissingTags => "MissingParameter.Tags",
            Self::TooManyTags => "NumberExceed.Tags",
            Self::InvalidTagValue => "InvalidParameter.TagValue",
            Self::InvalidExpectedValues => "InvalidParameter.ExpectedValues",
            Self::MissingPrincipalName => "MissingParameter.ResourcePrincipalName",
            Self::InvalidDisplayName => "InvalidParameter.DisplayName",
            Self::InvalidComments => "InvalidParameter.Comments",
            Self::InvalidUpdateMask => "InvalidParameter.UpdateMask",
            Self::InvalidClientToken => "InvalidParameter.ClientToken",
            Self::MissingChange => "MissingParameter.Change",
            Self::InvalidRequestId => "InvalidParameter.RequestId",
            Self::InvalidRevision => "InvalidParameter.Revision",
            Self::InvalidCaller => "InvalidParameter.Caller",
            Self::InvalidAction => "InvalidParameter.Action",
            Self::InvalidEndTime => "InvalidParameter.EndTime",
            Self::InvalidOrder => "InvalidParameter.Order",
            Self::InvalidOnConflict => "InvalidParameter.OnConflict",
            Self::InvalidStartAt => "InvalidParameter.StartAt",
            Self::InvalidPosition => "InvalidParameter.Position",
            Self::InvalidImportMode => "InvalidParameter.Mode",
            Self::TooManyLines => "NumberExceed.Lines",
            Self::InvalidLineNumber => "InvalidParameter.LineNumber",
            Self::InvalidPageSize => "InvalidParameter.PageSize",
            Self::InvalidNextToken => "InvalidParameter.NextToken",
            Self::InvalidTimeout => "InvalidParameter.Timeout",
            Self::MalformedRequest => "InvalidParameter.Request",
        }
    }
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of the fault.
    pub code: FaultCode,
    /// The path of the field, such as `tag_keys[3]`.
    pub field: String,
    /// What is wrong, with which value, and what to do.
    pub description: String,
}

/// Whether a change that failed may nevertheless have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing was changed.
    No,
    /// It is not known whether something was changed.
    Maybe,
}

/// The end of messages where nothing was changed.
const UNCHANGED: &str = "nothing was changed";

impl fmt::Display for Applied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::No => UNCHANGED,
            Self::Maybe => "the change may have been made; it is safe to repeat the request",
        })
    }
}

/// A refusal of the cloud, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the contract's table.
    pub kind: RefusalKind,
    /// The cloud's code.
    pub code: String,
    /// The cloud's message, and what can't be promised of the change.
    pub message: String,
    /// Whether the change may have been made, for some of its resources too.
    pub applied: Applied,
    /// The cloud's RequestId, which is the one to answer with.
    pub request_id: Option<RequestId>,
}

/// The rows of the contract's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request is wrong.
    Invalid,
    /// These resources do not exist, or others that are not known.
    NotFound(Vec<NamedResource>),
    /// A resource would carry too many tags, or an account have too much of something.
    TagLimit,
    /// Something with the same name or id is there already.
    AlreadyExists,
    /// What is there is in the way, such as the access keys of a user to delete.
    Conflict,
    /// The service's own identity in the cloud may not do this.
    NoPermission,
    /// The cloud is asked for too much at once.
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// The cloud can't carry the request out now, or does not know the service.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// A fault of the cloud's.
    Internal,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The request is wrong, in each of these ways. Never empty.
    #[error("{}", invalid_message(.0))]
    Invalid(Vec<Fault>),

    /// Resources that do not exist: every one of them.
    #[error("{}", resources_message("users that do not exist", .0))]
    NotFound(Vec<NamedResource>),

    /// Resources that would carry more than 20 tags: every one of them.
    #[error("{}", resources_message("users that would carry more than 20 tags", .0))]
    TagLimit(Vec<NamedResource>),

    /// Users that exist already, or that were deleted and can still be restored: every one of them.
    #[error("{}", resources_message("users that exist already or can be restored", .0))]
    UserExists(Vec<NamedResource>),

    /// Principal names that other users have, as the request gives them: every one of them.
    #[error("{}", resources_message("principal names that other users have", .0))]
    NameTaken(Vec<NamedResource>),

    /// Tags that have another value than the command expects: every one of them. Never empty.
    #[error("{}", mismatched_message(.0, .1))]
    Mismatched(Arc<UntagCommand>, Vec<Mismatch>),

    /// What keeps a change from being reverted: every one of them. Never empty.
    #[error("{}", conflicts_message(.0))]
    Conflicts(Vec<RevertConflict>),

    /// A client token that was given to a request with another content.
    #[error(
        "the client token was given to another request in the last 24 hours; give each request a new one; nothing was changed"
    )]
    TokenMismatch,

    /// A change that the history does not have.
    #[error("{}", no_change_message(*.0))]
    NoChange(ChangeKey),

    /// A change that is gone from the history, whose oldest one is this.
    #[error("{}", compacted_message(*.0))]
    Compacted(Option<Revision>),

    /// A position that is not one of the history, as it is now.
    #[error(
        "the position is of another history, or of changes that this one has lost: the store was made, imported anew or restored; \
         begin again with a snapshot"
    )]
    OtherHistory,

    /// A watch that the service has ended. It goes on from the position, if there is one.
    #[error("{}", watch_ended_message(reason, *position))]
    WatchEnded {
        /// Why.
        reason: &'static str,
        /// The position behind what was sent; `None` where that is a part of a snapshot.
        position: Option<HistoryPosition>,
        /// When to go on.
        retry_after: Duration,
    },

    /// An import that the service has ended. What was answered stays done, and it goes on from the line.
    #[error("{reason}; what was answered stays done: go on with the chunk of line {resume_line}")]
    ImportEnded {
        /// Why.
        reason: &'static str,
        /// The line to go on from.
        resume_line: u64,
        /// When to go on.
        retry_after: Duration,
    },

    /// A change that there is not yet in the history, whose newest one is this.
    #[error("{}", not_yet_message(*.0))]
    NotYet(Option<Revision>),

    /// What this server's store does not do.
    #[error("this server's store can't {0}; nothing was changed")]
    Unsupported(&'static str),

    /// The caller has not proved who it is.
    #[error("{0}")]
    Unauthenticated(String),

    /// The caller may not carry out this action.
    #[error("{caller} may not do {action} in account {account}; nothing was changed")]
    NoPermission {
        /// Who calls.
        caller: Caller,
        /// The action.
        action: Action,
        /// The account that it would act on.
        account: AccountId,
    },

    /// A request of a web page of this origin, which may not call.
    #[error(
        "web pages of {0} may not call; nothing was changed; --cors-origin names those that may"
    )]
    ForeignOrigin(String),

    /// A limit was reached.
    #[error("{reason}; nothing was changed; retry later")]
    Throttled {
        /// The limit that was reached.
        reason: &'static str,
        /// When to try again.
        retry_after: Duration,
    },

    /// The store can't be reached or the service is going away.
    #[error("{reason}; {applied}")]
    Unavailable {
        /// What is out of reach.
        reason: &'static str,
        /// Whether the change may have been made.
        applied: Applied,
        /// When to try again.
        retry_after: Duration,
    },

    /// The cloud has refused the request (`--store ims`).
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),

    /// The caller's deadline, or the server's own, has passed.
    #[error("the deadline has passed; {0}")]
    DeadlineExceeded(Applied),

    /// A message, or headers, larger than the server takes.
    #[error("{0}")]
    TooLarge(String),

    /// Bytes that break the rules of gRPC's frames.
    #[error("{0}; nothing was changed")]
    BrokenProtocol(String),

    /// A method that is not there.
    #[error("there is no method {0}; list the methods by server reflection")]
    UnknownMethod(String),

    /// A message that is compressed.
    #[error("{0}; send the message uncompressed")]
    UnsupportedEncoding(String),

    /// A fault of the service. Its cause is in the log only.
    #[error("internal error; the server's log has the cause under this RequestId")]
    Internal,
}

impl Error {
    /// The code of the error, as the cloud API has it or would.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::Invalid(faults) => faults
                .first()
                .map_or("InvalidParameter.Request", |fault| fault.code.as_str()),
            Self::NotFound(_) => "EntityNotExist.User",
            Self::TagLimit(_) => "LimitExceeded.User.Tag",
            Self::UserExists(_) => "EntityAlreadyExists.User",
            Self::NameTaken(_) => "EntityAlreadyExists.User.PrincipalName",
            Self::Mismatched(..) => "PreconditionFailed.TagValue",
            Self::Conflicts(_) => "PreconditionFailed.Revert",
            Self::TokenMismatch => "IdempotentParameterMismatch",
            Self::NoChange(_) => "EntityNotExist.Change",
            Self::Compacted(_) | Self::NotYet(_) => "OutOfRange.Revision",
            Self::Unsupported(_) => "UnsupportedOperation",
            Self::Unauthenticated(_) => "Unauthenticated",
            Self::NoPermission { .. } => "NoPermission",
            Self::ForeignOrigin(_) => "NoPermission.Origin",
            Self::Throttled { .. } => "Throttling.User",
            Self::OtherHistory => "OutOfRange.History",
            Self::Unavailable { .. } | Self::WatchEnded { .. } | Self::ImportEnded { .. } => {
                "ServiceUnavailable"
            }
            Self::DeadlineExceeded(_) => "DeadlineExceeded",
            Self::TooLarge(_) | Self::BrokenProtocol(_) => "InvalidParameter.Request",
            Self::UnknownMethod(_) => "InvalidAction.NotFound",
            Self::UnsupportedEncoding(_) => "UnsupportedEncoding",
            Self::Internal => "InternalError",
        }
    }

    /// Whether the change may have been made, as a whole or for some of its resources.
    #[must_use]
    pub fn applied(&self) -> Applied {
        match self {
            Self::Unavailable { applied, .. } | Self::DeadlineExceeded(applied) => *applied,
            Self::Refused(refusal) => refusal.applied,
            // What has gone wrong is not known.
            Self::Internal => Applied::Maybe,
            _ => Applied::No,
        }
    }

    /// The RequestId to answer with, where another service has refused the request under its own.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Self::Refused(refusal) => refusal.request_id,
            _ => None,
        }
    }
}

fn no_change_message(key: ChangeKey) -> String {
    match key {
        ChangeKey::RequestId(id) => {
            format!(
                "no change was made by the request {id}: it changed nothing, or was never made in this account"
            )
        }
        ChangeKey::Revision(revision) => format!(
            "the account has no revision {} yet; list its changes to see the newest",
            revision.get()
        ),
    }
}

fn compacted_message(oldest: Option<Revision>) -> String {
    oldest.map_or_else(
        || "the history has no change any more; read from the next one on".to_owned(),
        |oldest| {
            let oldest = oldest.get();
            format!("the change is gone from the history, which begins with the revision {oldest}; read from there on")
        },
    )
}

fn not_yet_message(newest: Option<Revision>) -> String {
    newest.map_or_else(
        || "the account has no revision yet; leave the revision out".to_owned(),
        |newest| {
            let newest = newest.get();
            format!("the newest revision of the account is {newest}; give that one or an older one")
        },
    )
}

fn watch_ended_message(reason: &str, position: Option<HistoryPosition>) -> String {
    position.map_or_else(
        || format!("{reason}; watch again from the beginning of the snapshot"),
        |position| format!("{reason}; watch again behind {position}"),
    )
}

fn invalid_message(faults: &[Fault]) -> String {
    let Some((first, rest)) = faults.split_first() else {
        return "the request is invalid".to_owned();
    };
    let more = match rest.len() {
        0 => String::new(),
        1 => " (and 1 more fault)".to_owned(),
        more => format!(" (and {more} more faults)"),
    };
    // A fault of the message as a whole is in no field.
    let colon = if first.field.is_empty() { "" } else { ": " };
    format!("{}{colon}{}{more}", first.field, first.description)
}

fn resources_message(what: &str, resources: &[NamedResource]) -> String {
    message_with_end(format!("{what}: {}", first_names(resources)), UNCHANGED)
}

fn mismatched_message(command: &UntagCommand, mismatches: &[Mismatch]) -> String {
    let names = first_of(mismatches, |&mismatch| {
        let (user, key) = command.named(mismatch);
        format!("{key} of {user}")
    });
    message_with_end(
        format!("tags that have another value than expected: {names}"),
        UNCHANGED,
    )
}

fn conflicts_message(conflicts: &[RevertConflict]) -> String {
    let named = first_of(conflicts, |conflict| {
        let RevertConflict {
            user,
            tag_key,
            reason,
        } = conflict;
        match tag_key {
            Some(key) => format!("{key} of {user} ({})", reason.as_str()),
            None => format!("{user} ({})", reason.as_str()),
        }
    });
    message_with_end(
        format!("the change can't be reverted as a whole: {named}"),
        UNCHANGED,
    )
}

/// The longest message of an error, in bytes: it stands in a header of its own and in the details.
pub const LONGEST_MESSAGE: usize = 256;

/// A text shortened to at most `longest` bytes, with a mark where something is left out.
#[must_use]
pub fn shortened(text: impl Into<String>, longest: usize) -> String {
    const MARK: char = '…';
    let mut text = text.into();
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest.saturating_sub(MARK.len_utf8())));
        text.push(MARK);
    }
    text
}

/// A message that keeps its end, however long what stands before it is.
#[must_use]
pub fn message_with_end(start: String, end: &str) -> String {
    const BETWEEN: &str = "; ";
    if start.is_empty() {
        return end.to_owned();
    }
    let left = LONGEST_MESSAGE.saturating_sub(BETWEEN.len() + end.len());
    shortened(start, left) + BETWEEN + end
}

/// The first three resources in words, for a message whose details name all.
#[must_use]
pub fn first_names(resources: &[NamedResource]) -> String {
    first_of(resources, |resource| resource.name.clone())
}

/// The first three of these in words.
fn first_of<T>(all: &[T], name: impl Fn(&T) -> String) -> String {
    const NAMED: usize = 3;
    let names: Vec<String> = all.iter().take(NAMED).map(name).collect();
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_short_and_keeps_its_end() {
        let named = |name: &str| {
            let resource = |position| NamedResource {
                position,
                name: name.to_owned(),
            };
            Error::NotFound((0..3).map(resource).collect()).to_string()
        };
        assert_eq!(
            named("7"),
            "users that do not exist: 7, 7, 7; nothing was changed"
        );
        let long = named(&"ä".repeat(64));
        assert!(long.ends_with("ä…; nothing was changed"), "{long}");
        assert!((LONGEST_MESSAGE - 2..=LONGEST_MESSAGE).contains(&long.len()));
        assert_eq!(message_with_end(String::new(), "the end"), "the end");
    }
}
