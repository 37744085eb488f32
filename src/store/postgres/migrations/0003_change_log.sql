-- Each change of an account is an entry of its change log, with what was there before. Who changes users locks their rows first, in
-- order of id, and then the row of the account: entries have their numbers in the order of commits, and nobody deadlocks.

-- The identity of the log: revisions mean the same in one history only. And whether there are so many client tokens that no more
-- are taken. One row.
CREATE TABLE history (
    history_id  uuid NOT NULL,
    tokens_full boolean NOT NULL DEFAULT false
);
INSERT INTO history (history_id) VALUES (gen_random_uuid());

-- Has a row for each account that was ever changed: what its changes lock before they take the next revision.
CREATE TABLE account (
    account_id text COLLATE "C" PRIMARY KEY
);

-- `effects` is an array with an object for each user that was changed: its `id`, `prev` (the request of the change before this one
-- of the same user, if there is one), and one of
-- - `removed`: tags with the values that they had; - `set`: for each key the value before, or null, and the one it has got;
-- - `created`, `restored`: the user as it was then; `deleted`: as it was before; `before` and `after`: those of an update.
-- `total` is how many bytes the entries of the account have taken up to this one, those that are gone too.
CREATE TABLE change (
    account_id   text COLLATE "C" NOT NULL,
    revision     bigint NOT NULL,
    total        bigint NOT NULL,
    request_id   uuid NOT NULL,
    at           bigint NOT NULL,
    caller       text COLLATE "C" NOT NULL,
    source_ip    text COLLATE "C" NOT NULL,
    action       text COLLATE "C" NOT NULL,
    client_token text COLLATE "C",
    effects      jsonb NOT NULL,
    PRIMARY KEY (account_id, revision)
);
CREATE UNIQUE INDEX change_by_request_id ON change (account_id, request_id);

-- The answer to a request with a client token, for a day.
CREATE TABLE client_token (
    account_id   text COLLATE "C" NOT NULL,
    caller       text COLLATE "C" NOT NULL,
    action       text COLLATE "C" NOT NULL,
    token        text COLLATE "C" NOT NULL,
    fingerprint  bytea NOT NULL,
    at           bigint NOT NULL,
    request_id   uuid NOT NULL,
    revision     bigint NOT NULL,
    matched      bigint NOT NULL,
    changed      bigint NOT NULL,
    tags         bigint NOT NULL,
    others       integer[] NOT NULL,
    -- Those of a change of users, as it answered with them.
    users        jsonb,
    PRIMARY KEY (account_id, caller, action, token)
);
CREATE INDEX client_token_by_time ON client_token (at);

-- A change whose answer was lost: those of its tries up to `attempt` must not be made any more.
CREATE TABLE superseded (
    account_id text COLLATE "C" NOT NULL,
    request_id uuid NOT NULL,
    attempt    integer NOT NULL,
    at         bigint NOT NULL,
    PRIMARY KEY (account_id, request_id)
);
CREATE INDEX superseded_by_time ON superseded (at);

-- The request of the newest change of a user, from which the changes before are found.
ALTER TABLE resource ADD COLUMN last_change uuid;
ALTER TABLE deleted_user ADD COLUMN last_change uuid;

-- Where a change comes from, and what its repetitions are known by, if they are.
CREATE TYPE untag_origin AS (
    request_id  uuid,
    at          bigint,
    caller      text COLLATE "C",
    source_ip   text COLLATE "C",
    action      text COLLATE "C",
    token       text COLLATE "C",
    fingerprint bytea
);

-- What came of a change of tags: the number of the command; what was found of its targets, and which would have too many tags; how
-- many were found and how many were changed; how many tags were; the account's newest revision then. Where it repeats another
-- request, that one, or that it has another content. For each tag with another value than expected 32 times the position of its user
-- among the targets, and that of its key among those with expected values.
CREATE TYPE untag_answer AS (
    command  bigint,
    found    text[],
    too_many text[],
    matched  bigint,
    changed  bigint,
    tags     bigint,
    revision bigint,
    repeats  uuid,
    mismatch boolean,
    others   integer[]
);

-- Locks the row of an account until the transaction ends, and makes it first where there is none.
CREATE FUNCTION untag_lock_account(for_account text)
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
BEGIN
    PERFORM FROM account WHERE account_id = for_account FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO account (account_id) VALUES (for_account) ON CONFLICT DO NOTHING;
        PERFORM FROM account WHERE account_id = for_account FOR NO KEY UPDATE;
    END IF;
