-- Changes of users, with an entry of the change log.

-- A user as an effect has it. Not of a row: that of a shard has a type of its own.
CREATE FUNCTION untag_user(name text, tags jsonb, display_name text, comments text, create_time bigint, update_time bigint)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('name', name, 'display_name', display_name, 'comments', comments,
        'create_time', create_time, 'update_time', update_time)) || jsonb_build_object('tags', tags)
$$;

-- Makes changes that are not refused, in an order in which each name is free when it is given. The rows are locked.
CREATE FUNCTION untag_apply_user_changes(for_account text, at bigint, list untag_user_change[], request_id uuid)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    given    jsonb;
    restored jsonb;
BEGIN
    WITH gone AS (
        DELETE FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user'
        AND r.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind = 'delete'))
        RETURNING r.*
    )
    INSERT INTO deleted_user (account_id, resource_type, resource_id, principal_name, tags, display_name, comments,
        create_time, update_time, delete_time, last_change)
    SELECT g.account_id, g.resource_type, g.resource_id, g.principal_name, g.tags, g.display_name, g.comments,
        g.create_time, g.update_time, at, untag_apply_user_changes.request_id FROM gone g;

    -- Who gives up a name for another user has a placeholder first, since names are unique at each moment: a name has no space.
    SELECT coalesce(jsonb_object_agg(lower(c.name), true), '{}') INTO given FROM unnest(list) c WHERE c.name IS NOT NULL;
    -- Without a join: before there are statistics it would compare each user with each change.
    UPDATE resource r SET principal_name = ' ' || r.resource_id
    WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (ARRAY(
        SELECT c.id FROM unnest(list) c
        WHERE c.kind = 'update' AND lower(c.name) <> lower(c.name_before) AND given ? lower(c.name_before)
    ));

    UPDATE resource r SET
        principal_name = coalesce(c.name, r.principal_name),
        display_name = CASE WHEN c.edit_display_name THEN c.display_name ELSE r.display_name END,
        comments = CASE WHEN c.edit_comments THEN c.comments ELSE r.comments END,
        tags = coalesce(c.tags, r.tags),
        update_time = at,
        last_change = untag_apply_user_changes.request_id
    FROM unnest(list) c
    WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id AND c.kind = 'update'
    AND (c.name <> r.principal_name OR (c.edit_display_name AND c.display_name IS DISTINCT FROM r.display_name)
        OR (c.edit_comments AND c.comments IS DISTINCT FROM r.comments));

    -- What is in the way of a new user has expired and was not purged yet.
    DELETE FROM deleted_user d
    WHERE d.account_id = for_account AND d.resource_type = 'user'
    AND d.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind = 'create'));
    INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags, display_name, comments,
        create_time, update_time, last_change)
    SELECT for_account, 'user', c.id, c.name, c.tags, c.display_name, c.comments, at, at, untag_apply_user_changes.request_id
    FROM unnest(list) c WHERE c.kind = 'create';

    SELECT jsonb_object_agg(c.id, c.name) INTO restored FROM unnest(list) c WHERE c.kind = 'restore';
    WITH back AS (
        DELETE FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user'
        AND d.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind = 'restore'))
        RETURNING d.*
    )
    INSERT INTO resource (account_id, resource_type, resource_id, principal_name, tags, display_name, comments,
        create_time, update_time, last_change)
    SELECT b.account_id, b.resource_type, b.resource_id, restored ->> b.resource_id, b.tags, b.display_name, b.comments,
        b.create_time, at, untag_apply_user_changes.request_id
    FROM back b;
END
$$;

-- A user as a change answers with it, and the number of the change.
CREATE TYPE untag_changed_user AS (
    number         integer,
    resource_id    text COLLATE "C",
    principal_name text COLLATE "C",
    tags           jsonb,
    display_name   text COLLATE "C",
    comments       text COLLATE "C",
    create_time    bigint,
    update_time    bigint,
    delete_time    bigint
);

-- The users of changes as they are, as a JSON array of `untag_changed_user`.
CREATE FUNCTION untag_users_of(for_account text, list untag_user_change[])
RETURNS jsonb
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    RETURN (
    SELECT jsonb_agg(to_jsonb(ROW(
            c.number, c.id, coalesce(r.principal_name, d.principal_name), coalesce(r.tags, d.tags),
            coalesce(r.display_name, d.display_name), coalesce(r.comments, d.comments),
            coalesce(r.create_time, d.create_time), coalesce(r.update_time, d.update_time), d.delete_time
        )::untag_changed_user) ORDER BY c.number)
    FROM unnest(list) c
    LEFT JOIN LATERAL (
        SELECT * FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id OFFSET 0
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT * FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = c.id OFFSET 0
    ) d ON true
    );
END
$$;

-- The rows of an answer of `untag_change_users` that has these users.
CREATE FUNCTION untag_answer_with_users(answer untag_answer, users jsonb)
RETURNS TABLE (
    number integer, refusal text, resource_id text, principal_name text, tags text, display_name text, comments text,
    create_time bigint, update_time bigint, delete_time bigint, changed bigint, revision bigint, repeats text
)
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT u.number, NULL::text, u.resource_id, u.principal_name, u.tags::text, u.display_name, u.comments,
        u.create_time, u.update_time, u.delete_time, answer.changed, answer.revision, answer.repeats::text
    FROM jsonb_populate_recordset(NULL::untag_changed_user, users) u
