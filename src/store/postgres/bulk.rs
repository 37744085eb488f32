//! Import and export of whole resources by COPY.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use thiserror::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::connector::Connector;
use super::error::Failure;
use super::{ConnectionString, OpenError, distribution, migrations, record};
use crate::domain::{AccountId, ImportMode, PrincipalName, Resource, Timestamp, limits};
use crate::store::{BulkCounts, BulkLine, BulkSettings, NameTaken, RefusedLine, StillDeleted};

/// How many bytes of COPY data travel at once.
const CHUNK: usize = 256 * 1024;

/// The tables of an import: COPY fills the first, and statements move it over, of several lines with one id the last. The second has the
/// lines whose names are given last.
macro_rules! stage {
    ($kind:literal, $end:literal) => {
        concat!(
            "CREATE ", $kind, " TABLE untag_import (number bigint, account_id text COLLATE \"C\", resource_id text COLLATE \"C\", \
             principal_name text COLLATE \"C\", tags jsonb)", $end,
            "; CREATE ", $kind, " TABLE untag_deferred (account_id text COLLATE \"C\", number bigint)", $end
        )
    };
}
const STAGE: &str = stage!("TEMPORARY", " ON COMMIT DROP");
/// On Citus they are beside the tables of the schema, and all is joined where it is. A temporary table can't be distributed: these are
/// gone again before the transaction ends.
const STAGE_DISTRIBUTED: &str = concat!(
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'; ",
    stage!("UNLOGGED", ""),
    "; SELECT create_distributed_table(name, 'account_id', colocate_with => 'resource') \
     FROM unnest(ARRAY['untag_import', 'untag_deferred']) AS t (name)"
);
const UNSTAGE: &str = "DROP TABLE untag_import, untag_deferred";
const COPY_IN: &str = "COPY untag_import FROM STDIN";
/// Held by an import until it is done, so that no user is created, deleted or restored beside it: `untag_change_users` holds it
/// with others.
const LOCK_USERS: &str = "SELECT pg_advisory_xact_lock(8461828711567422835)";
/// A line of a user that was deleted. `$1` the newest time of a deletion that has expired.
const STILL_DELETED: &str =
    "SELECT account_id, resource_id FROM untag_import JOIN deleted_user USING (account_id, resource_id)
    WHERE resource_type = 'user' AND delete_time > $1 ORDER BY account_id, resource_id LIMIT 1";
/// Forgets deleted users that have expired and come back as others.
const FORGET: &str =
    "DELETE FROM deleted_user USING untag_import AS line WHERE deleted_user.account_id = line.account_id
    AND deleted_user.resource_type = 'user' AND deleted_user.resource_id = line.resource_id";
/// The lines whose names other users have. Those may be given up by other lines, so that the names are deferred until all
/// rows are locked, in order of account and id as changes lock them.
const DEFER: &str = "INSERT INTO untag_deferred (account_id, number)
    SELECT DISTINCT line.account_id, line.number FROM untag_import AS line JOIN resource AS holder
    ON holder.account_id = line.account_id AND lower(holder.principal_name) = lower(line.principal_name)
    WHERE holder.resource_type = 'user' AND holder.resource_id <> line.resource_id";
/// Gives the last of several lines with one id the tags of all of them, of which the later ones count.
const MERGE_LINES: &str = "UPDATE untag_import SET tags = merged.tags FROM (
        SELECT line.account_id, max(line.number) AS number,
            coalesce(jsonb_object_agg(tag.key, tag.value ORDER BY line.number) FILTER (WHERE tag.key IS NOT NULL), '{}') AS tags
        FROM untag_import AS line JOIN (
            SELECT account_id, resource_id FROM untag_import GROUP BY account_id, resource_id HAVING count(*) > 1
        ) AS twice USING (account_id, resource_id)
        LEFT JOIN LATERAL jsonb_each(line.tags) AS tag ON true GROUP BY line.account_id, line.resource_id
    ) AS merged WHERE untag_import.account_id = merged.account_id AND untag_import.number = merged.number";
