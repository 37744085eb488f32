//! What is read: lists, and untags that only validate.

use rusqlite::{Connection, params};

use crate::domain::{
    AccountId, Changed, ListQuery, RESOURCE_TYPE_USER, ResourceId, TagPage, Targets, UntagCommand,
};
use crate::store::StoreError;
use crate::store::paging::{PageBuilder, SCAN_LIMIT};
use crate::store::sqlite::error::{ApplyError, CorruptTags};
use crate::store::sqlite::format::tags::{self, TagMask};
use crate::store::sqlite::format::{COLUMNS, Record};
use crate::store::sqlite::index::{Index, Key, Lookup};
use crate::store::sqlite::log::{Published, Tombstones};
use crate::store::sqlite::write::{Selected, Untag};

/// Checks an untag, and changes nothing.
pub fn check_untag(
    connection: &Connection,
    published: &Published,
    index: &Index,
    command: &UntagCommand,
) -> Result<Result<Changed, StoreError>, ApplyError> {
    let mut plan = Untag::plan(command);
    let (found, missing) = each_target(
        connection,
        published,
        index,
        &command.account,
        &command.targets,
        |target, record, removed| Selected::of(command, target, record, removed),
    )?;
    for found in found {
        plan.add(found);
    }
    Ok(plan.finish(missing).answer)
}

/// Reads a list: a page, or the positions of the targets that do not exist.
pub fn list(
    connection: &Connection,
    published: &Published,
    index: &Index,
    query: &ListQuery,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    match &query.targets {
        Some(targets) => list_targets(connection, published, index, query, targets),
        None => list_account(connection, published, query),
    }
}

