//! Import and export of whole resources by COPY.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use thiserror::Error;
use tokio_postgres::error::SqlState;

use super::error::Failure;
use super::{ConnectionString, OpenError, Options, PostgresStore, migrations, record};
use crate::domain::{AccountId, PrincipalName, Resource};

/// How many bytes of COPY data travel at once.
const CHUNK: usize = 256 * 1024;

/// COPY fills a table of the session, and one statement moves it over: a resource that is there already is replaced.
const STAGE: &str = "CREATE TEMPORARY TABLE import (
    number bigint, account_id text, resource_id text, principal_name text, tags jsonb
) ON COMMIT DROP";
const COPY_IN: &str = "COPY import FROM STDIN";
const MOVE: &str = "INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags)
    SELECT DISTINCT ON (account_id, resource_id) account_id, 'user', resource_id, principal_name, tags
    FROM import ORDER BY account_id, resource_id, number DESC
    ON CONFLICT (account_id, resource_type, resource_id)
    DO UPDATE SET principal_name = excluded.principal_name, tags = excluded.tags";
/// Without statistics PostgreSQL reads the table from end to end for a change of one user.
const ANALYZE: &str = "ANALYZE (SKIP_LOCKED) resource";
const COPY_OUT: &str = "COPY (SELECT account_id, resource_id, principal_name, tags FROM resource
    ORDER BY account_id, resource_type, resource_id) TO STDOUT";

/// Why an import or an export stopped. An import that stopped has changed nothing.
#[derive(Debug, Error)]
pub enum BulkError<E> {
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The other side: the lines that are read, or the file that is written.
    #[error(transparent)]
    Caller(E),
    /// A name that two resources of one account would have.
    #[error("two users of one account would have the same principal name: {0}")]
    NameTaken(String),
    /// The database.
    #[error("the database failed: {0}")]
    Store(String),
}

impl<E> From<tokio_postgres::Error> for BulkError<E> {
    fn from(error: tokio_postgres::Error) -> Self {
        match error
            .as_db_error()
            .filter(|error| *error.code() == SqlState::UNIQUE_VIOLATION)
        {
            Some(taken) => Self::NameTaken(taken.detail().unwrap_or_default().to_owned()),
            None => Self::Store(Failure::from(error).to_string()),
        }
    }
}

async fn connect<E>(connection: &ConnectionString) -> Result<tokio_postgres::Client, BulkError<E>> {
    let store = PostgresStore::unchecked(
        connection,
        Options {
            queue: 1,
            connections: 1,
        },
    )?;
    let mut client = store.connect().await?;
    migrations::check(&mut client)
        .await
        .map_err(OpenError::from)?;
    Ok(client)
}

/// Puts resources into the store, all of them or, where one fails, none. One that is there already is replaced. Returns how
/// many there were.
///
/// # Errors
/// The first error of `resources`, or the store's own.
pub async fn import<E>(
    connection: &ConnectionString,
    resources: impl IntoIterator<Item = Result<Resource, E>>,
) -> Result<u64, BulkError<E>> {
    let mut client = connect(connection).await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(STAGE).await?;
    let mut sink = Box::pin(transaction.copy_in::<_, Bytes>(COPY_IN).await?);
    let mut chunk = String::with_capacity(CHUNK + 64 * 1024);
    let mut count = 0;
    for resource in resources {
        let resource = resource.map_err(BulkError::Caller)?;
        count += 1;
        push_row(&mut chunk, count, &resource)?;
        if chunk.len() >= CHUNK {
            sink.send(Bytes::from(std::mem::take(&mut chunk))).await?;
        }
    }
    sink.send(Bytes::from(chunk)).await?;
    sink.as_mut().finish().await?;
    transaction.batch_execute(MOVE).await?;
    transaction.commit().await?;
    // The import is done. Where this fails, autovacuum comes to it in a minute or so.
    let _ = client.batch_execute(ANALYZE).await;
    Ok(count)
}

fn push_row<E>(chunk: &mut String, number: u64, resource: &Resource) -> Result<(), BulkError<E>> {
    let tags: BTreeMap<&str, &str> = resource
        .tags()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let failed = |error: &dyn std::fmt::Display| BulkError::Store(error.to_string());
    let tags = serde_json::to_string(&tags).map_err(|error| failed(&error))?;
    let (account, id, name) = (&resource.account, &resource.id, &resource.principal_name);
    // JSON escapes control characters by itself, so a backslash is all that COPY's text format has to have escaped.
    let tags = tags.replace('\\', "\\\\");
    writeln!(chunk, "{number}\t{account}\t{id}\t{name}\t{tags}").map_err(|error| failed(&error))
}

/// Hands every resource to `each`, in order of account and id, as they were at one moment. Returns how many there were.
///
/// # Errors
/// The first error of `each`, or the store's own.
pub async fn export<E>(
    connection: &ConnectionString,
    mut each: impl FnMut(Resource) -> Result<(), E>,
) -> Result<u64, BulkError<E>> {
    let client = connect(connection).await?;
    let mut rows = Box::pin(client.copy_out(COPY_OUT).await?);
    let mut pending = Vec::new();
    let mut count = 0;
    while let Some(bytes) = rows.next().await {
        pending.extend_from_slice(&bytes?);
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let rest = pending.split_off(end + 1);
        for line in pending
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let broken = || BulkError::Store("a row of the table is no user".to_owned());
            each(parse_row(line).ok_or_else(broken)?).map_err(BulkError::Caller)?;
            count += 1;
        }
        pending = rest;
    }
    Ok(count)
}

fn parse_row(line: &[u8]) -> Option<Resource> {
    let mut columns = std::str::from_utf8(line).ok()?.splitn(4, '\t');
    let (account, id, name) = (columns.next()?, columns.next()?, columns.next()?);
    let (id, tags) = record(id, &columns.next()?.replace("\\\\", "\\")).ok()?;
    let account = AccountId::parse(account).ok()?;
    Resource::new(
        account,
        id,
        PrincipalName::parse(name).ok()?,
        tags.into_iter().collect(),
    )
    .ok()
}
