-- Removes tags for one or more commands. Each target has the number of its command, and each command its keys as an array in text, or
-- NULL for every tag, and its origin. Returns an answer for each command that was applied. Where several name a tag, the first has it.
-- Who waits for locks is one command, and is answered in any case: it has changed nothing where not all was found and it
-- does not skip what is missing, or where tags have another value than it expects and it does not skip those. The others have a row
-- only where nothing of theirs is locked, damaged or missing; they expect no values.
CREATE FUNCTION untag_remove_tags(
    for_account text, are_ids boolean, waits boolean, skips_missing boolean, targets text[], commands bigint[], keys text[],
    expected_keys text[], expected_values text[], skips_others boolean, attempt integer, origins untag_origin[]
)
RETURNS SETOF untag_answer
LANGUAGE plpgsql
-- What is joined here are rows by the hundred that the planner takes for ten. A merge join would read all users of the account in
-- order of id, where the plan is made while the table is empty, and kept.
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    locked record;
    done record;
    newest bigint;
    answer untag_answer;
    expected jsonb;
    others integer[] := '{}';
BEGIN
    IF waits AND origins[1].token IS NOT NULL THEN
        answer := untag_find_answer(for_account, origins[1]);
        IF answer.command IS NOT NULL THEN
            RETURN NEXT answer;
            RETURN;
        END IF;
    END IF;
    SELECT l.ids, l.hits INTO locked FROM untag_lock_users(for_account, are_ids, waits, targets) l;
    IF cardinality(expected_keys) > 0 THEN
        expected := jsonb_object(expected_keys, expected_values);
        others := ARRAY(
            SELECT ((t.number - 1) * 32 + e.number - 1)::integer
            FROM unnest(targets) WITH ORDINALITY AS t (name, number)
            JOIN unnest(locked.ids, locked.hits) AS l (resource_id, name) ON l.name = t.name
            JOIN resource r ON r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (locked.ids)
            AND r.resource_id = l.resource_id,
            unnest(expected_keys, expected_values) WITH ORDINALITY AS e (key, value, number)
            WHERE r.tags ->> e.key <> e.value ORDER BY 1
        );
        IF cardinality(others) > 0 AND NOT skips_others THEN
            IF cardinality(locked.ids) < cardinality(targets) THEN
                PERFORM untag_expect_users(for_account, targets, cardinality(locked.ids), are_ids);
            END IF;
            RETURN NEXT ROW(1, locked.hits, '{}', cardinality(locked.ids), 0, 0, NULL, NULL, false, others)::untag_answer;
            RETURN;
        END IF;
    END IF;
    WITH users AS MATERIALIZED (
        SELECT r.resource_id, r.tags, r.last_change FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (locked.ids)
    ), command AS MATERIALIZED (
        SELECT c.number, c.keys::text[] AS keys, o.request_id
        FROM unnest(keys) WITH ORDINALITY AS c (keys, number)
        JOIN unnest(origins) WITH ORDINALITY AS o (request_id, at, caller, source_ip, action, token, fingerprint, number)
        ON o.number = c.number
    ), target AS MATERIALIZED (
        SELECT t.command, l.resource_id, bool_and(l.resource_id IS NOT NULL) OVER (PARTITION BY t.command) OR skips_missing AS whole
        FROM unnest(targets, commands) AS t (name, command)
        LEFT JOIN unnest(locked.ids, locked.hits) AS l (resource_id, name) ON l.name = t.name
    ), gone AS MATERIALIZED (
        SELECT DISTINCT ON (u.resource_id, k.key) u.resource_id, k.key, u.tags -> k.key AS value, t.command, c.request_id,
            u.last_change
        FROM target t JOIN command c ON c.number = t.command JOIN users u ON u.resource_id = t.resource_id,
        LATERAL unnest(coalesce(c.keys, ARRAY(SELECT jsonb_object_keys(u.tags)))) AS k (key)
        WHERE t.whole AND u.tags ? k.key AND (expected IS NULL OR (u.tags -> k.key <> expected -> k.key) IS NOT TRUE)
        ORDER BY u.resource_id, k.key, t.command
    ), effect AS MATERIALIZED (
        SELECT g.resource_id, g.command, g.request_id, count(*) AS tags, array_agg(g.key) AS keys,
            jsonb_object_agg(g.key, g.value) AS removed,
            coalesce(lag(g.request_id) OVER (PARTITION BY g.resource_id ORDER BY g.command), g.last_change) AS prev
        FROM gone g GROUP BY g.resource_id, g.command, g.request_id, g.last_change
    ), changed AS (
        UPDATE resource r SET tags = r.tags - g.keys, last_change = g.request_id
        FROM (
            SELECT DISTINCT ON (g.resource_id) g.resource_id, g.request_id, array_agg(g.key) OVER (PARTITION BY g.resource_id) AS keys
            FROM gone g ORDER BY g.resource_id, g.command DESC
        ) g
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (locked.ids)
        AND r.resource_id = g.resource_id
    )
    SELECT array_agg(t.command IS NOT NULL ORDER BY c.number) AS applied,
        array_agg(coalesce(e.changed, 0) ORDER BY c.number) AS changed,
        array_agg(coalesce(e.tags, 0) ORDER BY c.number) AS tags, array_agg(e.effects ORDER BY c.number) AS effects
    INTO done
    FROM command c LEFT JOIN (SELECT DISTINCT t.command FROM target t WHERE t.whole) t ON t.command = c.number LEFT JOIN (
        SELECT e.command, count(*) AS changed, sum(e.tags)::bigint AS tags,
            jsonb_agg(jsonb_build_object('id', e.resource_id, 'prev', e.prev, 'removed', e.removed) ORDER BY e.resource_id) AS effects
        FROM effect e GROUP BY e.command
    ) e ON e.command = c.number;

    newest := untag_record(for_account, attempt, origins, done.effects);
    IF NOT waits THEN
        RETURN QUERY SELECT a.command, NULL::text[], '{}'::text[], NULL::bigint, a.changed, a.tags, a.revision, NULL::uuid, false, '{}'::integer[] FROM (
            SELECT d.*, newest + count(d.effects) OVER (ORDER BY d.command) AS revision
            FROM unnest(done.applied, done.changed, done.tags, done.effects) WITH ORDINALITY
                AS d (applied, changed, tags, effects, command)
        ) a WHERE a.applied;
        RETURN;
    END IF;
    -- Behind the lock of the account: whoever came before this change has an entry before it.
    IF cardinality(locked.ids) < cardinality(targets) THEN
        PERFORM untag_expect_users(for_account, targets, cardinality(locked.ids), are_ids);
    END IF;
    answer := ROW(1, locked.hits, '{}', cardinality(locked.ids), done.changed[1], done.tags[1],
        newest + CASE WHEN done.effects[1] IS NULL THEN 0 ELSE 1 END, NULL, false, others);
    IF origins[1].token IS NOT NULL AND done.applied[1] THEN
        PERFORM untag_keep_answer(for_account, origins[1], answer);
    END IF;
    RETURN NEXT answer;