/// The first line of a user that is there already, or that a line before it has created.
const EXISTS: &str = "SELECT number, account_id, resource_id FROM (
        SELECT number, account_id, resource_id,
            row_number() OVER (PARTITION BY account_id, resource_id ORDER BY number) AS nth FROM untag_import
    ) AS line
    WHERE nth > 1 OR EXISTS (
        SELECT FROM resource WHERE resource.account_id = line.account_id AND resource.resource_type = 'user'
        AND resource.resource_id = line.resource_id
    ) ORDER BY number LIMIT 1";
/// The last line of each user, and what there is of the user.
macro_rules! last_lines {
    () => {
        "(SELECT DISTINCT ON (account_id, resource_id) * FROM untag_import ORDER BY account_id, resource_id, number DESC) AS line
    LEFT JOIN resource ON resource.account_id = line.account_id AND resource.resource_type = 'user'
    AND resource.resource_id = line.resource_id"
    };
}
/// A line whose user would carry too many tags. `$1` how many it may.
const TAG_LIMIT: &str = concat!(
    "SELECT number, line.account_id, line.resource_id FROM ",
    last_lines!(),
    " WHERE (SELECT count(*) FROM jsonb_object_keys(coalesce(resource.tags, '{}') || line.tags)) > $1
    ORDER BY number LIMIT 1"
);
/// How many users are created, changed, and there as they are given. `$1` whether they keep their other tags.
const COUNTS: &str = concat!(
    "SELECT count(*) FILTER (WHERE resource.resource_id IS NULL),
        count(*) FILTER (WHERE resource.resource_id IS NOT NULL AND NOT is_same),
        count(*) FILTER (WHERE is_same)
    FROM ",
    last_lines!(),
    " CROSS JOIN LATERAL (SELECT coalesce(resource.principal_name = line.principal_name
        AND resource.tags = CASE WHEN $1 THEN resource.tags || line.tags ELSE line.tags END, false) AS is_same) AS found"
);
/// Writes all rows. In the place of a deferred name stands one that nobody else has: a name has no space. `$1` whether users keep their
/// other tags.
const MOVE: &str = "INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags)
    SELECT DISTINCT ON (account_id, resource_id) account_id, 'user', resource_id,
        principal_name || CASE WHEN deferred.number IS NULL THEN '' ELSE ' ' || resource_id END, tags
    FROM untag_import LEFT JOIN untag_deferred AS deferred USING (account_id, number) ORDER BY account_id, resource_id, number DESC
    ON CONFLICT (account_id, resource_type, resource_id)
    DO UPDATE SET principal_name = excluded.principal_name,
        tags = CASE WHEN $1 THEN resource.tags || excluded.tags ELSE excluded.tags END";
/// Gives every row with a deferred name that name.
const GIVE_NAMES: &str = "UPDATE resource SET principal_name = line.principal_name
    FROM untag_import AS line JOIN untag_deferred AS deferred ON deferred.account_id = line.account_id AND deferred.number = line.number
    WHERE resource.account_id = line.account_id AND resource.resource_type = 'user'
    AND resource.resource_id = line.resource_id
    AND resource.principal_name = line.principal_name || ' ' || line.resource_id";
/// Two users with one name in the state after the import.
const NAME_TAKEN: &str = "WITH line AS (
        SELECT DISTINCT ON (account_id, resource_id) account_id, resource_id, principal_name
        FROM untag_import ORDER BY account_id, resource_id, number DESC
    )
    SELECT line.account_id, line.principal_name, other.resource_id, line.resource_id
    FROM line JOIN line AS other ON other.account_id = line.account_id
    AND lower(other.principal_name) = lower(line.principal_name) AND other.resource_id < line.resource_id
    UNION ALL
    SELECT line.account_id, line.principal_name, holder.resource_id, line.resource_id
    FROM line JOIN resource AS holder ON holder.account_id = line.account_id
    AND lower(holder.principal_name) = lower(line.principal_name) AND holder.resource_id <> line.resource_id
    WHERE holder.resource_type = 'user' AND NOT EXISTS (
        SELECT FROM line WHERE line.account_id = holder.account_id AND line.resource_id = holder.resource_id
    )
    ORDER BY 1, 3, 4 LIMIT 1";
