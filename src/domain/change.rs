//! Changes as the change log of an account keeps them: each has the account's next revision, and tells what was there before.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use uuid::Uuid;

use super::caller::is_name;
use super::{
    AccountId, Action, Call, Caller, ClientRequestId, RequestId, ResourceId, Revision, TagKey,
    TagValue, Timestamp, User,
};

/// The identity of a store's history: a new one when a store is made, imported anew or restored. A revision means the same in one
/// history only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryId(Uuid);

impl HistoryId {
    /// The one that is made of these random bytes.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Reads the identity as it is displayed, whatever its case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = RequestId::parse(text)?;
        Some(Self(Uuid::from_bytes(id.to_bytes())))
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }
}

impl fmt::Display for HistoryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As RequestIds are.
        RequestId::from_bytes(self.to_bytes()).fmt(formatter)
    }
}

/// The name that a caller has given a change, to be carried out once however often it is sent: 1 to 64 printable characters of
/// ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientToken(Arc<str>);

impl ClientToken {
    /// Reads a token; there is none in a text that is empty, too long, or not printable.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_name(text.as_bytes()).then(|| Self(text.into()))
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

display_as_str!(ClientToken);

/// The fingerprint of a request's content: equal for two requests that ask for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

/// How a repetition of a request is told from another request with the same token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The caller's token.
    pub token: ClientToken,
    /// The content's fingerprint.
    pub fingerprint: Fingerprint,
}

/// Where a change comes from: what it is recorded with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The request.
    pub request_id: RequestId,
    /// When it came.
    pub time: Timestamp,
    /// Who has asked for it.
    pub caller: Caller,
    /// From where.
    pub source_ip: IpAddr,
    /// Whether it came over TLS.
    pub secure_transport: bool,
    /// The caller's own name of the request, if it has given one.
    pub client_request_id: Option<ClientRequestId>,
    /// What was asked for.
    pub action: Action,
    /// How its repetitions are known, where the caller wants that.
    pub repeat: Option<Repeat>,
}

impl Origin {
    /// The origin of what no call asks for, as a probe does: nobody on this machine, at this time, with a RequestId of its own.
    #[must_use]
    pub fn local(action: Action, time: Timestamp) -> Self {
        Self {
            request_id: RequestId::now(),
            time,
            caller: Caller::anonymous(),
            source_ip: Ipv4Addr::LOCALHOST.into(),
            secure_transport: false,
            client_request_id: None,
            action,
            repeat: None,
        }
    }

    /// The origin of what a call asks for.
    #[must_use]
    pub fn of(call: &Call, action: Action, repeat: Option<Repeat>) -> Self {
        Self {
            request_id: call.request_id,
            time: call.time.into(),
            caller: call.caller.clone(),
            source_ip: call.source_ip,
            secure_transport: call.secure_transport,
            client_request_id: call.client_request_id.clone(),
            action,
            repeat,
        }
    }
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number among the changes of its account.
    pub revision: Revision,
    /// The request that has made it.
    pub request_id: RequestId,
    /// When the request came.
    pub time: Timestamp,
    /// Who has asked for it.
    pub caller: Caller,
    /// From where.
    pub source_ip: IpAddr,
    /// What was asked for.
    pub action: Action,
    /// The caller's token.
    pub client_token: Option<ClientToken>,
    /// What it did to each user, one at least.
    pub effects: Vec<Effect>,
}

/// A change as the audit tells of it: without any value, and with what only the audit wants to know of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedChange {
    /// The account that was changed.
    pub account: AccountId,
    /// The number of the change among those of its account.
    pub revision: Revision,
    /// The request that has made it.
    pub request_id: RequestId,
    /// The caller's own name of the request, if it has given one.
    pub client_request_id: Option<ClientRequestId>,
    /// When the request came.
    pub time: Timestamp,
    /// Who has asked for it.
    pub caller: Caller,
    /// From where.
    pub source_ip: IpAddr,
    /// Whether the request came over TLS.
    pub secure_transport: bool,
    /// What was asked for.
    pub action: Action,
    /// The users that were changed, one at least.
    pub effects: Vec<AuditedEffect>,
}

impl AuditedChange {
    /// A change with what only the audit wants to know of its request.
    #[must_use]
    pub fn of(
        change: Change,
        account: AccountId,
        client_request_id: Option<ClientRequestId>,
        secure_transport: bool,
    ) -> Self {
        Self {
            account,
            revision: change.revision,
            request_id: change.request_id,
            client_request_id,
            time: change.time,
            caller: change.caller,
            source_ip: change.source_ip,
            secure_transport,
            action: change.action,
            effects: change
                .effects
                .into_iter()
                .map(AuditedEffect::from)
                .collect(),
        }
    }
}

/// A user that a change has changed, as the audit tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedEffect {
    /// The user.
    pub resource_id: ResourceId,
    /// The keys of the tags that came, went or were changed.
    pub tag_keys: Vec<TagKey>,
}

impl From<Effect> for AuditedEffect {
    fn from(effect: Effect) -> Self {
        let tag_keys = match effect.kind {
            EffectKind::Tags { removed, set } => {
                let removed = removed.into_iter().map(|(key, _)| key);
                removed.chain(set.into_iter().map(|tag| tag.key)).collect()
            }
            EffectKind::Created(user) | EffectKind::Deleted(user) | EffectKind::Restored(user) => {
                user.resource.tags().keys().cloned().collect()
            }
            EffectKind::Updated { before, after } => {
                let (removed, set) = changed_tags(before.resource.tags(), after.resource.tags());
                let removed = removed.into_iter().map(|(key, _)| key);
                removed.chain(set.into_iter().map(|tag| tag.key)).collect()
            }
        };
        Self {
            resource_id: effect.resource_id,
            tag_keys,
        }
    }
}