END
$$;

-- Sets tags, of which a user may have `most`. Nothing was changed where not all was found or a user would have too many.
CREATE FUNCTION untag_set_tags(
    for_account text, are_ids boolean, targets text[], new_tags jsonb, most bigint, attempt integer, origin untag_origin
)
RETURNS untag_answer
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    locked record;
    done record;
    newest bigint;
    answer untag_answer;
BEGIN
    IF origin.token IS NOT NULL THEN
        answer := untag_find_answer(for_account, origin);
        IF answer.command IS NOT NULL THEN
            RETURN answer;
        END IF;
    END IF;
    SELECT l.ids, l.hits INTO locked FROM untag_lock_users(for_account, are_ids, true, targets) l;
    answer := ROW(1, locked.hits, '{}', cardinality(locked.ids), 0, 0, NULL, NULL, false, '{}');
    IF cardinality(locked.ids) < cardinality(targets) THEN
        PERFORM untag_expect_users(for_account, targets, cardinality(locked.ids), are_ids);
        RETURN answer;
    END IF;
    answer.too_many := ARRAY(
        SELECT CASE WHEN are_ids THEN r.resource_id ELSE lower(r.principal_name) END FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (locked.ids)
        AND (SELECT count(*) FROM jsonb_object_keys(r.tags || new_tags)) > most
    );
    IF cardinality(answer.too_many) > 0 THEN
        RETURN answer;
    END IF;
    WITH before AS MATERIALIZED (
        SELECT r.resource_id, r.last_change, s.tags, s.set FROM resource r, LATERAL (
            SELECT count(*) AS tags, jsonb_object_agg(n.key, jsonb_build_array(r.tags -> n.key, n.value)) AS set
            FROM jsonb_each(new_tags) AS n (key, value) WHERE r.tags -> n.key IS DISTINCT FROM n.value
        ) s
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (locked.ids) AND s.tags > 0
    ), changed AS (
        UPDATE resource r SET tags = r.tags || new_tags, last_change = origin.request_id
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (locked.ids)
        AND NOT r.tags @> new_tags
    )
    SELECT count(*) AS changed, coalesce(sum(b.tags), 0)::bigint AS tags,
        jsonb_agg(jsonb_build_object('id', b.resource_id, 'prev', b.last_change, 'set', b.set) ORDER BY b.resource_id) AS effects
    INTO done FROM before b;
    newest := untag_record(for_account, attempt, ARRAY[origin], ARRAY[done.effects]);
    answer.changed := done.changed;
    answer.tags := done.tags;
    answer.revision := newest + CASE WHEN done.effects IS NULL THEN 0 ELSE 1 END;
    IF origin.token IS NOT NULL THEN
        PERFORM untag_keep_answer(for_account, origin, answer);
    END IF;
    RETURN answer;
END
$$;
