//! The call that reverts a change.

use super::change::{Effect, Values};
use crate::client::call::{Tokened, tokened};
use crate::client::connection::Connection;
use crate::client::error::CallError;
use crate::client::outcome::Effect as CallEffect;
use crate::client::tags::Mode;
use crate::domain::{OnConflict, RequestId};
use crate::grpc::proto::change_service_client::ChangeServiceClient;
use crate::grpc::proto::{
    ConflictReason, OnConflict as ProtoOnConflict, RevertChangeRequest, RevertConflict,
};

/// A change to revert, and how.
#[derive(Debug, Clone)]
pub struct Revert {
    /// The request that made the change.
    pub change: RequestId,
    /// What becomes of the revert where something was changed again since.
    pub on_conflict: OnConflict,
    /// Whether the revert is made.
    pub mode: Mode,
}

/// What a revert did, or would do.
#[derive(Clone)]
pub struct Reverted {
    /// The RequestId.
    pub request_id: String,
    /// The revision of the revert; none of one that was only checked.
    pub revision: Option<i64>,
    /// How many users it changed.
    pub changed_users: usize,
    /// How many tags it removed or set.
    pub changed_tags: usize,
    /// What it did to the first users.
    pub effects: Vec<Effect>,
    /// What it left as it is.
    pub conflicts: Vec<Conflict>,
    /// Whether the values of tags are there.
    pub values: Values,
}

/// Something that can't be reverted.
#[derive(Clone)]
pub struct Conflict {
    /// The id of the user.
    pub resource_id: String,
    /// The key of the tag; empty where it is not about a tag.
    pub tag_key: String,
    /// Why, as the contract names it.
    pub reason: &'static str,
    /// Why, in words.
    pub message: String,
}

tokened!(RevertChangeRequest);

/// Reverts a change, or only checks what that would do.
///
/// # Errors
/// [`CallError`].
pub async fn revert_change(
    connection: &Connection,
    revert: &Revert,
) -> Result<Reverted, CallError> {
    let on_conflict = match revert.on_conflict {
        OnConflict::Fail => ProtoOnConflict::Fail,
        OnConflict::Skip => ProtoOnConflict::Skip,
    };
    let request = RevertChangeRequest {
        request_id: revert.change.to_string(),
        on_conflict: on_conflict.into(),
        validate_only: revert.mode == Mode::DryRun,
        ..RevertChangeRequest::default()
    };
    let method = |channel, request| async {
        ChangeServiceClient::new(channel)
            .revert_change(request)
            .await
    };
    let answer = match revert.mode {
        Mode::Make => connection.change(request, method).await?,
        Mode::DryRun => connection.call(CallEffect::Read, request, method).await?,
    };
    Ok(Reverted {
        request_id: answer.request_id,
        revision: answer.revision,
        changed_users: usize::try_from(answer.changed_resources).unwrap_or_default(),
        changed_tags: usize::try_from(answer.changed_tags).unwrap_or_default(),
        effects: answer.effects.into_iter().map(Effect::of).collect(),
        conflicts: answer.conflicts.into_iter().map(Conflict::of).collect(),
        values: Values::of(answer.values_redacted),
    })
}

impl Conflict {
    fn of(message: RevertConflict) -> Self {
        let reason = ConflictReason::try_from(message.reason).unwrap_or_default();
        let name = reason.as_str_name();
        Self {
            resource_id: message.resource_id,
            tag_key: message.tag_key,
            reason: name.strip_prefix("CONFLICT_REASON_").unwrap_or(name),
            message: message.message,
        }
    }
}