/// What a change did to one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The user.
    pub resource_id: ResourceId,
    /// What was done.
    pub kind: EffectKind,
}

impl Effect {
    /// How many tags of a user that is there it removes or sets.
    #[must_use]
    pub fn changed_tags(&self) -> usize {
        match &self.kind {
            EffectKind::Tags { removed, set } => removed.len() + set.len(),
            EffectKind::Updated { before, after } => {
                let (removed, set) = changed_tags(before.resource.tags(), after.resource.tags());
                removed.len() + set.len()
            }
            EffectKind::Created(_) | EffectKind::Deleted(_) | EffectKind::Restored(_) => 0,
        }
    }

    /// The tags that a user carries after this effect on tags, who carried these before.
    #[must_use]
    pub fn tags_after(&self, before: &BTreeMap<TagKey, TagValue>) -> BTreeMap<TagKey, TagValue> {
        let mut tags = before.clone();
        if let EffectKind::Tags { removed, set } = &self.kind {
            for (key, _) in removed {
                tags.remove(key);
            }
            tags.extend(set.iter().map(|tag| (tag.key.clone(), tag.new.clone())));
        }
        tags
    }
}

/// The kind of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectKind {
    /// Tags were removed or set, each key once and in order of key.
    Tags {
        /// Those that were removed, with the values that they had.
        removed: Vec<(TagKey, TagValue)>,
        /// Those that were set and had another value or none.
        set: Vec<SetTag>,
    },
    /// The user was created as it is here.
    Created(Box<User>),
    /// The user was renamed or described anew. Both have the tags that it had then; where an import has changed those too, they differ.
    Updated {
        /// The user before.
        before: Box<User>,
        /// The user afterwards.
        after: Box<User>,
    },
    /// The user was deleted; it was as it is here.
    Deleted(Box<User>),
    /// The user was restored as it is here.
    Restored(Box<User>),
}

/// A tag that was set.
#[derive(Clone, PartialEq, Eq)]
pub struct SetTag {
    /// Its key.
    pub key: TagKey,
    /// The value that it had; `None` where it was not there.
    pub old: Option<TagValue>,
    /// The value that it has got.
    pub new: TagValue,
}

impl fmt::Debug for SetTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, old, new } = self;
        write!(formatter, "SetTag({key}: {old:?} -> {new:?})")
    }
}

/// The tags that are removed and set where a user carries `before`, and then `after`.
#[must_use]
pub fn changed_tags(
    before: &BTreeMap<TagKey, TagValue>,
    after: &BTreeMap<TagKey, TagValue>,
) -> (Vec<(TagKey, TagValue)>, Vec<SetTag>) {
    let removed = before.iter().filter(|(key, _)| !after.contains_key(*key));
    let removed = removed.map(|(key, value)| (key.clone(), value.clone()));
    let set = after
        .iter()
        .map(|(key, new)| (key, before.get(key), new))
        .filter(|(_, old, new)| *old != Some(*new));
    let set = set.map(|(key, old, new)| SetTag {
        key: key.clone(),
        old: old.cloned(),
        new: new.clone(),
    });
    (removed.collect(), set.collect())
}

/// What a change is asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKey {
    /// The request that has made it.
    RequestId(RequestId),
    /// Its revision.
    Revision(Revision),
}

/// The order in which changes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The older before the newer ones.
    Forwards,
    /// The newer before the older ones.
    Backwards,
}

/// Read a page of changes of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesQuery {
    /// The account.
    pub account: AccountId,
    /// The first revision to look at.
    pub from: Revision,
    /// Whether to go on with newer or with older ones.
    pub direction: Direction,
    /// Only changes of this user.
    pub user: Option<ResourceId>,
    /// How many at most.
    pub most: usize,
    /// The number of effects with which a page is full too: no change follows the one that reaches it.
    pub most_effects: usize,
}

impl ChangesQuery {
    /// The query for the page behind this one; `None` where this was the last.
    #[must_use]
    pub fn next(&self, page: &[Change]) -> Option<Self> {
        let effects: usize = page.iter().map(|change| change.effects.len()).sum();
        if page.len() < self.most && effects < self.most_effects {
            return None;
        }
        let last = page.last()?.revision;
        let from = match self.direction {
            Direction::Forwards => last.next(),
            Direction::Backwards => last.previous()?,
        };
        Some(Self {
            from,
            ..self.clone()
        })
    }
}

/// The extent of an account's change log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The history that the revisions are of.
    pub id: HistoryId,
    /// The newest revision; `None` where nothing was ever changed.
    pub newest: Option<Revision>,
    /// The oldest revision that can still be read; `None` where there is none.
    pub oldest: Option<Revision>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_1_to_64_printable_characters() {
        let longest = "x".repeat(64);
        for good in ["a", "order 7/retry=1", "~", &longest] {
            assert_eq!(ClientToken::parse(good).unwrap().as_str(), good);
        }
        let too_long = "x".repeat(65);
        for bad in ["", "a\nb", "\u{7f}", "é", "a\tb", &too_long] {
            assert_eq!(ClientToken::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn no_value_shows_in_debug() {
        let value = |text: &str| TagValue::parse(text).unwrap();
        let kind = EffectKind::Tags {
            removed: vec![(TagKey::parse("env").unwrap(), value("secret-1"))],
            set: vec![SetTag {
                key: TagKey::parse("team").unwrap(),
                old: Some(value("secret-2")),
                new: value("secret-3"),
            }],
        };
        let shown = format!("{kind:?}");
        assert!(shown.contains("env") && shown.contains("team"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
