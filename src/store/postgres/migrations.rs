//! The schema's history, embedded: ordered, checksummed, applied under an advisory lock.
//!
//! A migration expands (adds what the next version needs, and what the running one does not mind) or contracts (removes
//! what no running version needs). `oldest_program` is the oldest schema version whose programs still work after it: an
//! expanding migration leaves it where it was, so that replicas of the last version go on and may even restart.

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Held while migrating: the first eight letters of "untag-db".
pub const LOCK: i64 = i64::from_be_bytes(*b"untag-db");

/// How long a migration waits for a table. Whoever wants the table meanwhile waits behind it, and a replica gives up a statement
/// after 10 s.
const LOCK_SECONDS: u32 = 5;

struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
    oldest_program: i32,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "resource",
        sql: include_str!("migrations/0001_resource.sql"),
        oldest_program: 1,
    },
    // Programs before it would import a user with the id of a deleted one.
    Migration {
        version: 2,
        name: "users",
        sql: include_str!("migrations/0002_users.sql"),
        oldest_program: 2,
    },
    // Programs before it would change users without an entry of the change log.
    Migration {
        version: 3,
        name: "change log",
        sql: concat!(
            include_str!("migrations/0003_change_log.sql"),
            include_str!("migrations/0003_change_tags.sql"),
            include_str!("migrations/0003_change_users.sql"),
            include_str!("migrations/0003_planned.sql"),
        ),
        oldest_program: 3,
    },
];

const HISTORY: &str = "CREATE TABLE IF NOT EXISTS untag_migration (
    version        integer PRIMARY KEY,
    name           text NOT NULL,
    checksum       text NOT NULL,
    oldest_program integer NOT NULL,
    applied_at     timestamptz NOT NULL DEFAULT now()
)";

/// Not `to_regclass`, which answers from a cache: after a wait for the lock it would not know the table that another has made.
const HAS_HISTORY: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'untag_migration' AND pg_table_is_visible(oid))";

/// What a migration did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The migrations, by version and name, in order.
    pub migrations: Vec<String>,
}

/// Why the schema can't be used or changed.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// Behind this program.
    #[error(
        "the database's schema is at version {found} and this program needs {needed}; run `untag migrate` first"
    )]
    Behind {
        /// The database's version; 0 for none.
        found: i32,
        /// The program's.
        needed: i32,
    },
    /// Ahead of this program, and not compatible with it.
    #[error(
        "the database's schema is at version {found}, which programs before schema version {oldest} can't use, and this \
         one knows version {known}; run a newer untag"
    )]
    Ahead {
        /// The database's version.
        found: i32,
        /// The oldest that works with it.
        oldest: i32,
        /// The program's.
        known: i32,
    },
    /// Not the history that this program has.
    #[error(
        "migration {version} in the database is not the one that this program has (their checksums differ); \
             it was made by another build of untag: use that one"
    )]
    Differs {
        /// The version.
        version: i32,
    },
    /// A table that a migration changes is in use.
    #[error(
        "another transaction has kept a table of the schema for {LOCK_SECONDS} s, and changes would have had to wait behind this \
         one; nothing was changed: run `untag migrate` again when no import, export, dump or vacuum is under way"
    )]
    Locked,
    /// A database that can't be distributed.
    #[error(
        "the database has no extension citus, by which its tables could be distributed; on a Citus cluster, make it by \
         CREATE EXTENSION citus, and name the other nodes by SELECT citus_add_node(host, port)"
    )]
    NoCitus,
    /// The database.
    #[error("cannot read or change the schema: {0}")]
    Database(String),
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return Self::Locked;
        }
        Self::Database(super::error::Failure::from(error).to_string())
    }
}

fn checksum(migration: &Migration) -> String {
    let digest = Sha256::digest(migration.sql);
    digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn newest() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// A migration that the database has had.
struct Past {
    version: i32,
    checksum: String,
    oldest_program: i32,
}

async fn history(client: &impl tokio_postgres::GenericClient) -> Result<Vec<Past>, MigrateError> {
    let exists = client.query_typed(HAS_HISTORY, &[]).await?;
    if !exists.first().is_some_and(|row| row.get(0)) {
        return Ok(Vec::new());
    }
    let sql = "SELECT version, checksum, oldest_program FROM untag_migration ORDER BY version";
    let rows = client.query_typed(sql, &[]).await?;
    let past = |row: &tokio_postgres::Row| Past {
        version: row.get(0),
        checksum: row.get(1),
        oldest_program: row.get(2),
    };
    Ok(rows.iter().map(past).collect())
}

/// Checks that the past of the database is one that this program knows or can work with, and returns its version.
fn compare(past: &[Past]) -> Result<i32, MigrateError> {
    for migration in MIGRATIONS {
        let found = past.iter().find(|past| past.version == migration.version);
        if found.is_some_and(|past| past.checksum != checksum(migration)) {
            return Err(MigrateError::Differs {
                version: migration.version,
            });
        }
    }
    let Some(last) = past.last() else {
        return Ok(0);
    };
    if last.oldest_program > newest() {
        return Err(MigrateError::Ahead {
            found: last.version,
            oldest: last.oldest_program,
            known: newest(),
        });
    }
    Ok(last.version)
}

/// Refuses a schema that this program can't work with.
pub async fn check(client: &mut Client) -> Result<(), MigrateError> {
    let found = compare(&history(client).await?)?;
    if found < newest() {
        return Err(MigrateError::Behind {
            found,
            needed: newest(),
        });
    }
    Ok(())
}

/// Applies what is missing, in one transaction; a dry run only says what that is.
pub async fn migrate(client: &mut Client, dry_run: bool) -> Result<Applied, MigrateError> {
    // Replicas ask at each start, also while the migration of a newer program holds the lock for long.
    if compare(&history(client).await?)? >= newest() {
        return Ok(Applied::default());
    }
    let transaction = client.transaction().await?;
    // Released with the transaction. Whoever comes second waits for the first, and finds nothing left to do. Tables are not
    // waited for as long.
    let lock = format!(
        "SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK}); \
         SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"
    );
    transaction.batch_execute(&lock).await?;
    let version = compare(&history(&transaction).await?)?;
    let mut applied = Applied::default();
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.version > version)
    {
        let Migration {
            version,
            name,
            sql,
            oldest_program,
        } = migration;
        applied.migrations.push(format!("{version} {name}"));
        if dry_run {
            continue;
        }
        let record = format!(
            "{HISTORY}; {sql}; INSERT INTO untag_migration (version, name, checksum, oldest_program) \
             VALUES ({version}, '{name}', '{}', {oldest_program})",
            checksum(migration)
        );
        transaction.batch_execute(&record).await?;
    }
    transaction.commit().await?;
    Ok(applied)
}

/// The SQL of all migrations.
#[cfg(test)]
pub fn all_sql() -> String {
    MIGRATIONS.iter().map(|migration| migration.sql).collect()
}
