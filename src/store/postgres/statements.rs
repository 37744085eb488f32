//! The SQL. Each change is one call of a function in one round trip, with the account in every predicate; untags share one.
//!
//! A change by itself locks its targets in order of id, so that overlapping requests wait for each other and never
//! deadlock; untags that share a call wait for no row. Behind the rows the account is locked, and so the change log is in the order of
//! commits. A target that is missing at first and there behind that lock fails the change, which is sent again.

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

pub const FIND_BY_ID: &str = find!("resource_id");
pub const FIND_BY_NAME: &str = find!("lower(principal_name)");

/// The columns of `untag_answer`.
macro_rules! answer {
    () => {
        "SELECT command, found, too_many, matched, changed, tags, revision, repeats::text, mismatch, others FROM "
    };
}

/// `$1` the account, `$2` whether the targets are ids, `$3` the targets, `$4` the number of each target's command, `$5` the keys of each
/// command as an array in text, or NULL for every tag, `$6` the round of each command, and from `$7` on the origins. Returns one row,
/// as `untag_remove_shared` says.
pub const REMOVE_SHARED: &str = "SELECT left_out, numbers, changed, tags, newest FROM untag_remove_shared($1, $2, $3, $4, $5, $6, \
    ROW($7::text[]::uuid[], $8, $9, $10, $11, $12, $13, $14, $15, $16::text::uuid)::untag_origins)";

/// `$1` the account, `$2` whether the targets are ids, `$3` whether missing targets are skipped, `$4` the targets, `$5` the keys as an
/// array in text, or NULL for every tag, `$6` the keys and `$7` the values that are expected, `$8` whether tags with another value are
/// skipped, `$9` the number of the try, and from `$10` on the origin.
pub const REMOVE_ALONE: &str = concat!(
    answer!(),
    "untag_remove_alone($1, $2, $3, $4, $5, $6, $7, $8, $9, ",
    "ROW($10::text::uuid, $11, $12, $13, $14, $15, $16, $17, $18, $19::text::uuid)::untag_origin)"
);

/// `$1` the account, `$2` whether the targets are ids, `$3` the targets, `$4` the tags as a JSON object, `$5` how many a user may
/// have, `$6` the number of the try, and from `$7` on the origin.
pub const SET_TAGS: &str = concat!(
    answer!(),
    "untag_set_tags($1, $2, $3, $4::jsonb, $5, $6, ",
    "ROW($7::text::uuid, $8, $9, $10, $11, $12, $13, $14, $15, $16::text::uuid)::untag_origin)"
);

/// The effects of an entry of the change log. Its columns, and not the row: that of a shard has a type of its own.
macro_rules! effects {
    ($row:literal) => {
        concat!(
            "untag_effects(",
            $row,
            ".effects, ",
            $row,
            ".users, ",
            $row,
            ".prevs, ",
            $row,
            ".keys, ",
            $row,
            ".removed)::text"
        )
    };
}

/// The columns of an entry of the change log, a row `c`.
macro_rules! entry {
    () => {
        concat!(
            "SELECT revision, request_id::text, at, caller, source_ip, action, client_token, ",
            effects!("c"),
            " FROM "
        )
    };
}

/// `$1` the account, `$2` the time, `$3` the newest time of a deletion that has expired, `$4` the plan and `$5` what is kept of its
/// answer, `$6` the number of the try, and from `$7` on the origin. Returns what `untag_make_planned` says.
pub const MAKE_PLANNED: &str = "SELECT outcome, revision, changed, tags, repeats::text, kept FROM untag_make_planned($1, $2, $3, $4::jsonb, $5, $6, \
    ROW($7::text::uuid, $8, $9, $10, $11, $12, $13, $14, $15, $16::text::uuid)::untag_origin)";

/// `$1` the account, `$2` the RequestId, `$3` the number of the try, `$4` the time. Returns the entry, if there is one.
pub const FIND_OUT: &str = concat!(entry!(), "untag_find_out($1, $2::text::uuid, $3, $4) c");

/// `$1` the account, `$2` the RequestId.
pub const CHANGE_BY_REQUEST_ID: &str = concat!(
    entry!(),
    "change c WHERE account_id = $1 AND request_id = $2::text::uuid"
);

/// `$1` the account, `$2` the revision.
pub const CHANGE_BY_REVISION: &str =
    concat!(entry!(), "change c WHERE account_id = $1 AND revision = $2");

/// The entries that a function returns, until those before have enough effects, with these columns last.
macro_rules! page_of {
    ($function:literal) => {
        page_of!($function, effects!("(p.c)"))
    };
    ($function:literal, $effects:expr) => {
        concat!(
            "SELECT (p.c).revision, (p.c).request_id::text, (p.c).at, (p.c).caller, (p.c).source_ip, (p.c).action, \
             (p.c).client_token, ",
            $effects,
            " FROM (SELECT c, row_number() OVER () AS number, \
             sum(coalesce(cardinality(c.users), jsonb_array_length(c.effects))) \
             OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM ",
            $function,
            " c) p WHERE coalesce(p.before, 0) < $5 ORDER BY p.number"
        )
    };
}

