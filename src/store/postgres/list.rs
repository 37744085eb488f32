//! Lists: each page is read in one statement, and so in one snapshot of the database.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::error::Failure;
use super::session::Parameters;
use super::targets::Names;
use super::{PostgresStore, statements};
use crate::domain::{ListQuery, ResourceId, TagKey, TagPage, TagValue, Targets};
use crate::store::StoreError;
use crate::store::paging::{PageBuilder, SCAN_LIMIT};

/// The tags of a resource, in order of key.
pub type Tags = Vec<(TagKey, TagValue)>;

/// Parses a row of `resource`.
pub fn record(id: &str, tags: &str) -> Result<(ResourceId, Tags), StoreError> {
    let parse = || {
        let tags: BTreeMap<String, String> = serde_json::from_str(tags).ok()?;
        let tag = |(key, value)| Some((TagKey::parse(key).ok()?, TagValue::parse(value).ok()?));
        Some((
            ResourceId::parse(id).ok()?,
            tags.into_iter().map(tag).collect::<Option<Tags>>()?,
        ))
    };
    parse().ok_or_else(|| Failure::CorruptTags.into())
}

impl PostgresStore {
    /// A page of the resources that a query names.
    pub(super) async fn page_of(
        &self,
        query: &ListQuery,
        targets: &Targets,
    ) -> Result<TagPage, StoreError> {
        let names = Names::of(targets);
        let parameters = names.parameters(query.account.as_str());
        let rows = self.read(names.by.find(), parameters).await?;
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        names.all_among(&found)?;
        let records = rows.iter().map(|row| record(row.get(1), row.get(2)));
        PageBuilder::page_of(query, records.collect::<Result<_, _>>()?)
    }

    /// A page of all resources of an account.
    pub(super) async fn page(&self, query: &ListQuery) -> Result<TagPage, StoreError> {
        let mut page = PageBuilder::new(query)?;
        let parameters = scan(query, page.from())?;
        let rows = self.read(statements::SCAN, parameters).await?;
        for row in &rows {
            page.go_on_at(number(row, 0));
            let (id, tags) = record(row.get(1), row.get(2))?;
            if page.add(&id, &tags).is_break() {
                break;
            }
        }
        Ok(page.finish())
    }
}

/// The number of a row among those that were looked at, in this column.
pub fn number(row: &Row, column: usize) -> usize {
    usize::try_from(row.get::<_, i64>(column)).unwrap_or_default()
}

/// The parameters of `SCAN`.
fn scan(query: &ListQuery, from: &str) -> Result<Parameters, StoreError> {
    let keys = query.filters.iter().map(|filter| filter.key.to_string());
    let values = query.filters.iter().filter_map(|filter| {
        let value = filter.value.as_ref()?;
        Some((filter.key.as_str(), value.as_str()))
    });
    let values: BTreeMap<&str, &str> = values.collect();
    let values =
        serde_json::to_string(&values).map_err(|error| StoreError::Broken(Arc::new(error)))?;
    // The tags of the first may be on the page before. Each other that matches has a tag for this one, and one tag more than
    // fits tells that the list goes on.
    let matches = query.page_size.get() + 2;
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    Ok(vec![
        (Box::new(query.account.to_string()), Type::TEXT),
        (Box::new(from.to_owned()), Type::TEXT),
        (Box::new(count(SCAN_LIMIT)), Type::INT8),
        (Box::new(keys.collect::<Vec<_>>()), Type::TEXT_ARRAY),
        (Box::new(values), Type::TEXT),
        (Box::new(count(matches)), Type::INT8),
    ])
}