END
$$;

-- The newest revision of an account, 0 where there is none, and the total there.
CREATE FUNCTION untag_newest(for_account text, OUT revision bigint, OUT total bigint)
LANGUAGE plpgsql
-- The plan is one step back in the primary key, also where it is made while the table is empty, and kept.
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    SELECT c.revision, c.total INTO untag_newest.revision, untag_newest.total FROM change c
    WHERE c.account_id = for_account ORDER BY c.account_id DESC, c.revision DESC LIMIT 1;
    untag_newest.revision := coalesce(untag_newest.revision, 0);
    untag_newest.total := coalesce(untag_newest.total, 0);
END
$$;

-- Writes the entries of changes, in this order; one without effects has none. Returns the account's newest revision before them.
-- The rows that are changed have to be locked before. `attempt` is the number of the try.
CREATE FUNCTION untag_record(for_account text, attempt integer, origins untag_origin[], effects jsonb[])
RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    newest record;
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(effects) e WHERE e IS NOT NULL) THEN
        SELECT n.revision INTO newest FROM untag_newest(for_account) n;
        RETURN newest.revision;
    END IF;
    PERFORM untag_lock_account(for_account);
    -- Who has lost the answer to a try has looked for its entry behind the same lock.
    IF EXISTS (SELECT FROM superseded s WHERE s.account_id = for_account
            AND s.request_id = ANY (ARRAY(SELECT o.request_id FROM unnest(origins) o)) AND s.attempt >= untag_record.attempt) THEN
        RAISE EXCEPTION 'the change was sent again meanwhile' USING ERRCODE = 'query_canceled';
    END IF;
    SELECT n.revision, n.total INTO newest FROM untag_newest(for_account) n;
    INSERT INTO change (account_id, revision, total, request_id, at, caller, source_ip, action, client_token, effects)
    SELECT for_account, newest.revision + row_number() OVER w, newest.total + sum(e.size) OVER w,
        e.request_id, e.at, e.caller, e.source_ip, e.action, e.token, e.effects
    FROM (
        -- Beside its effects an entry takes about 200 bytes, in its row and in two indexes.
        SELECT o.*, e.effects, 200 + pg_column_size(e.effects) AS size
        FROM unnest(origins) WITH ORDINALITY AS o (request_id, at, caller, source_ip, action, token, fingerprint, number)
        JOIN unnest(effects) WITH ORDINALITY AS e (effects, number) ON e.number = o.number
        WHERE e.effects IS NOT NULL
    ) e
    WINDOW w AS (ORDER BY e.number);
    RETURN newest.revision;
END
$$;

-- Finds out what became of a change whose answer was lost. Where it has no entry, none of its tries up to `attempt` will be made
-- any more: each looks into `superseded` behind the lock that is held here.
CREATE FUNCTION untag_find_out(for_account text, for_request uuid, attempt integer, now bigint)
RETURNS SETOF change
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM untag_lock_account(for_account);
    RETURN QUERY SELECT * FROM change c WHERE c.account_id = for_account AND c.request_id = for_request;
    IF NOT FOUND THEN
        INSERT INTO superseded (account_id, request_id, attempt, at) VALUES (for_account, for_request, untag_find_out.attempt, now)
        ON CONFLICT (account_id, request_id) DO UPDATE SET attempt = greatest(superseded.attempt, excluded.attempt);
    END IF;
END
$$;

-- Looks for the answer to an earlier request with the token of this one, in the day before it; NULL where there is none. A second
-- request waits here for the first, before it locks a row. A token that is new fails where there are too many.
CREATE FUNCTION untag_find_answer(for_account text, origin untag_origin)
RETURNS untag_answer
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    answer untag_answer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(
        concat_ws(' ', for_account, origin.action, length(origin.token), origin.token, origin.caller), 8386102895914018145));
    SELECT 1, NULL, '{}', c.matched, c.changed, c.tags, c.revision, c.request_id, c.fingerprint <> origin.fingerprint,
        c.others INTO answer
    FROM client_token c
    WHERE c.account_id = for_account AND c.caller = origin.caller AND c.action = origin.action AND c.token = origin.token
    AND c.at > origin.at - 86400000;
    IF answer.command IS NULL AND (SELECT h.tokens_full FROM history h) THEN
        RAISE EXCEPTION 'too many client tokens' USING ERRCODE = 'UT001';
    END IF;
    RETURN answer;
