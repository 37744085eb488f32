//! The migrations of the schema, in order: the first makes it in an empty file, and each of the others makes a version of the one
//! before.
//!
//! A file keeps the text of its tables as it stands here, so that a migration is never edited once it is released.

use std::time::Instant;

use rusqlite::{Connection, TransactionBehavior};

/// A migration, which leads to a version of the schema.
#[derive(Debug)]
pub struct Migration {
    /// The version.
    pub version: i32,
    /// What it is about, as `untag migrate` names it.
    pub name: &'static str,
    sql: &'static str,
}

/// The application id of our files, "untg", which tells them from those of other programs.
pub const APPLICATION_ID: i32 = 0x756e_7467;

/// One resource is one row, which tombstones name by its number. Every key begins with the account. A row of `removal` has the
/// tombstones of a commit.
const RESOURCE: Migration = Migration {
    version: 2,
    name: "resource",
    sql: "
    CREATE TABLE resource (
        number         INTEGER PRIMARY KEY,
        account_id     TEXT NOT NULL,
        resource_type  TEXT NOT NULL,
        resource_id    TEXT NOT NULL,
        principal_name TEXT NOT NULL COLLATE NOCASE,
        tags           BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX resource_by_id
        ON resource (account_id, resource_type, resource_id);
    CREATE UNIQUE INDEX resource_by_principal_name
        ON resource (account_id, resource_type, principal_name);
    CREATE TABLE removal (
        sequence INTEGER PRIMARY KEY,
        notes    BLOB NOT NULL
    ) STRICT;
",
};

/// Users come and go. A deleted user keeps the number of its row, and the one row of `state` has the number that no row has had, where
/// more were given than the tables still show. Times are milliseconds since 1970, and NULL where nobody knows them.
///
/// Columns at the end of a table change its text alone. `ALTER TABLE ADD COLUMN` writes the same text, but then reads the whole of a
/// strict table, once for each column.
const DELETED_USER: Migration = Migration {
    version: 3,
    name: "deleted_user",
    sql: "
    ALTER TABLE removal RENAME TO tombstone;
    ALTER TABLE tombstone RENAME COLUMN notes TO tombstones;
    PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = 'CREATE TABLE resource (
        number         INTEGER PRIMARY KEY,
        account_id     TEXT NOT NULL,
        resource_type  TEXT NOT NULL,
        resource_id    TEXT NOT NULL,
        principal_name TEXT NOT NULL COLLATE NOCASE,
        tags           BLOB NOT NULL,
        display_name   TEXT,
        comments       TEXT,
        create_time    INTEGER,
        update_time    INTEGER
    ) STRICT' WHERE type = 'table' AND name = 'resource';
    PRAGMA writable_schema = RESET;
    CREATE TABLE deleted_user (
        number         INTEGER PRIMARY KEY,
        account_id     TEXT NOT NULL,
        resource_type  TEXT NOT NULL,
        resource_id    TEXT NOT NULL,
        principal_name TEXT NOT NULL COLLATE NOCASE,
        tags           BLOB NOT NULL,
        display_name   TEXT,
        comments       TEXT,
        create_time    INTEGER,
        update_time    INTEGER,
        delete_time    INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX deleted_user_by_id
        ON deleted_user (account_id, resource_type, resource_id);
    CREATE INDEX deleted_user_by_delete_time
        ON deleted_user (delete_time);
    CREATE TABLE state (
        id          INTEGER PRIMARY KEY CHECK (id = 1),
        next_number INTEGER
    ) STRICT;
    INSERT INTO state (id) VALUES (1);
",
};

/// The change log: `change_log` has a row for each commit that has changed something, whose entries `log_entry.rs` reads. `total` is
/// how many bytes the log has ever taken up to that row, with all that belongs to it. The other tables find entries: those of
/// an account by its revision (`change_position`, `change_expired`), and by request and user in sorted runs (`change_run`,
/// `change_key`). `removed_tags` has the removed tags that a row had when it was rewritten. The history's id
/// is made of 16 random bytes.
const CHANGE_LOG: Migration = Migration {
    version: 4,
    name: "change_log",
    sql: "
    CREATE TABLE change_log (
        sequence INTEGER PRIMARY KEY,
        time     INTEGER NOT NULL,
        total    INTEGER NOT NULL,
        entries  BLOB NOT NULL
    ) STRICT;
    CREATE TABLE change_position (
        account_id TEXT NOT NULL,
        revision   INTEGER NOT NULL,
        sequence   INTEGER NOT NULL,
        PRIMARY KEY (account_id, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE change_expired (
        account_id TEXT PRIMARY KEY,
        revision   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE change_run (
        last_sequence  INTEGER PRIMARY KEY,
        first_sequence INTEGER NOT NULL,
        low_stamp      INTEGER NOT NULL,
        high_stamp     INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE change_key (
        kind  INTEGER NOT NULL,
        run   INTEGER NOT NULL,
        first BLOB NOT NULL,
        keys  BLOB NOT NULL,
        PRIMARY KEY (kind, run, first)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE removed_tags (
        number      INTEGER NOT NULL,
        sequence    INTEGER NOT NULL,
        resource_id TEXT NOT NULL,
        positions   INTEGER NOT NULL,
        tags        BLOB NOT NULL,
        PRIMARY KEY (number, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX removed_tags_by_sequence ON removed_tags (sequence);
    CREATE TABLE client_token (
        key         BLOB PRIMARY KEY,
        time        INTEGER NOT NULL,
        fingerprint BLOB NOT NULL,
        request_id  BLOB NOT NULL,
        revision    INTEGER,
        resources   INTEGER NOT NULL,
        changed     INTEGER NOT NULL,
        tags        INTEGER NOT NULL,
        mismatches  BLOB,
        users       BLOB
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX client_token_by_time ON client_token (time);
    ALTER TABLE state ADD COLUMN history_id BLOB;
    UPDATE state SET history_id = randomblob(16);
",
};

/// The sequence up to which the entries of the change log have their lines in the audit. NULL where no audit is kept.
const AUDIT_POSITION: Migration = Migration {
    version: 5,
    name: "audit_position",
    sql: "ALTER TABLE state ADD COLUMN audited INTEGER;",
};

const MIGRATIONS: &[Migration] = &[RESOURCE, DELETED_USER, CHANGE_LOG, AUDIT_POSITION];

/// The oldest version of the schema that can be migrated, and the version of this program.
pub const OLDEST: i32 = MIGRATIONS[0].version;
pub const NEWEST: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// The migrations that a file of this version lacks.
pub fn missing(version: i32) -> &'static [Migration] {
    let behind = MIGRATIONS.partition_point(|migration| migration.version <= version);
    &MIGRATIONS[behind..]
}

/// Makes the schema in an empty file, all of it in one transaction.
pub fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in MIGRATIONS {
        transaction.execute_batch(migration.sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", NEWEST)?;
    transaction.commit()
}

/// Applies migrations to the file, each in a transaction of its own: a crash leaves one version or the next, and whoever opens
/// the file then goes on from there.
pub fn apply(connection: &mut Connection, migrations: &[Migration]) -> rusqlite::Result<()> {
    for Migration { version, name, sql } in migrations {
        tracing::info!(version, name, "migrating the store");
        let begun = Instant::now();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(
            from = before,
            to = version,
            seconds,
            "the store is migrated"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i32 {
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        version.unwrap()
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before_and_is_made_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, MIGRATIONS).unwrap();
        let next = |sql| Migration {
            version: NEWEST + 1,
            name: "next",
            sql,
        };
        let last = Migration {
            version: NEWEST + 2,
            name: "last",
            sql: "CREATE TABLE last (a)",
        };
        let broken = next("CREATE TABLE next (a); CREATE TABLE state (a)");
        let failed = apply(&mut connection, &[broken, last]);
        assert!(failed.is_err(), "state is there already");
        assert_eq!(version(&connection), NEWEST);
        apply(&mut connection, &[next("CREATE TABLE next (a)")]).unwrap();
        assert_eq!(version(&connection), NEWEST + 1);
    }

    #[test]
    fn versions_follow_each_other() {
        let versions: Vec<_> = MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .collect();
        assert_eq!(versions, (OLDEST..=NEWEST).collect::<Vec<_>>());
        assert!(missing(NEWEST).is_empty());
        assert_eq!(missing(OLDEST).len(), MIGRATIONS.len() - 1);
    }
}