/// Begins the history with this id: what the log says did not lead to what is imported. Whoever has taken a revision is waited for;
/// whoever has locked a user and not the account yet gets the first one after this.
fn begin_history(id: Uuid) -> String {
    format!(
        "LOCK TABLE account IN EXCLUSIVE MODE;
        TRUNCATE change, client_token, audit_position;
        UPDATE account SET oldest_at = NULL;
        UPDATE history SET history_id = '{id}', tokens_full = false, bytes = 0"
    )
}
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
    /// A user that was deleted.
    #[error(transparent)]
    StillDeleted(StillDeleted),
    /// A name that two resources of one account would have.
    #[error(transparent)]
    NameTaken(NameTaken),
    /// A line that the mode does not allow.
    #[error(transparent)]
    Refused(RefusedLine),
    /// The database.
    #[error("the database failed: {0}")]
    Store(String),
}

impl<E> From<tokio_postgres::Error> for BulkError<E> {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(Failure::from(error).to_string())
    }
}

async fn connect<E>(connection: &ConnectionString) -> Result<tokio_postgres::Client, BulkError<E>> {
    let mut client = super::connect(&Connector::new(connection)?).await?;
    migrations::check(&mut client)
        .await
        .map_err(OpenError::from)?;
    Ok(client)
}

/// Puts users into the store, all of them or, where one fails, none. What a user has beside its name and tags stays. A new history
/// begins. Returns how many users there were.
///
/// # Errors
/// The first error of `lines`, or the store's own: [`BulkError::StillDeleted`] for a user that was deleted and can still be
/// restored.
pub async fn import<E>(
    connection: &ConnectionString,
    settings: BulkSettings,
    lines: impl IntoIterator<Item = Result<BulkLine, E>>,
) -> Result<BulkCounts, BulkError<E>> {
    let mut client = connect(connection).await?;
    let mut transaction = client.transaction().await?;
    let is_distributed = distribution::is_distributed(&transaction).await?;
    let stage = if is_distributed {
        STAGE_DISTRIBUTED
    } else {
        STAGE
    };
    transaction.batch_execute(stage).await?;
    let mut sink = Box::pin(transaction.copy_in::<_, Bytes>(COPY_IN).await?);
    let mut chunk = String::with_capacity(CHUNK + 64 * 1024);
    for line in lines {
        push_row(&mut chunk, &line.map_err(BulkError::Caller)?)?;
        if chunk.len() >= CHUNK {
            sink.send(Bytes::from(std::mem::take(&mut chunk))).await?;
        }
    }
    sink.send(Bytes::from(chunk)).await?;
    sink.as_mut().finish().await?;
    drop(sink);
    transaction.query_typed(LOCK_USERS, &[]).await?;
    refuse_deleted(&transaction).await?;
    let counts = prepare(&transaction, settings.mode).await?;
    move_over(&mut transaction, settings.mode).await?;
    if settings.dry_run {
        transaction.rollback().await?;
        return Ok(counts);
    }
    let begin = begin_history(Uuid::new_v4());
    transaction.batch_execute(&begin).await?;
    if is_distributed {
        transaction.batch_execute(UNSTAGE).await?;
    }
    transaction.commit().await?;
    // The import is done. Where this fails, autovacuum comes to it in a minute or so.
    let _ = client.batch_execute(ANALYZE).await;
    Ok(counts)
}