END
$$;

-- Keeps an answer for requests with the same token, with the users where it has some.
CREATE FUNCTION untag_keep_answer(for_account text, origin untag_origin, answer untag_answer, users jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO client_token VALUES (for_account, origin.caller, origin.action, origin.token, origin.fingerprint, origin.at,
        origin.request_id, answer.revision, answer.matched, answer.changed, answer.tags, answer.others, untag_keep_answer.users)
    ON CONFLICT (account_id, caller, action, token) DO UPDATE SET fingerprint = excluded.fingerprint, at = excluded.at,
        request_id = excluded.request_id, revision = excluded.revision, matched = excluded.matched,
        changed = excluded.changed, tags = excluded.tags, others = excluded.others, users = excluded.users;
END
$$;

-- Locks users, by id or by lower-case name, and returns the ids and what they were found by. Who waits does so in order of id; who
-- does not passes over rows that others have locked, and those whose tags are no object.
CREATE FUNCTION untag_lock_users(
    for_account text, are_ids boolean, waits boolean, names text[], OUT ids text[], OUT hits text[], OUT damaged boolean
)
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF are_ids AND waits THEN
        SELECT array_agg(l.resource_id), array_agg(l.resource_id), bool_or(l.damaged) INTO ids, hits, damaged FROM (
            SELECT r.resource_id, jsonb_typeof(r.tags) <> 'object' AS damaged FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (names)
            ORDER BY r.resource_id FOR UPDATE
        ) l;
    ELSIF are_ids THEN
        SELECT array_agg(l.resource_id), array_agg(l.resource_id), false INTO ids, hits, damaged FROM (
            SELECT r.resource_id FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (names)
            AND jsonb_typeof(r.tags) = 'object' FOR UPDATE SKIP LOCKED
        ) l;
    ELSIF waits THEN
        SELECT array_agg(l.resource_id), array_agg(l.name), bool_or(l.damaged) INTO ids, hits, damaged FROM (
            SELECT r.resource_id, lower(r.principal_name) AS name, jsonb_typeof(r.tags) <> 'object' AS damaged FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND lower(r.principal_name) = ANY (names)
            ORDER BY r.resource_id FOR UPDATE
        ) l;
    ELSE
        SELECT array_agg(l.resource_id), array_agg(l.name), false INTO ids, hits, damaged FROM (
            SELECT r.resource_id, lower(r.principal_name) AS name FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND lower(r.principal_name) = ANY (names)
            AND jsonb_typeof(r.tags) = 'object' FOR UPDATE SKIP LOCKED
        ) l;
    END IF;
    IF damaged THEN
        RAISE EXCEPTION 'the tags of a user are no object' USING ERRCODE = 'data_corrupted';
    END IF;
    ids := coalesce(ids, '{}');
    hits := coalesce(hits, '{}');
END
$$;

-- Up to `most` entries of an account from a revision on, forwards or backwards.
CREATE FUNCTION untag_changes(for_account text, first_revision bigint, backwards boolean, most bigint)
RETURNS SETOF change
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
BEGIN
    IF backwards THEN
        RETURN QUERY SELECT * FROM change c WHERE c.account_id = for_account AND c.revision <= first_revision
        ORDER BY c.account_id DESC, c.revision DESC LIMIT most;
    ELSE
        RETURN QUERY SELECT * FROM change c WHERE c.account_id = for_account AND c.revision >= first_revision
        ORDER BY c.account_id, c.revision LIMIT most;
    END IF;
END
$$;

-- As `untag_changes`, for the entries of one user: each names the one before it.
CREATE FUNCTION untag_changes_of_user(for_account text, first_revision bigint, backwards boolean, most bigint, user_id text)
RETURNS SETOF change
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    next_id uuid;
    entry change;
    revisions bigint[] := '{}';
BEGIN
    SELECT r.last_change INTO next_id FROM resource r
    WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = user_id;
    IF NOT FOUND THEN
        SELECT d.last_change INTO next_id FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = user_id;
    END IF;
    WHILE next_id IS NOT NULL LOOP
        SELECT * INTO entry FROM change c WHERE c.account_id = for_account AND c.request_id = next_id;
        -- It is gone, and so are those before it.
        EXIT WHEN NOT FOUND OR (NOT backwards AND entry.revision < first_revision);
        IF NOT backwards OR entry.revision <= first_revision THEN
            revisions := revisions || entry.revision;
            EXIT WHEN backwards AND cardinality(revisions) >= most;
        END IF;
        SELECT (e ->> 'prev')::uuid INTO next_id FROM jsonb_array_elements(entry.effects) e WHERE e ->> 'id' = user_id;
    END LOOP;
    IF NOT backwards THEN
        SELECT array_agg(r.revision ORDER BY r.number DESC) INTO revisions FROM (
            SELECT * FROM unnest(revisions) WITH ORDINALITY AS r (revision, number) ORDER BY r.number DESC LIMIT most
        ) r;
    END IF;
    RETURN QUERY SELECT c.* FROM unnest(revisions) WITH ORDINALITY AS r (revision, number)
    CROSS JOIN LATERAL (SELECT * FROM change c WHERE c.account_id = for_account AND c.revision = r.revision OFFSET 0) c
    ORDER BY r.number;
END
$$;

-- The newest and the oldest revision of an account; 0 and NULL where there is none.
CREATE FUNCTION untag_extent(for_account text, OUT newest bigint, OUT oldest bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
BEGIN
    SELECT n.revision INTO newest FROM untag_newest(for_account) n;
    SELECT c.revision INTO oldest FROM change c
    WHERE c.account_id = for_account ORDER BY c.account_id, c.revision LIMIT 1;
END
$$;

-- Deletes up to `most` entries, those first whose accounts have the oldest ones: what is older than `age`, and what the log takes
-- beyond `bytes`. The newest of an account stays: the next revision is counted from there. So do those of the last minute: somebody
-- may be finding out what became of them. Deletes what a day has made useless
-- of the other tables, and sees whether there are more than `most_tokens` client tokens. One session at a time does this; others do
-- nothing. Returns how many entries were deleted.
CREATE FUNCTION untag_compact(now bigint, age bigint, bytes bigint, most bigint, most_tokens bigint)
RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    excess bigint;
    extent record;
    cut record;
    deleted bigint := 0;
    is_full boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(8386102895914018146) THEN
        RETURN 0;
    END IF;
    DELETE FROM client_token c USING (
        SELECT t.account_id, t.caller, t.action, t.token FROM client_token t WHERE t.at <= now - 86400000 ORDER BY t.at LIMIT most
    ) t
    WHERE c.account_id = t.account_id AND c.caller = t.caller AND c.action = t.action AND c.token = t.token
    AND c.at <= now - 86400000;
    DELETE FROM superseded s USING (
        SELECT t.account_id, t.request_id FROM superseded t WHERE t.at <= now - 86400000 ORDER BY t.at LIMIT most
    ) t
    WHERE s.account_id = t.account_id AND s.request_id = t.request_id;
    -- An answer with users counts once more for each 256 bytes that they take.
    SELECT sum(1 + coalesce(pg_column_size(t.users), 0) / 256) >= most_tokens INTO is_full
    FROM (SELECT c.users FROM client_token c LIMIT most_tokens) t;
    is_full := coalesce(is_full, false);
    UPDATE history SET tokens_full = is_full WHERE tokens_full <> is_full;

    SELECT coalesce(sum(n.total - o.total), 0) - bytes INTO excess FROM account a
    CROSS JOIN LATERAL untag_newest(a.account_id) n CROSS JOIN LATERAL untag_changes(a.account_id, 1, false, 1) o;
    FOR extent IN
        SELECT a.account_id, o.revision, o.total, n.revision AS newest FROM account a
        CROSS JOIN LATERAL untag_newest(a.account_id) n CROSS JOIN LATERAL untag_changes(a.account_id, 1, false, 1) o
        WHERE o.revision < n.revision AND o.at <= now - 60000 AND (o.at <= now - age OR excess > 0) ORDER BY o.at
    LOOP
        -- The first one that stays, so that revisions have no gap.
        SELECT c.revision, c.total INTO cut FROM untag_changes(extent.account_id, extent.revision, false, most - deleted + 1) c
        WHERE c.revision >= least(extent.newest, extent.revision + most - deleted)
        OR c.at > now - 60000 OR (c.at > now - age AND c.total - extent.total >= excess)
        ORDER BY c.revision LIMIT 1;
        DELETE FROM change c WHERE c.account_id = extent.account_id AND c.revision < cut.revision;
        deleted := deleted + cut.revision - extent.revision;
        excess := excess - (cut.total - extent.total);
        EXIT WHEN deleted >= most;
    END LOOP;
    RETURN deleted;
END
$$;
