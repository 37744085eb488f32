-- Reverts and imports. The program plans them by what it has read of their users; here they are made where that is still so.

-- Makes a planned change, or says why not. `plan` has
-- - `seen`: for each user of the plan its `id`, its `state` ("there", "deleted" or "absent"), `tags` and `last_change`;
-- - `holders`: for each name that somebody may get, in lower case, the id of who has it, or null;
-- - `changes`: those of users, as `untag_change_users` takes them; `effects`: all of it, as an entry has them;
-- - `tags`: how many tags are changed; `is_refused`: whether a revert is refused for its conflicts.
-- `to_keep` is what is kept of its answer, where it has a token. `outcome` is "made", "refused", "stale" (plan it again), "repeat" or "mismatch" (of the token).
CREATE FUNCTION untag_make_planned(
    for_account text, at bigint, expired bigint, plan jsonb, to_keep text, attempt integer, origin untag_origin,
    OUT outcome text, OUT revision bigint, OUT changed bigint, OUT tags bigint, OUT repeats uuid, OUT kept text
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    answer untag_answer;
    list untag_user_change[];
    effects jsonb := nullif(plan -> 'effects', '[]');
BEGIN
    IF origin.token IS NOT NULL THEN
        answer := untag_find_answer(for_account, origin);
        IF answer.command IS NOT NULL THEN
            outcome := CASE WHEN answer.mismatch THEN 'mismatch' ELSE 'repeat' END;
            revision := answer.revision;
            changed := answer.changed;
            tags := answer.tags;
            repeats := answer.repeats;
            SELECT c.users #>> '{}' INTO kept FROM client_token c
            WHERE c.account_id = for_account AND c.caller = origin.caller AND c.action = origin.action AND c.token = origin.token;
            RETURN;
        END IF;
    END IF;
    -- As changes of users do it: nobody comes or goes meanwhile, and the rows are locked against changes of tags.
    PERFORM pg_advisory_xact_lock_shared(8461828711567422835);
    PERFORM pg_advisory_xact_lock(hashtextextended(for_account, 8461828711567422835));
    PERFORM FROM resource r
    WHERE r.account_id = for_account AND r.resource_type = 'user'
    AND r.resource_id = ANY (ARRAY(SELECT s ->> 'id' FROM jsonb_array_elements(plan -> 'seen') s))
    ORDER BY r.resource_id FOR UPDATE;
    IF EXISTS (
        SELECT FROM jsonb_array_elements(plan -> 'seen') s
        LEFT JOIN LATERAL (
            SELECT * FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = s ->> 'id' OFFSET 0
        ) r ON true
        LEFT JOIN LATERAL (
            SELECT * FROM deleted_user d
            WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = s ->> 'id'
            AND d.delete_time > expired OFFSET 0
        ) d ON true
        WHERE s ->> 'state' <> CASE WHEN r.resource_id IS NOT NULL THEN 'there' WHEN d.resource_id IS NOT NULL THEN 'deleted'
            ELSE 'absent' END
        OR (s ->> 'last_change')::uuid IS DISTINCT FROM CASE WHEN r.resource_id IS NOT NULL THEN r.last_change ELSE d.last_change END
        OR nullif(s -> 'tags', 'null') IS DISTINCT FROM coalesce(r.tags, d.tags)
    ) OR EXISTS (
        SELECT FROM jsonb_each_text(plan -> 'holders') h
        WHERE h.value IS DISTINCT FROM (
            SELECT r.resource_id FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND lower(r.principal_name) = h.key
        )
    ) THEN
        outcome := 'stale';
        RETURN;
    END IF;
    IF (plan ->> 'is_refused')::boolean THEN
        outcome := 'refused';
        RETURN;
    END IF;

    SELECT array_agg(ROW(
            c.number, c.kind, c.id, CASE WHEN c.kind = 'restore' THEN d.principal_name ELSE c.name END, c.tags,
            c.edit_display_name, c.display_name, c.edit_comments, c.comments, r.principal_name, d.resource_id IS NOT NULL
        )::untag_user_change ORDER BY c.number) INTO list
    FROM jsonb_populate_recordset(NULL::untag_user_change, plan -> 'changes') c
    LEFT JOIN LATERAL (
        SELECT * FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = c.id OFFSET 0
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT * FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = c.id OFFSET 0
    ) d ON true;
    IF list IS NOT NULL THEN
        PERFORM untag_apply_user_changes(for_account, at, list, origin.request_id);
    END IF;
    UPDATE resource r SET last_change = origin.request_id,
        tags = r.tags - ARRAY(SELECT jsonb_object_keys(coalesce(e -> 'removed', '{}')))
            || coalesce((SELECT jsonb_object_agg(s.key, s.value -> 1) FROM jsonb_each(e -> 'set') s), '{}')
    FROM jsonb_array_elements(plan -> 'effects') e
    WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = e ->> 'id' AND (e ? 'removed' OR e ? 'set');

    outcome := 'made';
    changed := jsonb_array_length(plan -> 'effects');
    tags := (plan ->> 'tags')::bigint;
    revision := untag_record(for_account, attempt, ARRAY[origin], ARRAY[effects]) + CASE WHEN effects IS NULL THEN 0 ELSE 1 END;
    IF origin.token IS NOT NULL THEN
        answer := ROW(1, NULL, '{}', changed, changed, tags, revision, NULL, false, '{}');
        PERFORM untag_keep_answer(for_account, origin, answer, to_jsonb(to_keep));
    END IF;
END
$$;
