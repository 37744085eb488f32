//! A change, as it is printed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cli::client::{rfc3339, rfc3339_seconds};
use crate::cli::users::UserRow;
use crate::client::{Change, Effect, EffectKind, SetTag, Values};

/// The heads of a table of changes.
pub const HEADS: [&str; 7] = [
    "TIME",
    "REVISION",
    "CALLER",
    "ACTION",
    "USERS",
    "TAGS",
    "REQUEST ID",
];

/// The most keys of a line of the table.
const MOST_KEYS: usize = 4;

/// A change, as programs get it.
#[derive(Serialize)]
pub struct ChangeRow<'a> {
    #[serde(skip)]
    change: &'a Change,
    revision: i64,
    request_id: &'a str,
    time: Option<String>,
    caller: &'a str,
    source_ip: &'a str,
    action: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_token: &'a str,
    changed_resources: usize,
    values_redacted: bool,
    effects: Vec<EffectRow<'a>>,
}

/// What a change did to a user, as programs get it.
#[derive(Serialize)]
pub struct EffectRow<'a> {
    resource_id: &'a str,
    #[serde(flatten)]
    kind: KindRow<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum KindRow<'a> {
    Tags {
        removed: &'a BTreeMap<String, String>,
        set: BTreeMap<&'a str, SetTagRow<'a>>,
    },
    Created(UserRow<'a>),
    Updated {
        before: UserRow<'a>,
        after: UserRow<'a>,
    },
    Deleted(UserRow<'a>),
    Restored(UserRow<'a>),
    Unknown {},
}

#[derive(Serialize)]
struct SetTagRow<'a> {
    old_value: Option<&'a str>,
    new_value: &'a str,
    was_there: bool,
}

impl<'a> ChangeRow<'a> {
    /// The row of a change.
    pub fn of(change: &'a Change) -> Self {
        Self {
            change,
            revision: change.revision,
            request_id: &change.request_id,
            time: change.time.and_then(rfc3339),
            caller: &change.caller,
            source_ip: &change.source_ip,
            action: &change.action,
            client_token: &change.client_token,
            changed_resources: change.changed_users,
            values_redacted: change.values == Values::Redacted,
            effects: change.effects.iter().map(EffectRow::of).collect(),
        }
    }

    /// The cells of the change's line in a table.
    pub fn cells(&self) -> [String; 7] {
        let Self { change, .. } = self;
        [
            change.time.and_then(rfc3339_seconds).unwrap_or_default(),
            change.revision.to_string(),
            change.caller.clone(),
            change.action.clone(),
            change.changed_users.to_string(),
            keys(change),
            change.request_id.clone(),
        ]
    }
}

impl<'a> EffectRow<'a> {
    /// The row of an effect.
    pub fn of(effect: &'a Effect) -> Self {
        let kind = match &effect.kind {
            EffectKind::Tags { removed, set } => KindRow::Tags {
                removed,
                set: set
                    .iter()
                    .map(|(key, tag)| (key.as_str(), SetTagRow::of(tag)))
                    .collect(),
            },
            EffectKind::Created(user) => KindRow::Created(UserRow::of(user)),
            EffectKind::Updated { before, after } => KindRow::Updated {
                before: UserRow::of(before),
                after: UserRow::of(after),
            },
            EffectKind::Deleted(user) => KindRow::Deleted(UserRow::of(user)),
            EffectKind::Restored(user) => KindRow::Restored(UserRow::of(user)),
            EffectKind::Unknown => KindRow::Unknown {},
        };
        Self {
            resource_id: &effect.resource_id,
            kind,
        }
    }
}

impl<'a> SetTagRow<'a> {
    fn of(tag: &'a SetTag) -> Self {
        Self {
            old_value: tag.old_value.as_deref(),
            new_value: &tag.new_value,
            was_there: tag.was_there,
        }
    }
}

/// The keys of the tags that were removed, with a minus, and of those that were set, with a plus.
fn keys(change: &Change) -> String {
    let mut keys = BTreeSet::new();
    for effect in &change.effects {
        if let EffectKind::Tags { removed, set } = &effect.kind {
            keys.extend(removed.keys().map(|key| (key, '-')));
            keys.extend(set.keys().map(|key| (key, '+')));
        }
    }
    let is_cut = keys.len() > MOST_KEYS || change.effects.len() < change.changed_users;
    let shown = keys.iter().take(MOST_KEYS);
    let mut shown: Vec<String> = shown.map(|(key, sign)| format!("{sign}{key}")).collect();
    shown.extend(is_cut.then(|| "…".to_owned()));
    shown.join(" ")
}
