//! The SQL. Each change is one statement in one round trip, with the account in every predicate; untags share one.
//!
//! A change by itself locks its targets in order of id, so that overlapping requests wait for each other and never
//! deadlock; untags that share a statement wait for no row. Only rows that really change are updated. What a change
//! depends on it reads from the locked rows: the table itself is read in READ COMMITTED as it was when the statement
//! began, which may be before a change that the lock waited for. So a user that was deleted meanwhile, or has another name now,
//! is not among the locked rows; one that has come meanwhile, or got the name, is not either, and then the change is sent again.

/// Starts a change: the targets that exist, locked. `$1` the account, `$2` the ids or lower-case names, `$key` the
/// expression that they are compared with.
macro_rules! locked {
    ($key:literal, $how:literal) => {
        concat!(
            "WITH locked AS MATERIALIZED (SELECT resource_id, ",
            $key,
            " AS key, tags FROM resource WHERE account_id = $1 AND resource_type = 'user' AND ",
            $key,
            " = ANY ($2) ",
            $how,
            ")"
        )
    };
}

/// The column of a change that waits for locks which fails it where a target that it has not found is there by now. `$are_ids`
/// whether the targets are ids.
macro_rules! late {
    ($are_ids:literal) => {
        concat!(
            "CASE WHEN (SELECT count(*) FROM locked) < cardinality($2) ",
            "THEN untag_expect_users($1, $2, (SELECT count(*) FROM locked), ",
            $are_ids,
            ") END"
        )
    };
}

/// The row of a locked target.
macro_rules! row {
    () => {
        "r.account_id = $1 AND r.resource_type = 'user' AND r.resource_id = l.resource_id"
    };
}

/// `$3` whether missing targets are skipped, `$4` the keys. Returns the keys of the targets found, and how many tags go.
/// That count reads the tags as an object, and so fails the change where they are something else: `?|` and `-` would find
/// no key in a text or an array, or remove it from there.
macro_rules! untag_keys {
    ($key:literal, $how:literal, $late:expr) => {
        concat!(
            locked!($key, $how),
            ", changed AS (UPDATE resource r SET tags = l.tags - $4 FROM locked l WHERE ",
            row!(),
            " AND l.tags ?| $4 AND ($3 OR (SELECT count(*) FROM locked) = cardinality($2))) ",
            "SELECT array(SELECT key FROM locked), ",
            "(SELECT count(*) FROM locked l, jsonb_object_keys(l.tags) AS gone WHERE gone = ANY ($4)), ",
            $late
        )
    };
}

/// As `untag_keys`, for every tag and without `$4`.
macro_rules! untag_all {
    ($key:literal, $how:literal, $late:expr) => {
        concat!(
            locked!($key, $how),
            ", changed AS (UPDATE resource r SET tags = '{}' FROM locked l WHERE ",
            row!(),
            " AND l.tags <> '{}' AND ($3 OR (SELECT count(*) FROM locked) = cardinality($2))) ",
            "SELECT array(SELECT key FROM locked), (SELECT count(*) FROM locked l, jsonb_object_keys(l.tags)), ",
            $late
        )
    };
}

/// Many untags at once. `$3` the number of each target's command, `$4` the keys of each command as an array in text, or
/// NULL for every tag. Returns the number of each command that was applied, and how many tags it has removed: where several
/// name a tag, the first of them. The others have changed nothing: a target of theirs is locked by another session, has tags
/// that are no object, or does not exist.
macro_rules! untag_shared {
    ($key:literal) => {
        concat!(
            locked!(
                $key,
                "AND jsonb_typeof(tags) = 'object' FOR UPDATE SKIP LOCKED"
            ),
            ", command AS MATERIALIZED (SELECT number, keys::text[] AS keys ",
            "FROM unnest($4) WITH ORDINALITY AS c (keys, number))",
            ", target AS MATERIALIZED (SELECT t.command, c.keys, l.resource_id, l.tags, ",
            "bool_and(l.key IS NOT NULL) OVER (PARTITION BY t.command) AS whole ",
            "FROM unnest($2, $3) AS t (key, command) JOIN command c ON c.number = t.command ",
            "LEFT JOIN locked l ON l.key = t.key)",
            ", gone AS MATERIALIZED (SELECT DISTINCT ON (resource_id, key) resource_id, key, command ",
            "FROM target, jsonb_object_keys(tags) AS key ",
            "WHERE whole AND (keys IS NULL OR key = ANY (keys)) ORDER BY resource_id, key, command)",
            ", changed AS (UPDATE resource r SET tags = l.tags - g.keys FROM locked l ",
            "JOIN (SELECT resource_id, array_agg(key) AS keys FROM gone GROUP BY resource_id) g ",
            "ON g.resource_id = l.resource_id WHERE ",
            row!(),
            ") SELECT command, count(g.key) FROM (SELECT DISTINCT command FROM target WHERE whole) t ",
            "LEFT JOIN gone g USING (command) GROUP BY command"
        )
    };
}

