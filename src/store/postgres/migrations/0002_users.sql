-- Users come and go. Times are milliseconds since 1970; NULL is one that nobody knows, since the user was imported.
ALTER TABLE resource
    ADD COLUMN display_name text COLLATE "C",
    ADD COLUMN comments     text COLLATE "C",
    ADD COLUMN create_time  bigint,
    ADD COLUMN update_time  bigint;

-- A deleted user is a row here and none in resource: what finds users by id or name finds only those that are there, and a
-- name is free when its user is deleted. The row stays until its user is restored, or has expired and is purged.
CREATE TABLE deleted_user (
    account_id     text COLLATE "C" NOT NULL,
    resource_type  text COLLATE "C" NOT NULL,
    resource_id    text COLLATE "C" NOT NULL,
    principal_name text COLLATE "C" NOT NULL,
    tags           jsonb NOT NULL,
    display_name   text COLLATE "C",
    comments       text COLLATE "C",
    create_time    bigint,
    update_time    bigint,
    delete_time    bigint NOT NULL,
    PRIMARY KEY (account_id, resource_type, resource_id)
);
-- Of an expression, so that no plan that is made while the table is empty takes this index to find a user.
CREATE INDEX deleted_user_by_delete_time ON deleted_user ((account_id || '/' || resource_type), delete_time);

-- A change of a user, and what was there before it. A restore without a name has the old one here.
CREATE TYPE untag_user_change AS (
    number            integer,
    kind              text COLLATE "C",
    id                text COLLATE "C",
    name              text COLLATE "C",
    tags              jsonb,
    edit_display_name boolean,
    display_name      text COLLATE "C",
    edit_comments     boolean,
    comments          text COLLATE "C",
    name_before       text COLLATE "C",
    is_deleted        boolean
);

-- Why these changes are refused, if they are: the first kind of refusal that applies, and the number of each change that it
-- applies to. Names are unique in the state after all of them.
CREATE FUNCTION untag_refuse_user_changes(for_account text, list untag_user_change[])
RETURNS TABLE (refusal text, number integer)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    -- The users whose names are free after the command unless they are given again.
    leaving jsonb;
BEGIN
    RETURN QUERY SELECT 'missing', c.number FROM unnest(list) c
        WHERE c.name_before IS NULL AND (c.kind IN ('update', 'delete') OR (c.kind = 'restore' AND NOT c.is_deleted));
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT 'exists', c.number FROM unnest(list) c
        WHERE (c.kind = 'create' AND c.is_deleted) OR (c.kind IN ('create', 'restore') AND c.name_before IS NOT NULL);
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(jsonb_object_agg(c.id, true), '{}') INTO leaving FROM unnest(list) c
        WHERE c.kind = 'delete' OR c.name IS NOT NULL;
    RETURN QUERY SELECT 'name', g.number FROM (
            SELECT c.number, c.id, lower(c.name) AS folded, count(*) OVER (PARTITION BY lower(c.name)) AS givers
            FROM unnest(list) c WHERE c.name IS NOT NULL
        ) g
        WHERE g.givers > 1 OR EXISTS (
            SELECT FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND lower(r.principal_name) = g.folded
            AND r.resource_id <> g.id AND NOT leaving ? r.resource_id
        );
END
$$;

-- Makes changes that are not refused, in an order in which each name is free when it is given.
CREATE FUNCTION untag_apply_user_changes(for_account text, at bigint, list untag_user_change[])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    given    jsonb;
    restored jsonb;
BEGIN
    -- In order of id, as changes of tags lock them.
    PERFORM FROM resource r
    WHERE r.account_id = for_account AND r.resource_type = 'user'
    AND r.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind IN ('update', 'delete')))
    ORDER BY r.resource_id FOR UPDATE;

    WITH gone AS (
        DELETE FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user'
        AND r.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind = 'delete'))
        RETURNING r.*
    )
    INSERT INTO deleted_user (account_id, resource_type, resource_id, principal_name, tags, display_name, comments,
        create_time, update_time, delete_time)
    SELECT g.account_id, g.resource_type, g.resource_id, g.principal_name, g.tags, g.display_name, g.comments,
        g.create_time, g.update_time, at FROM gone g;

    -- Who gives up a name for another user has a placeholder first, since names are unique at each moment: a name has no space.
    SELECT coalesce(jsonb_object_agg(lower(c.name), true), '{}') INTO given FROM unnest(list) c WHERE c.name IS NOT NULL;
    UPDATE resource r SET principal_name = ' ' || r.resource_id
    FROM unnest(list) c
    WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id
    AND c.kind = 'update' AND lower(c.name) <> lower(c.name_before) AND given ? lower(c.name_before);

    UPDATE resource r SET
        principal_name = coalesce(c.name, r.principal_name),
        display_name = CASE WHEN c.edit_display_name THEN c.display_name ELSE r.display_name END,
        comments = CASE WHEN c.edit_comments THEN c.comments ELSE r.comments END,
        update_time = at
    FROM unnest(list) c
    WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id AND c.kind = 'update'
    AND (c.name <> r.principal_name OR (c.edit_display_name AND c.display_name IS DISTINCT FROM r.display_name)
        OR (c.edit_comments AND c.comments IS DISTINCT FROM r.comments));

    -- What is in the way of a new user has expired and was not purged yet.
    DELETE FROM deleted_user d
    WHERE d.account_id = for_account AND d.resource_type = 'user'
    AND d.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind = 'create'));
    INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags, display_name, comments,
        create_time, update_time)
    SELECT for_account, 'user', c.id, c.name, c.tags, c.display_name, c.comments, at, at
    FROM unnest(list) c WHERE c.kind = 'create';

    SELECT jsonb_object_agg(c.id, c.name) INTO restored FROM unnest(list) c WHERE c.kind = 'restore';
    WITH back AS (
        DELETE FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user'
        AND d.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind = 'restore'))
        RETURNING d.*
    )
    INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags, display_name, comments,
        create_time, update_time)
    SELECT b.account_id, b.resource_type, b.resource_id, restored ->> b.resource_id, b.tags, b.display_name, b.comments,
        b.create_time, at
    FROM back b;
