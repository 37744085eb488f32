//! What a request asks for, and what came of it.

use super::{AccountId, RequestId, ResourceId, Revision, TagKey, TagValue, Targets, limits};

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

/// The values that the tags of an untag have to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// At least one value, each by its key and in order of key. The keys are among those to remove.
    pub values: Vec<(TagKey, TagValue)>,
    /// What becomes of an untag that meets a tag with another value.
    pub on_mismatch: OnMismatch,
}

/// What becomes of an untag that meets a tag with another value than expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// The untag is refused.
    Fail,
    /// The tag stays, and the others go.
    Skip,
}

/// A tag that has another value than expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    /// The position of the user among the targets.
    pub target: usize,
    /// The position of the key among the expected values.
    pub key: usize,
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
    /// The values that some of the tags have to have.
    pub expected: Option<Expected>,
    /// Whether resources that do not exist are skipped; else the command fails.
    pub allow_missing: bool,
    /// Whether the command only checks, and changes nothing.
    pub validate_only: bool,
}

impl UntagCommand {
    /// Whether the command is refused for these tags, which have another value than it expects.
    #[must_use]
    pub fn is_refused_for(&self, mismatches: &[Mismatch]) -> bool {
        let on_mismatch = self.expected.as_ref().map(|one| one.on_mismatch);
        on_mismatch == Some(OnMismatch::Fail) && !mismatches.is_empty()
    }

    /// The name of the user, as the request has it, and the key of a tag that has another value than expected.
    #[must_use]
    pub fn named(&self, mismatch: Mismatch) -> (&str, &str) {
        let expected = self.expected.as_ref();
        let value = expected.and_then(|expected| expected.values.get(mismatch.key));
        let key = value.map_or("", |(key, _)| key.as_str());
        (self.targets.name_at(mismatch.target), key)
    }
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// How many of the targets exist.
    pub resources: usize,
    /// How many tags were removed, or set to a value that they did not have, or would be by a command that only validates. `None`
    /// where the store is not told, as by the cloud.
    pub tags: Option<usize>,
    /// How many of the targets were changed, or would be. `None` where the store is not told.
    pub changed_resources: Option<usize>,
    /// The revision of the change; the newest one of the account where nothing was changed. `None` where nothing ever was, where
    /// the command only validates, and where the store keeps no revisions.
    pub revision: Option<Revision>,
    /// The RequestId to answer with, where another service has carried the command out under its own,
    /// or where this is the answer to an earlier request.
    pub request_id: Option<RequestId>,
    /// Whether this is the answer to an earlier request with the same client token, and nothing was changed now.
    pub is_replay: bool,
    /// The tags that have stayed, since they have another value than expected; in order.
    pub mismatches: Vec<Mismatch>,
}

impl Changed {
    /// So many tags of so many resources.
    #[must_use]
    pub fn count(resources: usize, tags: usize) -> Self {
        Self {
            resources,
            tags: Some(tags),
            ..Self::default()
        }
    }

    /// The revision of the entry that the change log has of this request, if it has one: it has changed something, and is no answer to
    /// an earlier one.
    #[must_use]
    pub fn entry(&self) -> Option<Revision> {
        let has_changed = self.changed_resources.is_some_and(|count| count > 0);
        self.revision.filter(|_| has_changed && !self.is_replay)
    }

    /// How many of these the request itself has changed: none where it was answered as an earlier one.
    #[must_use]
    pub fn now(&self, count: Option<usize>) -> Option<usize> {
        if self.is_replay { Some(0) } else { count }
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

impl Default for PageSize {
    fn default() -> Self {
        Self(limits::PAGE_SIZE)
    }
}

impl PageSize {
    /// The largest page.
    pub const LARGEST: Self = Self(limits::PAGE_SIZE);

    /// Takes 1 to 100, or 0 for the default of 100.
    #[must_use]
    pub fn parse(size: i32) -> Option<Self> {
        match u16::try_from(size) {
            Ok(0) => Some(Self::default()),
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
    /// The revision behind whose change the tags are listed as they were then, and then there are targets; as they are now when `None`.
    pub revision: Option<Revision>,
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
