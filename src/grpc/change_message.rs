//! Changes as messages of the contract.

use prost::Message as _;

use super::proto::{self, effect::Kind};
use super::tag_service::{count, revision};
use super::user_message::{shown, timestamp, user};
use crate::domain::{
    Change, ChangePage, ConflictReason, Effect, EffectKind, RESOURCE_TYPE_USER, RevertConflict,
    Revision, SetTag,
};
use crate::service::Values;

/// The most bytes of the effects of an answer, about: what is over goes on the next page.
const MOST_BYTES: usize = 1 << 20;
/// The most effects of a change in a list.
const MOST_EFFECTS: usize = 100;

/// The part of a change's effects that an answer has, and how many were answered with it; `None` at the end.
pub struct Part {
    pub change: proto::Change,
    pub passed: Option<usize>,
}

/// The message of a change with the effects behind so many, up to a number and to as many as an answer may have.
pub fn part(change: &Change, passed: usize, most: usize, values: Values) -> Part {
    let mut left = MOST_BYTES;
    let mut effects = Vec::new();
    for effect in change.effects.iter().skip(passed).take(most) {
        let message = self::effect(effect, values);
        let bytes = message.encoded_len();
        if bytes > left && !effects.is_empty() {
            break;
        }
        left = left.saturating_sub(bytes);
        effects.push(message);
    }
    let passed = passed + effects.len();
    Part {
        change: proto::Change {
            effects,
            ..head(change, values)
        },
        passed: (passed < change.effects.len()).then_some(passed),
    }
}

/// The messages of the changes of a page, up to as many as an answer may have, and the revision that the next page begins with.
pub fn page(page: &ChangePage, values: Values) -> (Vec<proto::Change>, Option<Revision>) {
    let mut left = MOST_BYTES;
    let mut messages = Vec::with_capacity(page.changes.len());
    for change in &page.changes {
        let Part {
            change: message, ..
        } = part(change, 0, MOST_EFFECTS, values);
        let bytes = message.encoded_len();
        if bytes > left && !messages.is_empty() {
            return (messages, Some(change.revision));
        }
        left = left.saturating_sub(bytes);
        messages.push(message);
    }
    (messages, page.next)
}

/// The message of a change without its effects.
fn head(change: &Change, values: Values) -> proto::Change {
    let token = change.client_token.as_ref();
    proto::Change {
        revision: revision(change.revision),
        request_id: change.request_id.to_string(),
        time: Some(timestamp(change.time)),
        caller: change.caller.to_string(),
        source_ip: change.source_ip.to_string(),
        action: change.action.to_string(),
        client_token: token.map_or_else(String::new, ToString::to_string),
        effects: Vec::new(),
        changed_resources: count(change.effects.len()),
        values_redacted: values == Values::Redacted,
    }
}

/// The message of an effect.
pub fn effect(effect: &Effect, values: Values) -> proto::Effect {
    let kind = match &effect.kind {
        EffectKind::Tags { removed, set } => Kind::Tags(proto::TagEffect {
            removed: removed
                .iter()
                .map(|(key, value)| (key.to_string(), shown(value.as_str(), values)))
                .collect(),
            set: set
                .iter()
                .map(|tag| (tag.key.to_string(), set_tag(tag, values)))
                .collect(),
        }),
        EffectKind::Created(created) => Kind::Created(user(created, values)),
        EffectKind::Updated { before, after } => Kind::Updated(proto::UserUpdate {
            before: Some(user(before, values)),
            after: Some(user(after, values)),
        }),
        EffectKind::Deleted(deleted) => Kind::Deleted(user(deleted, values)),
        EffectKind::Restored(restored) => Kind::Restored(user(restored, values)),
    };
    proto::Effect {
        resource_type: RESOURCE_TYPE_USER.to_owned(),
        resource_id: effect.resource_id.to_string(),
        kind: Some(kind),
    }
}

fn set_tag(tag: &SetTag, values: Values) -> proto::SetTag {
    let old = tag.old.as_ref().filter(|_| values == Values::Shown);
    proto::SetTag {
        old_value: old.map(|old| old.as_str().to_owned()),
        new_value: shown(tag.new.as_str(), values),
        was_there: tag.old.is_some(),
    }
}

/// The messages of the first effects of a revert, as many as an answer has.
pub fn first_effects(effects: &[Effect], values: Values) -> Vec<proto::Effect> {
    let mut left = MOST_BYTES;
    let messages = effects.iter().take(MOST_EFFECTS);
    let messages = messages.map(|effect| self::effect(effect, values));
    messages
        .take_while(|message| fits(message.encoded_len(), &mut left))
        .collect()
}

/// The messages of the conflicts of a revert, as many as an answer may have.
pub fn conflicts(conflicts: &[RevertConflict]) -> Vec<proto::RevertConflict> {
    let mut left = MOST_BYTES;
    let messages = conflicts.iter().map(|conflict| proto::RevertConflict {
        resource_id: conflict.user.to_string(),
        tag_key: conflict
            .tag_key
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        reason: reason(conflict.reason).into(),
        message: conflict.reason.as_str().to_owned(),
    });
    messages
        .take_while(|message| fits(message.encoded_len(), &mut left))
        .collect()
}

/// Whether so many bytes fit into those that are left, of which they are taken.
fn fits(bytes: usize, left: &mut usize) -> bool {
    let fits = bytes <= *left;
    *left = left.saturating_sub(bytes);
    fits
}

fn reason(reason: ConflictReason) -> proto::ConflictReason {
    match reason {
        ConflictReason::UserMissing => proto::ConflictReason::UserMissing,
        ConflictReason::TagSetAgain => proto::ConflictReason::TagSetAgain,
        ConflictReason::TagChanged => proto::ConflictReason::TagChanged,
        ConflictReason::TagLimit => proto::ConflictReason::TagLimit,
        ConflictReason::UserChanged => proto::ConflictReason::UserChanged,
        ConflictReason::UserExists => proto::ConflictReason::UserExists,
        ConflictReason::NameTaken => proto::ConflictReason::NameTaken,
    }
}
