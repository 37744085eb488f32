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