$$;

-- Makes all changes, or answers why it makes none: the kind of refusal and the number of a change in each row. Else each row is
-- a user as it is then, with the number of its change, and how many users were changed, the account's newest revision then, and
-- the request that this one repeats, if it does: then the answer is the one of that request. What was deleted at `expired` or
-- before is gone for good.
CREATE FUNCTION untag_change_users(for_account text, at bigint, expired bigint, changes jsonb, attempt integer, origin untag_origin)
RETURNS TABLE (
    number integer, refusal text, resource_id text, principal_name text, tags text, display_name text, comments text,
    create_time bigint, update_time bigint, delete_time bigint, changed bigint, revision bigint, repeats text
)
LANGUAGE plpgsql
-- No plan reads a table from end to end, also one that is made while it is empty, and kept until there are statistics. OFFSET 0
-- keeps a search by id from becoming a join, for which such a plan reads all users of the account for each.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    list untag_user_change[];
    -- The users before the changes, by id, and what changed each last.
    before jsonb;
    last_changes jsonb;
    effects jsonb;
    answer untag_answer;
    users jsonb;
BEGIN
    IF origin.token IS NOT NULL THEN
        answer := untag_find_answer(for_account, origin);
        IF answer.mismatch THEN
            RETURN QUERY SELECT 0, 'token', NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
                NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::text;
            RETURN;
        ELSIF answer.command IS NOT NULL THEN
            SELECT c.users INTO users FROM client_token c
            WHERE c.account_id = for_account AND c.caller = origin.caller AND c.action = origin.action AND c.token = origin.token;
            RETURN QUERY SELECT * FROM untag_answer_with_users(answer, users);
            RETURN;
        END IF;
    END IF;

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
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::text FROM untag_refuse_user_changes(for_account, list) f;
    IF FOUND THEN
        RETURN;
    END IF;

    -- In order of id, as changes of tags lock them.
    PERFORM FROM resource r
    WHERE r.account_id = for_account AND r.resource_type = 'user'
    AND r.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind IN ('update', 'delete')))
    ORDER BY r.resource_id FOR UPDATE;
    SELECT coalesce(jsonb_object_agg(r.resource_id, untag_user(r.principal_name, r.tags, r.display_name, r.comments, r.create_time, r.update_time)), '{}'), coalesce(jsonb_object_agg(r.resource_id, r.last_change), '{}')
    INTO before, last_changes FROM resource r
    WHERE r.account_id = for_account AND r.resource_type = 'user'
    AND r.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind IN ('update', 'delete')));
    SELECT last_changes || coalesce(jsonb_object_agg(d.resource_id, d.last_change), '{}') INTO last_changes FROM deleted_user d
    WHERE d.account_id = for_account AND d.resource_type = 'user'
    AND d.resource_id = ANY (ARRAY(SELECT c.id FROM unnest(list) c WHERE c.kind = 'restore'));
    PERFORM untag_apply_user_changes(for_account, at, list, origin.request_id);
    SELECT jsonb_agg(jsonb_build_object('id', c.id, 'prev', last_changes -> c.id) || CASE c.kind
            WHEN 'create' THEN jsonb_build_object('created', r.now)
            WHEN 'update' THEN jsonb_build_object('before', before -> c.id, 'after', r.now)
            WHEN 'delete' THEN jsonb_build_object('deleted', before -> c.id)
            ELSE jsonb_build_object('restored', r.now) END ORDER BY c.number) INTO effects
    FROM unnest(list) c
    LEFT JOIN LATERAL (
        SELECT untag_user(r.principal_name, r.tags, r.display_name, r.comments, r.create_time, r.update_time) AS now, r.last_change FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id OFFSET 0
    ) r ON true
    WHERE c.kind = 'delete' OR r.last_change = origin.request_id;
    answer := ROW(1, NULL, '{}', cardinality(list), coalesce(jsonb_array_length(effects), 0), 0, NULL, NULL, false, '{}');
    answer.revision := untag_record(for_account, attempt, ARRAY[origin], ARRAY[effects])
        + CASE WHEN effects IS NULL THEN 0 ELSE 1 END;

    -- As many as one command can delete, so that the table does not grow with them.
    DELETE FROM deleted_user d
    WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = ANY (ARRAY(
        SELECT e.resource_id FROM deleted_user e
        WHERE e.account_id || '/' || e.resource_type = for_account || '/user' AND e.account_id = for_account
        AND e.delete_time <= expired
        ORDER BY e.delete_time LIMIT 1000
    ));

    users := untag_users_of(for_account, list);
    IF origin.token IS NOT NULL THEN
        PERFORM untag_keep_answer(for_account, origin, answer, users);
    END IF;
    RETURN QUERY SELECT * FROM untag_answer_with_users(answer, users);
END
$$;
