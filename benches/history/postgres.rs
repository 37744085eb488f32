//! A history in PostgreSQL, made by one statement: entries as untags of one key have them.

use std::path::Path;
use std::time::{Duration, Instant};

use untag::domain::RequestId;
use untag::store::AuditUse;
use untag::store::postgres::{ConnectionString, Options, PostgresStore};

use crate::cluster::{Cluster, Database, Durability};
use crate::direct::{ACCOUNT, Outcome, id};
use crate::{BUSY, BUSY_ONE_OF, EVERYTHING, LOOKUPS, look};

/// A multiple of `BUSY_ONE_OF`: so a user is always busy or never.
const USERS: u64 = 100_000;

pub async fn measure(entries: u64, directory: &Path) -> Outcome<()> {
    let cluster = Cluster::start_in(directory, Durability::None, "max_wal_size = 8GB");
    let database = cluster.database();
    let connection = ConnectionString::parse(&database.url(), None)?;
    PostgresStore::migrate(&connection, false).await?;
    let started = Instant::now();
    fill(&database, entries);
    let bytes: u64 = database
        .sql("SELECT pg_total_relation_size('change')")
        .parse()?;
    println!(
        "postgres: {entries} entries of {USERS} users in {:.0} s; table and indexes have {} MiB, {} bytes an entry",
        started.elapsed().as_secs_f64(),
        bytes >> 20,
        bytes / entries
    );
    let options = Options {
        queue: 64,
        connections: 2,
        reload_interval: Duration::from_secs(10),
        retention: EVERYTHING,
        audit: AuditUse::None,
    };
    let store = PostgresStore::open(&connection, options).await?;
    let sample = format!(
        "SELECT request((random() * {entries})::bigint) FROM generate_series(1, {LOOKUPS})"
    );
    let requests = database.sql(&sample);
    let requests: Option<Vec<_>> = requests.lines().map(RequestId::parse).collect();
    look("postgres", &store, &requests.ok_or("RequestIds")?, USERS).await
}

/// Entry n is of user n modulo `USERS`, or of a busy one, and names the one before of the same user.
fn fill(database: &Database, entries: u64) {
    let (first, first_busy) = (id(0), id(USERS));
    let step = BUSY * BUSY_ONE_OF;
    for statement in [
        // A UUIDv7 of a time that goes on, and with a rest that looks random.
        "CREATE FUNCTION request(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
            SELECT (lpad(to_hex(1796000000000 + greatest(n, 1) * 10), 12, '0') || '7' || left(m, 3) || '8' || right(m, 15))::uuid
            FROM md5(greatest(n, 1)::text) AS m
         $$"
        .to_owned(),
        format!("INSERT INTO account VALUES ('{ACCOUNT}', 1796000000000)"),
        format!(
            "INSERT INTO change (account_id, revision, total, request_id, at, caller, source_ip, action, users, prevs, keys, removed, is_secure)
             SELECT '{ACCOUNT}', n, n * 260, request(n), 1796000000000 + n * 10, 'anonymous', '10.0.0.1', 'ram:UntagResources',
                ARRAY[CASE WHEN b THEN ({first_busy} + n / {BUSY_ONE_OF} % {BUSY})::text ELSE ({first} + n % {USERS})::text END],
                ARRAY[CASE WHEN n > s THEN request(n - s) END], ARRAY['k' || lpad((n / {USERS} % 20)::text, 2, '0')],
                ARRAY[ARRAY['value of k' || lpad((n / {USERS} % 20)::text, 2, '0')]], false
             FROM (SELECT n, b, CASE WHEN b THEN {step} ELSE {USERS} END AS s
                FROM (SELECT n, n % {BUSY_ONE_OF} = {BUSY_ONE_OF} - 1 AS b FROM generate_series(1::bigint, {entries}) n) n) n"
        ),
        format!(
            "INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags, last_change)
             SELECT '{ACCOUNT}', 'user', ({first_busy} + u)::text, 'busy-' || u || '@example.onaliyun.com', '{{}}',
                (SELECT request(max(n)) FROM generate_series({entries} - {step} + 1, {entries}) n
                 WHERE n % {BUSY_ONE_OF} = {BUSY_ONE_OF} - 1 AND n / {BUSY_ONE_OF} % {BUSY} = u)
             FROM generate_series(0, {BUSY} - 1) u"
        ),
        "VACUUM (ANALYZE)".to_owned(),
    ] {
        database.sql(&statement);
    }
}