/// `$3` the tags as a JSON object, `$4` how many a resource may carry. Returns the keys of the targets found, and of those
/// that would carry too many.
macro_rules! tag {
    ($key:literal, $are_ids:literal) => {
        concat!(
            locked!($key, "ORDER BY resource_id FOR UPDATE"),
            ", too_many AS (SELECT key FROM locked ",
            "WHERE (SELECT count(*) FROM jsonb_object_keys(tags || $3::jsonb)) > $4)",
            ", changed AS (UPDATE resource r SET tags = l.tags || $3::jsonb FROM locked l WHERE ",
            row!(),
            " AND l.tags <> l.tags || $3::jsonb AND (SELECT count(*) FROM locked) = cardinality($2)",
            " AND NOT EXISTS (SELECT FROM too_many)) ",
            "SELECT array(SELECT key FROM locked), array(SELECT key FROM too_many), ",
            late!($are_ids)
        )
    };
}

/// `$1` the account, `$2` the ids or lower-case names. Returns key, id and tags of those found.
macro_rules! find {
    ($key:literal) => {
        concat!(
            "SELECT ",
            $key,
            ", resource_id, tags::text FROM resource ",
            "WHERE account_id = $1 AND resource_type = 'user' AND ",
            $key,
            " = ANY ($2)"
        )
    };
}

/// An untag by itself: it waits for rows that are locked, or passes them over as if they were missing.
pub struct Untag {
    pub waiting: &'static str,
    pub passing: &'static str,
}

/// The statements for targets that are named in one way.
pub struct ByTarget {
    pub untag_keys: Untag,
    pub untag_all: Untag,
    pub untag_shared: &'static str,
    pub tag: &'static str,
    pub find: &'static str,
}

/// An untag by itself, in both of its forms.
macro_rules! untag {
    ($statement:ident, $key:literal, $are_ids:literal) => {
        Untag {
            waiting: $statement!($key, "ORDER BY resource_id FOR UPDATE", late!($are_ids)),
            passing: $statement!($key, "FOR UPDATE SKIP LOCKED", "NULL"),
        }
    };
}

macro_rules! by_target {
    ($key:literal, $are_ids:literal) => {
        ByTarget {
            untag_keys: untag!(untag_keys, $key, $are_ids),
            untag_all: untag!(untag_all, $key, $are_ids),
            untag_shared: untag_shared!($key),
            tag: tag!($key, $are_ids),
            find: find!($key),
        }
    };
}

pub const BY_ID: ByTarget = by_target!("resource_id", true);
pub const BY_NAME: ByTarget = by_target!("lower(principal_name)", false);

/// `$1` the account, `$2` the id to start with, `$3` how many rows to look at, `$4` keys and `$5` keys with values that a
/// resource has to carry, `$6` how many of those to return. Returns the number of each among those that were looked at, its
/// id and its tags. The last one that may be looked at is returned in any case, as the place to go on from, and so is one
/// that is damaged.
pub const SCAN: &str = "SELECT number, resource_id, tags::text FROM (\
    SELECT row_number() OVER (ORDER BY resource_id) AS number, resource_id, tags FROM resource \
    WHERE account_id = $1 AND resource_type = 'user' AND resource_id >= $2 ORDER BY resource_id LIMIT $3) scanned \
    WHERE number = $3 OR jsonb_typeof(tags) <> 'object' OR (tags <> '{}' AND tags ?& $4 AND tags @> $5::jsonb) \
    ORDER BY resource_id LIMIT $6";

/// `$1` the account, `$2` the time of the changes, `$3` the newest time of a deletion that has expired then, `$4` the changes as
/// a JSON array of `untag_user_change`. Returns what `untag_change_users` says.
pub const CHANGE_USERS: &str =
    "SELECT * FROM untag_change_users($1, $2, $3, $4::jsonb) ORDER BY number";

/// The columns of a user that is there.
macro_rules! user {
    () => {
        "resource_id, principal_name, tags::text, display_name, comments, create_time, update_time"
    };
}

/// A read of users that are there.
macro_rules! users {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            user!(),
            ", NULL::bigint AS delete_time FROM resource WHERE account_id = $1 AND resource_type = 'user' AND ",
            $condition
        )
    };
}

/// A read of deleted users.
macro_rules! deleted_users {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            user!(),
            ", delete_time FROM deleted_user WHERE account_id = $1 AND resource_type = 'user' AND ",
            $condition
        )
    };
}

/// `$1` the account, `$2` the id, `$3` the newest time of a deletion that has expired.
pub const GET_USER_BY_ID: &str = concat!(
    users!("resource_id = $2"),
    " UNION ALL ",
    deleted_users!("resource_id = $2 AND delete_time > $3")
);

/// `$1` the account, `$2` the name in lower case.
pub const GET_USER_BY_NAME: &str = users!("lower(principal_name) = $2");

/// `$1` the account, `$2` the id behind which the list goes on, `$3` how many.
pub const LIST_USERS: &str = users!("resource_id > $2 ORDER BY resource_id LIMIT $3");

/// As `LIST_USERS`, with deleted users. `$4` the newest time of a deletion that has expired.
pub const LIST_ALL_USERS: &str = concat!(
    "(",
    users!("resource_id > $2 ORDER BY resource_id LIMIT $3"),
    ") UNION ALL (",
    deleted_users!("resource_id > $2 AND delete_time > $4 ORDER BY resource_id LIMIT $3"),
    ") ORDER BY resource_id LIMIT $3"
);

/// Whether this server takes changes.
pub const CHECK: &str =
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool";

/// The encoding of the database.
pub const ENCODING: &str = "SELECT current_setting('server_encoding')";