/// Brings the lines of each user together, refuses those that the mode does not allow, and counts the users.
async fn prepare<E>(
    transaction: &Transaction<'_>,
    mode: ImportMode,
) -> Result<BulkCounts, BulkError<E>> {
    let place = |row: &Row| {
        let number: i64 = row.get(0);
        (number.unsigned_abs(), row.get(1), row.get(2))
    };
    match mode {
        ImportMode::CreateOnly => {
            if let Some(row) = transaction.query_typed_opt(EXISTS, &[]).await? {
                let (number, account, id) = place(&row);
                let refused = RefusedLine::Exists {
                    number,
                    account,
                    id,
                };
                return Err(BulkError::Refused(refused));
            }
        }
        ImportMode::Merge => {
            transaction.execute_typed(MERGE_LINES, &[]).await?;
            let most = i64::try_from(limits::TAGS_OF_A_USER).unwrap_or(i64::MAX);
            let most: (&(dyn ToSql + Sync), Type) = (&most, Type::INT8);
            if let Some(row) = transaction.query_typed_opt(TAG_LIMIT, &[most]).await? {
                let (number, account, id) = place(&row);
                let refused = RefusedLine::TagLimit {
                    number,
                    account,
                    id,
                };
                return Err(BulkError::Refused(refused));
            }
        }
        ImportMode::ReplaceTags => {}
    }
    let keeps_tags: (&(dyn ToSql + Sync), Type) = (&(mode == ImportMode::Merge), Type::BOOL);
    let row = transaction.query_typed_opt(COUNTS, &[keeps_tags]).await?;
    let count = |column| {
        let count = row.as_ref().map(|row| row.get::<_, i64>(column));
        count.unwrap_or_default().unsigned_abs()
    };
    Ok(BulkCounts {
        created: count(0),
        updated: count(1),
        unchanged: count(2),
    })
}

/// Sees that no user to be imported is a deleted one that has not expired.
async fn refuse_deleted<E>(transaction: &Transaction<'_>) -> Result<(), BulkError<E>> {
    let expired = Timestamp::from(SystemTime::now()).newest_expired().millis();
    let parameter: (&(dyn ToSql + Sync), Type) = (&expired, Type::INT8);
    let found = transaction
        .query_typed_opt(STILL_DELETED, &[parameter])
        .await?;
    if let Some(row) = found {
        return Err(BulkError::StillDeleted(StillDeleted {
            account: row.get(0),
            id: row.get(1),
        }));
    }
    transaction.execute_typed(FORGET, &[]).await?;
    Ok(())
}

/// Moves what was staged into the table of resources.
async fn move_over<E>(
    transaction: &mut Transaction<'_>,
    mode: ImportMode,
) -> Result<(), BulkError<E>> {
    // What was staged outlives the failure of a statement behind a savepoint.
    let savepoint = transaction.savepoint("move").await?;
    let moved = async {
        let deferred = savepoint.execute_typed(DEFER, &[]).await?;
        let keeps_tags: (&(dyn ToSql + Sync), Type) = (&(mode == ImportMode::Merge), Type::BOOL);
        savepoint.execute_typed(MOVE, &[keeps_tags]).await?;
        if deferred > 0 {
            savepoint.execute_typed(GIVE_NAMES, &[]).await?;
        }
        Ok(())
    };
    match moved.await {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(())
        }
        Err(error) if is_unique_violation(&error) => {
            savepoint.rollback().await?;
            Err(name_taken(transaction, error).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_unique_violation(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNIQUE_VIOLATION)
}

/// Finds out which users would have the same name.
async fn name_taken<E>(
    transaction: &Transaction<'_>,
    violation: tokio_postgres::Error,
) -> Result<BulkError<E>, tokio_postgres::Error> {
    let Some(row) = transaction.query_typed_opt(NAME_TAKEN, &[]).await? else {
        // It was another import's, which was taken back meanwhile.
        return Ok(violation.into());
    };
    Ok(BulkError::NameTaken(NameTaken {
        account: row.get(0),
        name: row.get(1),
        first: row.get(2),
        second: row.get(3),
    }))
}

fn push_row<E>(chunk: &mut String, line: &BulkLine) -> Result<(), BulkError<E>> {
    let BulkLine {
        number,
        user: resource,
    } = line;
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