/// Calls `found` with the position and the record of every target that exists and what it has lost, all in one state of the store. Returns what came
/// of it, in order, and the positions of the other targets.
fn each_target<T>(
    connection: &Connection,
    published: &Published,
    index: &Index,
    account: &AccountId,
    targets: &Targets,
    found: impl Fn(usize, &Record<'_>, TagMask) -> Result<T, CorruptTags>,
) -> Result<(Vec<T>, Vec<usize>), ApplyError> {
    let key = |position| Key::of(account, targets, position);
    let mut numbers: Vec<_> = (0..targets.count())
        .map(|position| index.hint(key(position)))
        .collect();
    let mut lookup = Lookup::new(connection, index)?;
    loop {
        // A snapshot comes with the tombstones of rows that are known before it.
        let removed = |in_force: &Tombstones| -> Vec<_> {
            let removed = |number: &Option<i64>| number.map_or(0, |number| in_force.of(number));
            numbers.iter().map(removed).collect()
        };
        let (snapshot, removed) = published.snapshot(connection, removed)?;
        let (mut results, mut missing) = (Vec::with_capacity(numbers.len()), Vec::new());
        let mut is_moved = false;
        for (position, number) in numbers.iter_mut().enumerate() {
            let key = key(position);
            if let Some(number) = *number {
                let result = lookup.find_at(number, key, |record| {
                    found(position, record, removed[position])
                })?;
                if let Some(result) = result {
                    results.push(result?);
                    continue;
                }
            }
            *number = lookup.search(key, |record| record.number)?;
            match *number {
                Some(_) => is_moved = true,
                None => missing.push(position),
            }
        }
        if !is_moved {
            return Ok((results, missing));
        }
        // Once for those who are not in the index, and again only for who has come or gone meanwhile.
        drop(snapshot);
    }
}

fn list_targets(
    connection: &Connection,
    published: &Published,
    index: &Index,
    query: &ListQuery,
    targets: &Targets,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    let account = &query.account;
    let (records, missing) = each_target(
        connection,
        published,
        index,
        account,
        targets,
        |_, record, removed| {
            let id = ResourceId::parse(record.id).map_err(|_| CorruptTags)?;
            Ok((id, tags::decode(record.tags, removed)?))
        },
    )?;
    if !missing.is_empty() {
        return Ok(Err(StoreError::Missing(missing)));
    }
    Ok(PageBuilder::page_of(query, records))
}

fn list_account(
    connection: &Connection,
    published: &Published,
    query: &ListQuery,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    let mut page = match PageBuilder::new(query) {
        Ok(page) => page,
        Err(error) => return Ok(Err(error)),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM resource \
         WHERE account_id = ?1 AND resource_type = ?2 AND resource_id >= ?3 \
         ORDER BY resource_id LIMIT ?4"
    ))?;
    let (_snapshot, in_force) = published.snapshot(connection, Tombstones::clone)?;
    // One more than a page looks at tells whether it has seen the last.
    let most = i64::try_from(SCAN_LIMIT + 1).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![
        query.account.as_str(),
        RESOURCE_TYPE_USER,
        page.from(),
        most
    ])?;
    while let Some(row) = rows.next()? {
        let record = Record::of(row)?;
        let id = ResourceId::parse(record.id).map_err(|_| CorruptTags)?;
        let tags = tags::decode(record.tags, in_force.of(record.number))?;
        if page.add(&id, &tags).is_break() {
            break;
        }
    }
    Ok(Ok(page.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PageSize, TagKey, TagValue};
    use crate::store::sqlite::format::tombstone::{self, Tombstone};
    use crate::store::sqlite::format::{DataDirectory, Rewrite, RowChange, RowReader};

    const ACCOUNT: &str = "1000000000000001";

    /// A list of these users, as text.
    fn listed(
        connection: &Connection,
        published: &Published,
        index: &Index,
        ids: &[&str],
    ) -> String {
        let ids = ids.iter().map(|id| ResourceId::parse(*id).unwrap());
        let query = ListQuery {
            account: AccountId::parse(ACCOUNT).unwrap(),
            targets: Some(Targets::Ids(ids.collect())),
            filters: Vec::new(),
            revision: None,
            page_size: PageSize::parse(0).unwrap(),
            after: None,
        };
        match list(connection, published, index, &query).unwrap() {
            Ok(page) => {
                let tags = page.tags.iter();
                let tags =
                    tags.map(|tag| format!("{}:{}", tag.resource_id.as_str(), tag.key.as_str()));
                tags.collect::<Vec<_>>().join(" ")
            }
            Err(StoreError::Missing(positions)) => format!("missing: {positions:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn tombstones_are_those_of_the_row_that_is_found_whatever_the_index_says() {
        let directory = tempfile::tempdir().unwrap();
        let connection = DataDirectory::lock(directory.path())
            .and_then(|directory| directory.open_writer())
            .unwrap();
        let tag = |key| (TagKey::parse(key).unwrap(), TagValue::parse("x").unwrap());
        let encoded = tags::encode([tag("a"), tag("b")].iter().map(|(key, value)| (key, value)));
        let insert = "INSERT INTO resource \
             (number, account_id, resource_type, resource_id, principal_name, tags) \
             VALUES (?1, ?2, 'user', ?1, ?3, ?4)";
        for number in 1..=3 {
            let name = format!("u{number}@example.com");
            let values = params![number, ACCOUNT, name, encoded];
            connection.execute(insert, values).unwrap();
        }
        let removed = [1, 2].map(|number| Tombstone {
            number: i64::from(number),
            removed: number,
        });
        let mut bytes = Vec::new();
        tombstone::encode(&removed, &mut bytes);
        let insert = "INSERT INTO tombstone (sequence, tombstones) VALUES (1, ?1)";
        connection.execute(insert, [bytes]).unwrap();
        let published = Published::default();
        published.publish(1, &removed);

        let all = "1:b 2:a 3:a 3:b";
        let index = Index::new(usize::MAX);
        assert_eq!(
            listed(&connection, &published, &index, &["3", "2", "1"]),
            all
        );
        assert_eq!(
            listed(&connection, &published, &index, &["3", "7", "1", "8"]),
            "missing: [1, 3]"
        );
        // As if each had another's row, and one who is gone.
        let wrong = |(id, number): (&str, i64)| {
            let mut rows = RowReader::new(&connection).unwrap();
            let row = rows
                .read(number.min(3), |record| record.rewrite(Vec::new()))
                .unwrap();
            RowChange::Written(Rewrite {
                number,
                id: id.into(),
                ..row.unwrap()
            })
        };
        index.apply(&[("1", 2), ("2", 3), ("3", 9), ("7", 1)].map(wrong));
        assert_eq!(
            listed(&connection, &published, &index, &["3", "2", "1"]),
            all
        );
        assert_eq!(
            listed(&connection, &published, &index, &["3", "7", "1", "8"]),
            "missing: [1, 3]"
        );
    }
}
