-- Removes tags of users that are locked. Each target has the number of its command, and each command its keys as an array in text, or
-- NULL for every tag, its round, and its origin. Commands of one round name no user twice, and come after those of the rounds before.
-- Those that are `left_out` are not carried out. Tags with another value than expected stay. Returns for each command that has changed
-- something its number, of how many users and how many tags, and the account's newest revision before them.
CREATE FUNCTION untag_remove_locked(
    for_account text, locked untag_users, targets text[], commands bigint[], keys text[], rounds integer[], left_out bigint[],
    expected jsonb, attempt integer, origins untag_origins,
    OUT numbers bigint[], OUT changed bigint[], OUT tags bigint[], OUT newest bigint
)
LANGUAGE plpgsql
-- What is joined here are rows by the hundred that the planner takes for ten. A merge join would read all users of the account in
-- order of id, where the plan is made while the table is empty, and kept.
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    this_round integer := 1;
    last_round integer := (SELECT max(r.round) FROM unnest(rounds) AS r (round));
    done record;
    -- The users of a round, as the rounds before have left them.
    users untag_users := locked;
    entries untag_entry[] := '{}';
BEGIN
    numbers := '{}';
    changed := '{}';
    untag_remove_locked.tags := '{}';
    WHILE this_round <= last_round LOOP
        IF this_round > 1 THEN
            SELECT array_agg(u.resource_id), array_agg(u.name), array_agg(r.tags), array_agg(r.last_change) INTO users
            FROM unnest(rounds) WITH ORDINALITY AS c (round, command) JOIN unnest(targets, commands) AS t (name, command) USING (command)
            JOIN unnest(locked.ids, locked.names) AS u (resource_id, name) USING (name)
            CROSS JOIN LATERAL (
                SELECT r.tags, r.last_change FROM resource r
                WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = u.resource_id OFFSET 0
            ) r
            WHERE c.round = this_round;
        END IF;
        WITH command AS MATERIALIZED (
            SELECT c.number, c.keys::text[] AS keys, c.request_id
            FROM unnest(origins.request_ids, untag_remove_locked.keys, rounds) WITH ORDINALITY AS c (request_id, keys, round, number)
            WHERE c.round = this_round AND c.number <> ALL (left_out)
        ), target AS (
            SELECT t.command, c.request_id, u.resource_id, u.tags, u.last_change, CASE
                    WHEN expected IS NULL THEN c.keys
                    ELSE ARRAY(SELECT k.key FROM unnest(c.keys) AS k (key) WHERE (u.tags -> k.key <> expected -> k.key) IS NOT TRUE)
                END AS keys
            FROM unnest(targets, commands) AS t (name, command) JOIN command c ON c.number = t.command
            JOIN unnest(users.ids, users.names, users.tags, users.last_changes) AS u (resource_id, name, tags, last_change)
            ON u.name = t.name
        ), effect AS MATERIALIZED (
            SELECT t.*, ARRAY(SELECT t.tags ->> unnest(t.keys)) AS removed
            FROM target t WHERE t.tags ?| t.keys OR (t.keys IS NULL AND t.tags <> '{}')
        ), changed AS (
            UPDATE resource r SET tags = CASE WHEN e.keys IS NULL THEN '{}' ELSE r.tags - e.keys END, last_change = e.request_id
            FROM effect e
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (users.ids)
            AND r.resource_id = e.resource_id
        )
        SELECT array_agg(e.number) AS numbers, array_agg(e.changed) AS changed, array_agg(e.tags) AS tags, array_agg(
            ROW(e.number, e.effects, e.users, e.prevs, CASE WHEN e.effects IS NULL THEN c.keys END, e.removed)::untag_entry
        ) AS entries
        INTO done FROM (
            -- As arrays where the keys are the same for all users.
            SELECT e.command AS number, count(*) AS changed,
                sum(CASE WHEN e.keys IS NULL THEN (SELECT count(*) FROM jsonb_object_keys(e.tags))
                    ELSE cardinality(array_remove(e.removed, NULL)) END)::bigint AS tags,
                jsonb_agg(jsonb_build_object('id', e.resource_id, 'prev', e.last_change, 'removed',
                    CASE WHEN e.keys IS NULL THEN e.tags ELSE jsonb_strip_nulls(jsonb_object(e.keys, e.removed)) END))
                    FILTER (WHERE e.keys IS NULL OR expected IS NOT NULL) AS effects,
                array_agg(e.resource_id) FILTER (WHERE e.keys IS NOT NULL AND expected IS NULL) AS users,
                array_agg(e.last_change) FILTER (WHERE e.keys IS NOT NULL AND expected IS NULL) AS prevs,
                array_agg(e.removed) FILTER (WHERE e.keys IS NOT NULL AND expected IS NULL) AS removed
            FROM effect e GROUP BY e.command
        ) e JOIN command c ON c.number = e.number;
        numbers := numbers || done.numbers;
        changed := changed || done.changed;
        untag_remove_locked.tags := untag_remove_locked.tags || done.tags;
        entries := entries || done.entries;
        this_round := this_round + 1;
    END LOOP;
    newest := untag_write(for_account, attempt, origins, entries);