END
$$;

-- Makes all changes, or answers why it makes none: the kind of refusal and the number of a change in each row. Else each row is
-- a user as it is then, with the number of its change. What was deleted at `expired` or before is gone for good.
CREATE FUNCTION untag_change_users(for_account text, at bigint, expired bigint, changes jsonb)
RETURNS TABLE (
    number integer, refusal text, resource_id text, principal_name text, tags text, display_name text, comments text,
    create_time bigint, update_time bigint, delete_time bigint
)
LANGUAGE plpgsql
-- No plan reads a table from end to end, also one that is made while it is empty, and kept until there are statistics. OFFSET 0
-- keeps a search by id from becoming a join, for which such a plan reads all users of the account for each.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    list untag_user_change[];
BEGIN
    -- Changes of users of one account come one after another, and beside no import: what is read here stays true. Only tags
    -- change meanwhile. Each statement sees what was committed before it began.
    PERFORM pg_advisory_xact_lock_shared(8461828711567422835);
    PERFORM pg_advisory_xact_lock(hashtextextended(for_account, 8461828711567422835));

    SELECT array_agg(ROW(
            c.number, c.kind, c.id, CASE WHEN c.kind = 'restore' THEN coalesce(c.name, d.principal_name) ELSE c.name END, c.tags,
            c.edit_display_name, c.display_name, c.edit_comments, c.comments, r.principal_name, d.resource_id IS NOT NULL
        )::untag_user_change ORDER BY c.number) INTO list
    FROM jsonb_populate_recordset(NULL::untag_user_change, changes) c
    LEFT JOIN LATERAL (
        SELECT * FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id OFFSET 0
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT * FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = c.id AND d.delete_time > expired OFFSET 0
    ) d ON true;
    RETURN QUERY SELECT f.number, f.refusal, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
        NULL::bigint, NULL::bigint, NULL::bigint FROM untag_refuse_user_changes(for_account, list) f;
    IF FOUND THEN
        RETURN;
    END IF;
    PERFORM untag_apply_user_changes(for_account, at, list);

    -- As many as one command can delete, so that the table does not grow with them.
    DELETE FROM deleted_user d
    WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = ANY (ARRAY(
        SELECT e.resource_id FROM deleted_user e
        WHERE e.account_id || '/' || e.resource_type = for_account || '/user' AND e.account_id = for_account
        AND e.delete_time <= expired
        ORDER BY e.delete_time LIMIT 1000
    ));

    RETURN QUERY SELECT c.number, NULL::text, c.id, coalesce(r.principal_name, d.principal_name), coalesce(r.tags, d.tags)::text,
        coalesce(r.display_name, d.display_name), coalesce(r.comments, d.comments),
        coalesce(r.create_time, d.create_time), coalesce(r.update_time, d.update_time), d.delete_time
    FROM unnest(list) c
    LEFT JOIN LATERAL (
        SELECT * FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id OFFSET 0
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT * FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = c.id OFFSET 0
    ) d ON true;
END
$$;

-- Fails a change of tags that has found `expected` of the users with these ids, or lower-case names, where there are more by now:
-- the statement began before they came, and then waited for a lock. Sent again it finds them.
CREATE FUNCTION untag_expect_users(for_account text, names text[], expected bigint, are_ids boolean)
RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    present bigint;
BEGIN
    IF are_ids THEN
        SELECT count(*) INTO present FROM resource
        WHERE account_id = for_account AND resource_type = 'user' AND resource_id = ANY (names);
    ELSE
        SELECT count(*) INTO present FROM resource
        WHERE account_id = for_account AND resource_type = 'user' AND lower(principal_name) = ANY (names);
    END IF;
    IF present > expected THEN
        RAISE EXCEPTION 'users have come while the change waited' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN present;
END
$$;
