//! What is counted of the tags of all users.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::domain::{
    AccountId, CountPage, RESOURCE_TYPE_USER, ResourceId, TagKey, TagKeyPage, TagKeysQuery,
    TagValue, TagValuePage, TagValuesQuery,
};
use crate::store::paging::{COUNTED_USERS, MOST_COUNTS};
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags;
use crate::store::sqlite::format::{COLUMNS, Record};
use crate::store::sqlite::log::{Published, Tombstones};

/// Counts the keys of the tags that users carry.
pub fn tag_keys(
    connection: &Connection,
    published: &Published,
    query: &TagKeysQuery,
) -> Result<TagKeyPage, ApplyError> {
    let TagKeysQuery { account, after } = query;
    let counts = count(connection, published, account, after.as_ref(), Of::Keys)?;
    counts.parse(|key| TagKey::parse(key).ok())
}

/// Counts the values that the tags with a key have.
pub fn tag_values(
    connection: &Connection,
    published: &Published,
    query: &TagValuesQuery,
) -> Result<TagValuePage, ApplyError> {
    let TagValuesQuery {
        account,
        key,
        after,
    } = query;
    let values = Of::Values(key.as_str());
    let counts = count(connection, published, account, after.as_ref(), values)?;
    counts.parse(|value| TagValue::parse(value).ok())
}

/// What of the tags is counted.
#[derive(Clone, Copy)]
enum Of<'key> {
    Keys,
    /// The values of this key.
    Values(&'key str),
}

impl Of<'_> {
    /// The part of a tag that is counted, if any is.
    fn part<'tag>(self, key: &'tag str, value: &'tag str) -> Option<&'tag str> {
        match self {
            Self::Keys => Some(key),
            Self::Values(wanted) => (key == wanted).then_some(value),
        }
    }
}

/// Counts as texts.
#[derive(Default)]
struct Counts {
    counts: BTreeMap<Box<str>, usize>,
    next: Option<ResourceId>,
}

impl Counts {
    fn add(&mut self, text: &str) {
        match self.counts.get_mut(text) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(text.into(), 1);
            }
        }
    }

    fn parse<T>(self, parse: impl Fn(Box<str>) -> Option<T>) -> Result<CountPage<T>, ApplyError> {
        let counts = self.counts.into_iter();
        let parsed = counts.map(|(text, count)| Ok((parse(text).ok_or(CorruptTags)?, count)));
        Ok(CountPage {
            counts: parsed.collect::<Result<_, CorruptTags>>()?,
            next: self.next,
        })
    }
}

/// Counts a part of the tags of users: each once for a user, since no key is there twice.
fn count(
    connection: &Connection,
    published: &Published,
    account: &AccountId,
    after: Option<&ResourceId>,
    of: Of<'_>,
) -> Result<Counts, ApplyError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM resource \
         WHERE account_id = ?1 AND resource_type = ?2 AND resource_id > ?3 \
         ORDER BY resource_id"
    ))?;
    let (_snapshot, in_force) = published.snapshot(connection, Tombstones::clone)?;
    let after = after.map_or("", ResourceId::as_str);
    let mut rows = statement.query(params![account.as_str(), RESOURCE_TYPE_USER, after])?;
    let (mut counts, mut users) = (Counts::default(), 0);
    let mut last = String::new();
    while let Some(row) = rows.next()? {
        if users == COUNTED_USERS || counts.counts.len() >= MOST_COUNTS {
            counts.next = Some(ResourceId::parse(last).map_err(|_| CorruptTags)?);
            break;
        }
        users += 1;
        let record = Record::of(row)?;
        let removed = in_force.of(record.number);
        tags::each(record.tags, removed, |key, value| {
            if let Some(text) = of.part(key, value) {
                counts.add(text);
            }
        })?;
        record.id.clone_into(&mut last);
    }
    Ok(counts)
}
