//! What a request asks for, and what came of it.

use super::{
    AccountId, NamedResource, PrincipalName, RequestId, ResourceId, Revision, TagKey, TagValue,
    limits,
};

/// The resources that a request names: at least one, each once, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Resources by their ids.
    Ids(Vec<ResourceId>),
    /// Resources by their principal names.
    Names(Vec<PrincipalName>),
}

impl Targets {
    /// The number of resources.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// The resources at these positions.
    ///
    /// # Panics
    /// If a position is past the end.
    #[must_use]
    pub fn at(&self, positions: &[usize]) -> Self {
        match self {
            Self::Ids(ids) => Self::Ids(positions.iter().map(|&at| ids[at].clone()).collect()),
            Self::Names(names) => {
                Self::Names(positions.iter().map(|&at| names[at].clone()).collect())
            }
        }
    }

    /// The resources at these positions, for messages.
    #[must_use]
    pub fn named(&self, positions: &[usize]) -> Vec<NamedResource> {
        let named = |&position| NamedResource {
            position,
            name: self.name_at(position).to_owned(),
        };
        positions.iter().map(named).collect()
    }

    /// The id or name at a position, for messages. Empty past the end.
    #[must_use]
    pub fn name_at(&self, position: usize) -> &str {
        match self {
            Self::Ids(ids) => ids.get(position).map_or("", ResourceId::as_str),
            Self::Names(names) => names.get(position).map_or("", PrincipalName::as_str),
        }
    }
}

/// The tags that a command removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagSelection {
    /// Every tag.
    All,
    /// The tags with these keys: at least one, each once.
    Keys(Vec<TagKey>),
}

impl TagSelection {
    /// Whether a tag with this key, as text or as its UTF-8, is selected.
    #[must_use]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => {
                let key = key.as_ref();
                keys.iter().any(|wanted| wanted.as_str().as_bytes() == key)
            }
        }
    }
}

/// A command that removes tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntagCommand {
    /// The account that the resources belong to.
    pub account: AccountId,
    /// The resources that lose tags.
    pub targets: Targets,
    /// The tags that go.
    pub selection: TagSelection,
    /// Whether resources that do not exist are skipped; else the command fails.
    pub allow_missing: bool,
    /// Whether the command only checks, and changes nothing.
    pub validate_only: bool,
}

/// A command that sets tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCommand {
    /// The account that the resources belong to.
    pub account: AccountId,
    /// The resources that get the tags.
    pub targets: Targets,
    /// The tags: at least one, each key once, in order of key.
    pub tags: Vec<(TagKey, TagValue)>,
}

/// The result of a command that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// How many of the targets exist.
    pub resources: usize,
    /// How many tags were removed or set, or would be by a command that only validates. `None` where the store is not
    /// told, as by the cloud.
    pub tags: Option<usize>,
    /// How many of the targets were changed, or would be. `None` where the store is not told.
    pub changed_resources: Option<usize>,
    /// The revision of the change; the newest one of the account where nothing was changed. `None` where nothing ever was, where
    /// the command only validates, and where the store keeps no revisions.
    pub revision: Option<Revision>,
    /// The RequestId to answer with, where another service has carried the command out under its own,
    /// or where this is the answer to an earlier request.
    pub request_id: Option<RequestId>,
}

impl Changed {
    /// So many tags of so many resources.
    #[must_use]
    pub fn count(resources: usize, tags: usize) -> Self {
        Self {
            resources,
            tags: Some(tags),
            changed_resources: None,
            revision: None,
            request_id: None,
        }
    }

    /// Whether the change log has an entry of this request: it has changed something, and is no answer to an earlier one.
    #[must_use]
    pub fn has_entry(&self) -> bool {
        let has_changed = self.changed_resources.is_some_and(|count| count > 0);
        has_changed && self.revision.is_some() && self.request_id.is_none()
    }
}

/// Selects tags by key, or by key and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFilter {
    /// The key.
    pub key: TagKey,
    /// The value; any when `None`.
    pub value: Option<TagValue>,
}

impl TagFilter {
    /// Whether a tag is one that the filter selects.
    #[must_use]
    pub fn matches(&self, key: &str, value: &str) -> bool {
        self.key.as_str() == key
            && self
                .value
                .as_ref()
                .is_none_or(|wanted| wanted.as_str() == value)
    }
}

/// The most tags or users of a page, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// Takes 1 to 100, or 0 for the default of 100.
    #[must_use]
    pub fn parse(size: i32) -> Option<Self> {
        match u16::try_from(size) {
            Ok(0) => Some(Self(limits::PAGE_SIZE)),
            Ok(size) if size <= limits::PAGE_SIZE => Some(Self(size)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.into()
    }
}

/// A position in a list, which goes on behind it. Lists are in order of resource id, then tag key, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The last resource looked at.
    pub resource_id: ResourceId,
    /// The last tag of it that was listed; `None` when the resource is done with.
    pub tag_key: Option<TagKey>,
}

/// The point at which a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// The list goes on behind a position, in a store that keeps its list in order.
    Behind(Position),
    /// The list goes on where the cloud says, in a form that only the cloud can read.
    Token(String),
}

/// A query that lists tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// The account that the resources belong to.
    pub account: AccountId,
    /// The resources whose tags are listed; all of the account when `None`, and then there is a filter.
    pub targets: Option<Targets>,
    /// The filters: only resources that match all of them are listed, and of their tags those that match one.
    pub filters: Vec<TagFilter>,
    /// The most tags of the page.
    pub page_size: PageSize,
    /// The point at which the page before this one ended.
    pub after: Option<Continuation>,
}

/// One tag of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTag {
    /// The resource.
    pub resource_id: ResourceId,
    /// The tag's key.
    pub key: TagKey,
    /// The tag's value.
    pub value: TagValue,
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagPage {
    /// The tags.
    pub tags: Vec<ListedTag>,
    /// The point at which the list goes on; `None` at the end.
    pub next: Option<Continuation>,
    /// The RequestId to answer with, where another service has carried the query out under its own.
    pub request_id: Option<RequestId>,
}