END
$$;

-- Removes tags of one user by their keys, for a command that is by itself in a call which waits for nobody: as `untag_remove_shared`,
-- for a third of what that costs.
CREATE FUNCTION untag_remove_one(
    for_account text, is_id boolean, target text, keys text[], origins untag_origins,
    OUT left_out bigint[], OUT numbers bigint[], OUT changed bigint[], OUT tags bigint[], OUT newest bigint
)
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    locked record;
    -- Citus crashes where an UPDATE gives a column an element of an array.
    request_id uuid := origins.request_ids[1];
    key text;
    removed text[] := '{}';
    entries untag_entry[] := '{}';
BEGIN
    left_out := '{}';
    numbers := '{}';
    changed := '{}';
    untag_remove_one.tags := '{}';
    IF is_id THEN
        SELECT r.resource_id, r.tags, r.last_change INTO locked FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = target
        AND jsonb_typeof(r.tags) = 'object' FOR UPDATE SKIP LOCKED;
    ELSE
        SELECT r.resource_id, r.tags, r.last_change INTO locked FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND lower(r.principal_name) = target
        AND jsonb_typeof(r.tags) = 'object' FOR UPDATE SKIP LOCKED;
    END IF;
    IF locked.resource_id IS NULL THEN
        left_out := '{1}';
    ELSIF locked.tags ?| keys THEN
        UPDATE resource r SET tags = r.tags - untag_remove_one.keys, last_change = request_id
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = locked.resource_id;
        FOREACH key IN ARRAY keys LOOP
            removed := removed || (locked.tags ->> key);
        END LOOP;
        entries := ARRAY[ROW(1, NULL, ARRAY[locked.resource_id], ARRAY[locked.last_change], keys, ARRAY[removed])::untag_entry];
        numbers := '{1}';
        changed := '{1}';
        untag_remove_one.tags := ARRAY[cardinality(array_remove(removed, NULL))];
    END IF;
    newest := untag_write(for_account, 1, origins, entries);
END
$$;

-- Removes tags for commands that share a call, which waits for nobody: as `untag_remove_locked`, but for those commands of which a
-- user is locked by others, damaged or missing, or whose client token others have. Returns their numbers too.
CREATE FUNCTION untag_remove_shared(
    for_account text, are_ids boolean, targets text[], commands bigint[], keys text[], rounds integer[], origins untag_origins,
    OUT left_out bigint[], OUT numbers bigint[], OUT changed bigint[], OUT tags bigint[], OUT newest bigint
)
LANGUAGE plpgsql
SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    locked untag_users;
    done record;
    has_tokens boolean := cardinality(array_remove(origins.tokens, NULL)) > 0;
BEGIN
    IF cardinality(targets) = 1 AND keys[1] IS NOT NULL AND NOT has_tokens THEN
        -- An expression costs less than a query.
        done := untag_remove_one(for_account, are_ids, targets[1], keys[1]::text[], origins);
        left_out := done.left_out;
        numbers := done.numbers;
        changed := done.changed;
        untag_remove_shared.tags := done.tags;
        newest := done.newest;
        RETURN;
    END IF;
    left_out := CASE WHEN has_tokens THEN untag_find_repeats(for_account, origins) ELSE '{}' END;
    locked := untag_lock_users(for_account, are_ids, false, targets);
    -- Also where some are named twice and none is left out.
    IF cardinality(locked.ids) < cardinality(targets) THEN
        left_out := left_out || ARRAY(
            SELECT DISTINCT t.command FROM unnest(targets, commands) AS t (name, command)
            LEFT JOIN unnest(locked.names) AS u (name) ON u.name = t.name WHERE u.name IS NULL
        );
    END IF;
    SELECT * INTO numbers, changed, untag_remove_shared.tags, newest
    FROM untag_remove_locked(for_account, locked, targets, commands, keys, rounds, left_out, NULL, 1, origins);
    IF has_tokens THEN
        PERFORM untag_keep_answer(for_account,
            ROW(a.request_id, a.at, a.caller, NULL, a.action, a.token, a.fingerprint, NULL, NULL, NULL)::untag_origin,
            ROW(1, NULL, '{}', a.matched, a.changed, a.tags, a.revision, NULL, false, '{}')::untag_answer)
        FROM (
            SELECT o.*, t.matched, coalesce(d.changed, 0) AS changed, coalesce(d.tags, 0) AS tags,
                newest + count(d.number) OVER (ORDER BY o.number) AS revision
            FROM unnest(origins.request_ids, origins.times, origins.callers, origins.actions, origins.tokens, origins.fingerprints)
                WITH ORDINALITY AS o (request_id, at, caller, action, token, fingerprint, number)
            JOIN (SELECT t.command, count(*) AS matched FROM unnest(commands) AS t (command) GROUP BY t.command) t
            ON t.command = o.number
            LEFT JOIN unnest(numbers, changed, untag_remove_shared.tags) AS d (number, changed, tags) ON d.number = o.number
        ) a WHERE a.token IS NOT NULL AND a.number <> ALL (left_out);
    END IF;
