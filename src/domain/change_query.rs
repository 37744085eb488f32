//! What is asked of the history of an account: one change, or those that match.

use super::{
    AccountId, Action, Caller, Change, ChangeKey, Direction, EffectKind, History, PageSize,
    ResourceId, Revision, TagKey, Timestamp,
};

/// A query for one change, and a page of its effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeQuery {
    /// The account.
    pub account: AccountId,
    /// The change.
    pub key: ChangeKey,
    /// The most effects of the page.
    pub page_size: PageSize,
    /// How many effects were on the pages before this one.
    pub passed: usize,
}

/// A query that lists changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeListQuery {
    /// The account.
    pub account: AccountId,
    /// The changes to list.
    pub filter: ChangeFilter,
    /// The order of the list.
    pub direction: Direction,
    /// The most changes of the page.
    pub page_size: PageSize,
    /// The revision that the page begins with; that of the first change where it is the first page.
    pub from: Option<Revision>,
}

/// Selects changes: each part that is given has to match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    /// A user that the change has to have changed.
    pub user: Option<ResourceId>,
    /// The key of a tag that the change has to have removed or set.
    pub tag_key: Option<TagKey>,
    /// Who has to have made the change.
    pub caller: Option<Caller>,
    /// The action that the change has to be of.
    pub action: Option<Action>,
    /// The time from which on the change has to have been asked for.
    pub start: Option<Timestamp>,
    /// The time before which the change has to have been asked for.
    pub end: Option<Timestamp>,
}

impl ChangeFilter {
    /// Whether a change is one that the filter selects.
    #[must_use]
    pub fn matches(&self, change: &Change) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.caller.as_ref(), &change.caller)
            && is(self.action.as_ref(), &change.action)
            && self.start.is_none_or(|start| change.time >= start)
            && self.end.is_none_or(|end| change.time < end)
            && change.effects.iter().any(|effect| {
                is(self.user.as_ref(), &effect.resource_id)
                    && self
                        .tag_key
                        .as_ref()
                        .is_none_or(|key| effect.kind.changes_tag(key))
            })
    }
}

impl EffectKind {
    /// Whether the effect has removed or set a tag with this key.
    fn changes_tag(&self, key: &TagKey) -> bool {
        match self {
            Self::Tags { removed, set } => {
                removed.iter().any(|(removed, _)| removed == key)
                    || set.iter().any(|set| &set.key == key)
            }
            Self::Updated { before, after } => {
                let [old, new] = [before, after].map(|user| user.resource.tags().get(key));
                old != new
            }
            Self::Created(_) | Self::Deleted(_) | Self::Restored(_) => false,
        }
    }
}

/// A page of a list of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// The changes.
    pub changes: Vec<Change>,
    /// The revision that the next page begins with; `None` at the end.
    pub next: Option<Revision>,
    /// The extent of the history.
    pub history: History,
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::domain::{Effect, RequestId, SetTag, TagValue};

    fn key(text: &str) -> TagKey {
        TagKey::parse(text).unwrap()
    }

    fn value(text: &str) -> TagValue {
        TagValue::parse(text).unwrap()
    }

    fn id(text: &str) -> ResourceId {
        ResourceId::parse(text).unwrap()
    }

    /// A change at 1,000 that removed `env` of user 1 and set `team` of user 2.
    fn change() -> Change {
        let tags = |id: &str, removed: &[&str], set: &[&str]| Effect {
            resource_id: self::id(id),
            kind: EffectKind::Tags {
                removed: removed.iter().map(|text| (key(text), value("x"))).collect(),
                set: set
                    .iter()
                    .map(|text| SetTag {
                        key: key(text),
                        old: None,
                        new: value("x"),
                    })
                    .collect(),
            },
        };
        Change {
            revision: Revision::FIRST,
            request_id: RequestId::from_bytes([1; 16]),
            time: Timestamp::from_millis(1_000),
            caller: Caller::recorded("jwt:a"),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            action: Action::UntagResources,
            client_token: None,
            effects: vec![tags("1", &["env"], &[]), tags("2", &[], &["team"])],
        }
    }

    #[test]
    fn each_part_of_a_filter_has_to_match_and_user_and_key_in_one_effect() {
        let all = ChangeFilter::default;
        let time = |millis| Some(Timestamp::from_millis(millis));
        let (env, team) = (Some(key("env")), Some(key("team")));
        for (is_match, filter) in [
            (true, all()),
            (
                true,
                ChangeFilter {
                    user: Some(id("2")),
                    ..all()
                },
            ),
            (
                false,
                ChangeFilter {
                    user: Some(id("3")),
                    ..all()
                },
            ),
            (
                true,
                ChangeFilter {
                    tag_key: env.clone(),
                    ..all()
                },
            ),
            (
                true,
                ChangeFilter {
                    tag_key: team.clone(),
                    ..all()
                },
            ),
            (
                false,
                ChangeFilter {
                    tag_key: Some(key("ENV")),
                    ..all()
                },
            ),
            (
                true,
                ChangeFilter {
                    user: Some(id("1")),
                    tag_key: env,
                    ..all()
                },
            ),
            (
                false,
                ChangeFilter {
                    user: Some(id("1")),
                    tag_key: team,
                    ..all()
                },
            ),
            (
                true,
                ChangeFilter {
                    caller: Some(Caller::recorded("jwt:a")),
                    ..all()
                },
            ),
            (
                false,
                ChangeFilter {
                    caller: Some(Caller::anonymous()),
                    ..all()
                },
            ),
            (
                true,
                ChangeFilter {
                    action: Some(Action::UntagResources),
                    ..all()
                },
            ),
            (
                false,
                ChangeFilter {
                    action: Some(Action::TagResources),
                    ..all()
                },
            ),
            (
                true,
                ChangeFilter {
                    start: time(1_000),
                    end: time(1_001),
                    ..all()
                },
            ),
            (
                false,
                ChangeFilter {
                    start: time(1_001),
                    ..all()
                },
            ),
            (
                false,
                ChangeFilter {
                    end: time(1_000),
                    ..all()
                },
            ),
        ] {
            assert_eq!(filter.matches(&change()), is_match, "{filter:?}");
        }
    }
}