/// `$1` the account, `$2` the first revision, `$3` whether to go backwards, `$4` how many, `$5` how many effects are enough.
pub const CHANGES: &str = page_of!("untag_changes($1, $2, $3, $4)");

/// As `CHANGES`. `$6` the id of a user.
pub const CHANGES_OF_USER: &str = page_of!("untag_changes_of_user($1, $2, $3, $4, $6)");

/// As `CHANGES`. `$6` a replica: the entries of others have no effects. Then whether the request was secure, and the caller's name of it.
pub const UNAUDITED: &str = page_of!(
    "untag_changes($1, $2, $3, $4)",
    concat!(
        "CASE WHEN (p.c).replica = $6::text::uuid THEN ",
        effects!("(p.c)"),
        " END, (p.c).is_secure, (p.c).client_request_id"
    )
);

/// `$1` a replica. Returns the ids of those that are gone and that it has taken on.
pub const MEET_REPLICAS: &str = "SELECT untag_meet_replicas($1::text::uuid)::text[]";

/// `$1` a replica. Returns whether it owed no lines, and is forgotten.
pub const FORGET_REPLICA: &str = "SELECT untag_forget_replica($1::text::uuid)";

/// `$1` replicas. Returns where they may owe lines: replica, account, the history and the revision of the last line, and the newest one.
pub const OWED: &str = "SELECT p.replica::text, p.account_id, p.history_id::text, p.revision, n.revision FROM audit_position p \
    CROSS JOIN LATERAL (SELECT max(c.revision) AS revision FROM change c WHERE c.account_id = p.account_id) n \
    WHERE p.replica = ANY ($1::text[]::uuid[]) AND n.revision > p.revision";

/// `$1` the account, `$2` the replica. Returns the history and the revision of its last line.
pub const AUDIT_POSITION: &str = "SELECT history_id::text, revision FROM audit_position WHERE account_id = $1 AND replica = $2::text::uuid";

/// `$1` replicas, `$2` accounts, `$3` the histories and `$4` the revisions of the last lines.
pub const SAVE_POSITIONS: &str = "UPDATE audit_position p SET revision = t.revision \
    FROM unnest($1::text[]::uuid[], $2::text[], $3::text[]::uuid[], $4::bigint[]) AS t (replica, account_id, history_id, revision) \
    WHERE p.account_id = t.account_id AND p.replica = t.replica AND p.history_id = t.history_id";

/// `$1` the account. Returns the history's id, the newest and the oldest revision.
pub const HISTORY: &str = "SELECT history_id::text, newest, oldest FROM history, untag_extent($1)";

/// `$1` the account, `$2` the id to start with, `$3` how many rows to look at, `$4` keys and `$5` keys with values that a
/// resource has to carry, `$6` how many of those to return. Returns the number of each among those that were looked at, its
/// id and its tags. The last one that may be looked at is returned in any case, as the place to go on from, and so is one
/// that is damaged.
pub const SCAN: &str = "SELECT number, resource_id, tags::text FROM (\
    SELECT row_number() OVER (ORDER BY resource_id) AS number, resource_id, tags FROM resource \
    WHERE account_id = $1 AND resource_type = 'user' AND resource_id >= $2 ORDER BY resource_id LIMIT $3) scanned \
    WHERE number = $3 OR jsonb_typeof(tags) <> 'object' OR (tags <> '{}' AND tags ?& $4 AND tags @> $5::jsonb) \
    ORDER BY resource_id LIMIT $6";

/// Counts what a query finds in the tags of the users that were looked at, which has the columns `number` of a user and `text`.
/// `$1` the account, `$2` the id behind which the list goes on, `$3` how many users to look at and one more, `$4` how many
/// different texts end the page. Returns each text with how many users have it, and, where the list goes on, the id behind which.
macro_rules! count {
    ($tags:literal) => {
        concat!(
            "WITH looked AS MATERIALIZED (\
             SELECT row_number() OVER (ORDER BY resource_id) AS number, resource_id, tags FROM resource \
             WHERE account_id = $1 AND resource_type = 'user' AND resource_id > $2 ORDER BY resource_id LIMIT $3), \
             tag AS MATERIALIZED (",
            $tags,
            "), filled AS (SELECT min(number) AS number FROM tag GROUP BY text ORDER BY number OFFSET $4 - 1 LIMIT 1), \
             last AS (SELECT least((SELECT number FROM filled), $3 - 1) AS number) \
             SELECT text, count(*), NULL FROM tag, last WHERE tag.number <= last.number GROUP BY text \
             UNION ALL SELECT NULL, 0, resource_id FROM looked, last WHERE looked.number = last.number \
             AND EXISTS (SELECT FROM looked behind WHERE behind.number > last.number)"
        )
    };
}

pub const COUNT_KEYS: &str =
    count!("SELECT number, key AS text FROM looked, jsonb_object_keys(tags) key");