END
$$;

-- Removes tags for one command, which waits for users that others have locked. Nothing is changed where not all was found and it does
-- not skip what is missing, or where tags have another value than it expects and it does not skip those.
CREATE FUNCTION untag_remove_alone(
    for_account text, are_ids boolean, skips_missing boolean, targets text[], keys text, expected_keys text[], expected_values text[],
    skips_others boolean, attempt integer, origin untag_origin
)
RETURNS untag_answer
LANGUAGE plpgsql
SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    locked untag_users;
    expected jsonb;
    done record;
    answer untag_answer;
BEGIN
    IF origin.token IS NOT NULL THEN
        answer := untag_find_answer(for_account, origin);
        IF answer.command IS NOT NULL THEN
            RETURN answer;
        END IF;
    END IF;
    locked := untag_lock_users(for_account, are_ids, true, targets);
    answer := ROW(1, locked.names, '{}', cardinality(locked.ids), 0, 0, NULL, NULL, false, '{}');
    IF cardinality(expected_keys) > 0 THEN
        expected := jsonb_object(expected_keys, expected_values);
        answer.others := ARRAY(
            SELECT ((t.number - 1) * 32 + e.number - 1)::integer
            FROM unnest(targets) WITH ORDINALITY AS t (name, number)
            JOIN unnest(locked.names, locked.tags) AS u (name, tags) ON u.name = t.name,
            unnest(expected_keys, expected_values) WITH ORDINALITY AS e (key, value, number)
            WHERE u.tags ->> e.key <> e.value ORDER BY 1
        );
    END IF;
    IF (cardinality(locked.ids) = cardinality(targets) OR skips_missing) AND (cardinality(answer.others) = 0 OR skips_others) THEN
        SELECT * INTO done FROM untag_remove_locked(for_account, locked, targets, array_fill(1::bigint, ARRAY[cardinality(targets)]),
            ARRAY[keys], '{1}', '{}', expected, attempt, ROW(ARRAY[origin.request_id], ARRAY[origin.at], ARRAY[origin.caller],
            ARRAY[origin.source_ip], ARRAY[origin.action], ARRAY[origin.token], NULL, ARRAY[origin.is_secure],
            ARRAY[origin.client_request_id], origin.replica)::untag_origins);
        answer.changed := coalesce(done.changed[1], 0);
        answer.tags := coalesce(done.tags[1], 0);
        answer.revision := done.newest + cardinality(done.numbers);
        IF origin.token IS NOT NULL THEN
            PERFORM untag_keep_answer(for_account, origin, answer);
        END IF;
    END IF;
    -- Behind the lock of the account: whoever came before this change has an entry before it.
    IF cardinality(locked.ids) < cardinality(targets) THEN
        PERFORM untag_expect_users(for_account, targets, cardinality(locked.ids), are_ids);
    END IF;
    RETURN answer;
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
    locked untag_users;
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
    locked := untag_lock_users(for_account, are_ids, true, targets);
    answer := ROW(1, locked.names, '{}', cardinality(locked.ids), 0, 0, NULL, NULL, false, '{}');
    IF cardinality(locked.ids) < cardinality(targets) THEN
        PERFORM untag_expect_users(for_account, targets, cardinality(locked.ids), are_ids);
        RETURN answer;
    END IF;
    answer.too_many := ARRAY(
        SELECT u.name FROM unnest(locked.names, locked.tags) AS u (name, tags)
        WHERE (SELECT count(*) FROM jsonb_object_keys(u.tags || new_tags)) > most
    );
    IF cardinality(answer.too_many) > 0 THEN
        RETURN answer;
    END IF;
    WITH before AS MATERIALIZED (
        SELECT u.resource_id, u.last_change, s.tags, s.set
        FROM unnest(locked.ids, locked.tags, locked.last_changes) AS u (resource_id, tags, last_change), LATERAL (
            SELECT count(*) AS tags, jsonb_object_agg(n.key, jsonb_build_array(u.tags -> n.key, n.value)) AS set
            FROM jsonb_each(new_tags) AS n (key, value) WHERE u.tags -> n.key IS DISTINCT FROM n.value
        ) s
        WHERE s.tags > 0
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
