//! What is counted of the tags of all users, each page in one statement.

use tokio_postgres::types::Type;

use super::error::Failure;
use super::session::Parameters;
use super::{PostgresStore, statements};
use crate::domain::{
    AccountId, CountPage, ResourceId, TagKey, TagKeyPage, TagKeysQuery, TagValue, TagValuePage,
    TagValuesQuery,
};
use crate::store::StoreError;
use crate::store::paging::{COUNTED_USERS, MOST_COUNTS};

impl PostgresStore {
    /// Counts the keys of the tags that users carry.
    pub(super) async fn keys(&self, query: &TagKeysQuery) -> Result<TagKeyPage, StoreError> {
        let parameters = parameters(&query.account, query.after.as_ref());
        let key = |text: &str| TagKey::parse(text).ok();
        self.count(statements::COUNT_KEYS, parameters, key).await
    }

    /// Counts the values that the tags with a key have.
    pub(super) async fn values(&self, query: &TagValuesQuery) -> Result<TagValuePage, StoreError> {
        let mut parameters = parameters(&query.account, query.after.as_ref());
        parameters.push((Box::new(query.key.to_string()), Type::TEXT));
        let value = |text: &str| TagValue::parse(text).ok();
        self.count(statements::COUNT_VALUES, parameters, value)
            .await
    }

    async fn count<T: Ord>(
        &self,
        sql: &'static str,
        parameters: Parameters,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<CountPage<T>, StoreError> {
        let rows = self.read(sql, parameters).await?;
        let (mut counts, mut next) = (Vec::with_capacity(rows.len()), None);
        for row in &rows {
            let Some(text) = row.get::<_, Option<&str>>(0) else {
                let id = ResourceId::parse(row.get::<_, &str>(2));
                next = Some(id.map_err(|_| Failure::CorruptUser)?);
                continue;
            };
            let count = usize::try_from(row.get::<_, i64>(1)).unwrap_or(usize::MAX);
            counts.push((parse(text).ok_or(Failure::CorruptTags)?, count));
        }
        // The database has other orders of text.
        counts.sort_unstable();
        Ok(CountPage { counts, next })
    }
}

fn parameters(account: &AccountId, after: Option<&ResourceId>) -> Parameters {
    let after = after.map_or("", ResourceId::as_str);
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    vec![
        (Box::new(account.to_string()), Type::TEXT),
        (Box::new(after.to_owned()), Type::TEXT),
        (Box::new(count(COUNTED_USERS + 1)), Type::INT8),
        (Box::new(count(MOST_COUNTS)), Type::INT8),
    ]
}