/// As `COUNT_KEYS`. `$5` the key.
pub const COUNT_VALUES: &str =
    count!("SELECT number, tags ->> $5 AS text FROM looked WHERE tags ? $5");

/// `$1` the account, `$2` the time of the changes, `$3` the newest time of a deletion that has expired then, `$4` the changes as
/// a JSON array of `untag_user_change`, `$5` the number of the try, and from `$6` on the origin. Returns what `untag_change_users`
/// says.
pub const CHANGE_USERS: &str = "SELECT * FROM untag_change_users($1, $2, $3, $4::jsonb, $5, \
    ROW($6::text::uuid, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::uuid)::untag_origin) ORDER BY number";

/// `$1` the time, `$2` the age and `$3` the bytes that the change log may have, `$4` how many entries may go, `$5` how many client
/// tokens there may be, `$6` the milliseconds between two looks. Returns whether there may be more to do.
pub const COMPACT: &str = "SELECT is_more FROM untag_compact($1, $2, $3, $4, $5, $6)";

/// The columns of a user, with its tags in this form.
macro_rules! user {
    ($tags:literal) => {
        concat!(
            "resource_id, principal_name, ",
            $tags,
            ", display_name, comments, create_time, update_time, "
        )
    };
}

/// A read of users that are there.
macro_rules! users {
    ($tags:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            user!($tags),
            "NULL::bigint AS delete_time FROM resource WHERE account_id = $1 AND resource_type = 'user' AND ",
            $condition
        )
    };
}

/// A read of deleted users.
macro_rules! deleted_users {
    ($tags:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            user!($tags),
            "delete_time FROM deleted_user WHERE account_id = $1 AND resource_type = 'user' AND ",
            $condition
        )
    };
}

/// `$1` the account, `$2` the id, `$3` the newest time of a deletion that has expired.
pub const GET_USER_BY_ID: &str = concat!(
    users!("tags::text", "resource_id = $2"),
    " UNION ALL ",
    deleted_users!("tags::text", "resource_id = $2 AND delete_time > $3")
);

/// `$1` the account, `$2` the name in lower case.
pub const GET_USER_BY_NAME: &str = users!("tags::text", "lower(principal_name) = $2");

/// What a list of users returns of these: those that match, each with its number among those that were looked at. As in `SCAN`, the
/// last one that may be looked at is returned in any case, and so is one that is damaged.
macro_rules! matching_users {
    ($users:expr) => {
        concat!(
            "SELECT ",
            user!("tags::text"),
            "delete_time, number FROM (SELECT *, row_number() OVER (ORDER BY resource_id) AS number FROM (",
            $users,
            ") listed) scanned WHERE number = $3 OR jsonb_typeof(tags) <> 'object' OR (\
             starts_with(lower(principal_name), $5) AND tags ?& $6 AND tags @> $7::jsonb AND (NOT $8 OR tags = '{}')) \
             ORDER BY resource_id LIMIT $4"
        )
    };
}

/// `$1` the account, `$2` the id behind which the list goes on, `$3` how many users to look at, `$4` how many to return that match:
/// `$5` the beginning of the name in lower case, `$6` keys and `$7` keys with values that a user has to carry, `$8` whether it
/// may carry none.
pub const LIST_USERS: &str = matching_users!(users!(
    "tags",
    "resource_id > $2 ORDER BY resource_id LIMIT $3"
));

/// As `LIST_USERS`, with deleted users. `$9` the newest time of a deletion that has expired.
pub const LIST_ALL_USERS: &str = matching_users!(concat!(
    "(",
    users!("tags", "resource_id > $2 ORDER BY resource_id LIMIT $3"),
    ") UNION ALL (",
    deleted_users!(
        "tags",
        "resource_id > $2 AND delete_time > $9 ORDER BY resource_id LIMIT $3"
    ),
    ") ORDER BY resource_id LIMIT $3"
));

/// Whether this server takes changes.
pub const CHECK: &str =
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool";

/// The encoding of the database.
pub const ENCODING: &str = "SELECT current_setting('server_encoding')";

/// A read of users in a state, from a table.
macro_rules! present {
    ($state:literal, $table:literal, $delete_time:literal) => {
        concat!(
            "SELECT '",
            $state,
            "', ",
            user!("tags::text"),
            $delete_time,
            ", last_change::text FROM ",
            $table,
            " WHERE account_id = $1 AND resource_type = 'user' AND "
        )
    };
}

/// `$1` the account, `$2` the ids of users, `$3` the newest time of a deletion that has expired, `$4` names in lower case. Returns
/// the users that are there or deleted, and who has the names, each with the request of its last change.
pub const PRESENT_USERS: &str = concat!(
    present!("there", "resource", "NULL::bigint"),
    "resource_id = ANY ($2) UNION ALL ",
    present!("deleted", "deleted_user", "delete_time"),
    "resource_id = ANY ($2) AND delete_time > $3 UNION ALL ",
    present!("holder", "resource", "NULL::bigint"),
    "lower(principal_name) = ANY ($4)"
);
