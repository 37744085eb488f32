-- Each change of an account is an entry of its change log, with what was there before. Who changes users locks their rows first, in
-- order of id, and then the row of the account: entries have their numbers in the order of commits, and nobody deadlocks.

-- The identity of the log: revisions mean the same in one history only. And what retention knows: whether there are so many client
-- tokens that no more are taken, how many bytes the log had when they were counted last, and when all that was to go had gone. One
-- row.
CREATE TABLE history (
    history_id   uuid NOT NULL,
    tokens_full  boolean NOT NULL DEFAULT false,
    bytes        bigint NOT NULL DEFAULT 0,
    counted_at   bigint NOT NULL DEFAULT 0,
    compacted_at bigint NOT NULL DEFAULT 0
);
INSERT INTO history (history_id) VALUES (gen_random_uuid());

-- Has a row for each account that was ever changed: what its changes lock before they take the next revision. With the time of its
-- oldest entry, by which retention finds it; NULL where there is none but the newest, which stays.
CREATE TABLE account (
    account_id text COLLATE "C" PRIMARY KEY,
    oldest_at  bigint
);
CREATE INDEX account_by_oldest ON account (oldest_at);

-- `effects` is an array with an object for each user that was changed: its `id`, `prev` (the request of the change before this one
-- of the same user, if there is one), and one of
-- - `removed`: tags with the values that they had; - `set`: for each key the value before, or null, and the one it has got;
-- - `created`, `restored`: the user as it was then; `deleted`: as it was before; `before` and `after`: those of an update.
-- Tags that are removed by their keys are written more often than anything else, and as arrays, which costs less: `effects` is null
-- then, `users` and `prevs` have the users and the changes before, and `removed` for each user the value of each of the `keys`, or
-- null. `untag_effects` makes one of the other. `total` is how many bytes the entries of the account have taken up to this one, those that are gone too.
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
    effects      jsonb,
    users        text[],
    prevs        uuid[],
    keys         text[],
    removed      text[],
    -- Which replica writes its line of the audit, if there is one, and what only that line has.
    replica           uuid,
    is_secure         boolean NOT NULL,
    client_request_id text COLLATE "C",
    PRIMARY KEY (account_id, revision)
);
CREATE UNIQUE INDEX change_by_request_id ON change (account_id, request_id);

-- The replicas that keep an audit. One that has not been seen for a while is gone, and another one takes the lines that it owes.
CREATE TABLE replica (
    replica_id uuid PRIMARY KEY,
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_by   uuid
);

-- Up to which revision of a history the changes of a replica have their lines. Made with its first change of an account.
CREATE TABLE audit_position (
    account_id text COLLATE "C" NOT NULL,
    replica    uuid NOT NULL,
    revision   bigint NOT NULL,
    history_id uuid NOT NULL,
    PRIMARY KEY (account_id, replica)
) WITH (fillfactor = 50);

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
    -- Those of a change of users, as it answered with them, or the conflicts of a revert.
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
-- The name comes first, so that no plan that is made before there are statistics takes this index to find a user by id, and reads all
-- users of the account for each.
DROP INDEX resource_by_principal_name;
CREATE UNIQUE INDEX resource_by_principal_name ON resource (lower(principal_name), account_id, resource_type);
-- Room for a new version of a row beside the old one, so that the indexes need no new entry.
ALTER TABLE resource SET (fillfactor = 85);
ALTER TABLE deleted_user ADD COLUMN last_change uuid;

-- Where a change comes from, and what its repetitions are known by, if they are.
CREATE TYPE untag_origin AS (
    request_id  uuid,
    at          bigint,
    caller      text COLLATE "C",
    source_ip   text COLLATE "C",
    action      text COLLATE "C",
    token       text COLLATE "C",
    fingerprint bytea,
    is_secure   boolean,
    client_request_id text COLLATE "C",
    replica     uuid
);

-- The origins of changes that are made together, an array for each part.
CREATE TYPE untag_origins AS (
    request_ids  uuid[],
    times        bigint[],
    callers      text[],
    source_ips   text[],
    actions      text[],
    tokens       text[],
    fingerprints bytea[],
    are_secure   boolean[],
    client_request_ids text[],
    replica      uuid
);

-- What came of a change of tags: the number of the command, which is 1; what was found of its targets, and which would have too many
-- tags; how many were found and how many were changed; how many tags were; the account's newest revision then. Where it repeats
-- another request, that one, or that it has another content. For each tag with another value than expected 32 times the position of
-- its user among the targets, and that of its key among those with expected values.
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

-- Locks the row of an account until the transaction ends, and makes it first where there is none. Returns when its oldest entry was
-- made, as the row has it.
CREATE FUNCTION untag_lock_account(for_account text)
RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    oldest bigint;
BEGIN
    SELECT a.oldest_at INTO oldest FROM account a WHERE a.account_id = for_account FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO account (account_id) VALUES (for_account) ON CONFLICT DO NOTHING;
        SELECT a.oldest_at INTO oldest FROM account a WHERE a.account_id = for_account FOR NO KEY UPDATE;
    END IF;
    RETURN oldest;
END
$$;

-- The newest revision of an account, 0 where there is none, and the total and the time there.
CREATE FUNCTION untag_newest(for_account text, OUT revision bigint, OUT total bigint, OUT at bigint)
LANGUAGE plpgsql
-- The plan is one step back in the primary key, also where it is made while the table is empty, and kept.
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
    SELECT c.revision, c.total, c.at INTO untag_newest.revision, untag_newest.total, untag_newest.at FROM change c
    WHERE c.account_id = for_account ORDER BY c.account_id DESC, c.revision DESC LIMIT 1;
    untag_newest.revision := coalesce(untag_newest.revision, 0);
    untag_newest.total := coalesce(untag_newest.total, 0);
END
$$;

-- What is written of a change: its number among those that are written together, and what it did, as a row of `change` has it.
CREATE TYPE untag_entry AS (
    number  bigint,
    effects jsonb,
    users   text[],
    prevs   uuid[],
    keys    text[],
    removed text[]
);

-- Writes entries, in the order of their numbers, each with the origin in that place. Returns the account's newest revision
-- before them. The rows that are changed have to be locked before. `attempt` is the number of the try.
CREATE FUNCTION untag_write(for_account text, attempt integer, origins untag_origins, entries untag_entry[])
RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    newest record;
    oldest bigint;
BEGIN
    IF cardinality(entries) > 0 THEN
        oldest := untag_lock_account(for_account);
        -- Who has lost the answer to a try has looked for its entry behind the same lock.
        IF EXISTS (SELECT FROM superseded s WHERE s.account_id = for_account)
            AND EXISTS (SELECT FROM superseded s WHERE s.account_id = for_account
                AND s.request_id = ANY (origins.request_ids) AND s.attempt >= untag_write.attempt) THEN
            RAISE EXCEPTION 'the change was sent again meanwhile' USING ERRCODE = 'query_canceled';
        END IF;
    END IF;
    newest := untag_newest(for_account);
    IF cardinality(entries) > 0 THEN
        IF origins.replica IS NOT NULL
            AND NOT EXISTS (SELECT FROM audit_position p WHERE p.account_id = for_account AND p.replica = origins.replica) THEN
            INSERT INTO audit_position SELECT for_account, origins.replica, newest.revision, h.history_id FROM history h;
        END IF;
        INSERT INTO change (account_id, revision, total, request_id, at, caller, source_ip, action, client_token,
            effects, users, prevs, keys, removed, replica, is_secure, client_request_id)
        SELECT for_account, newest.revision + row_number() OVER w,
            -- Beside its effects an entry takes about 200 bytes, in its row and in two indexes.
            newest.total + sum(200 + coalesce(pg_column_size(e.effects), pg_column_size(e.users) + pg_column_size(e.removed))) OVER w,
            o.request_id, o.at, o.caller, o.source_ip, o.action, o.token, e.effects, e.users, e.prevs, e.keys, e.removed,
            origins.replica, o.is_secure, o.client_request_id
        FROM unnest(origins.request_ids, origins.times, origins.callers, origins.source_ips, origins.actions, origins.tokens,
            origins.are_secure, origins.client_request_ids)
            WITH ORDINALITY AS o (request_id, at, caller, source_ip, action, token, is_secure, client_request_id, number)
        JOIN unnest(entries) AS e ON e.number = o.number
        WINDOW w AS (ORDER BY o.number);
        IF oldest IS NULL AND (newest.revision > 0 OR cardinality(entries) > 1) THEN
            UPDATE account SET oldest_at = coalesce(newest.at, origins.times[1]) WHERE account_id = for_account;
        END IF;
    END IF;
    RETURN newest.revision;
END
$$;

-- As `untag_write`, with the effects of each origin; NULL for a change that has none, and no entry.
CREATE FUNCTION untag_record(for_account text, attempt integer, origins untag_origin[], effects jsonb[])
RETURNS bigint
LANGUAGE sql
AS $$
    SELECT untag_write(for_account, attempt, (
        SELECT ROW(array_agg(o.request_id ORDER BY o.number), array_agg(o.at ORDER BY o.number), array_agg(o.caller ORDER BY o.number),
            array_agg(o.source_ip ORDER BY o.number), array_agg(o.action ORDER BY o.number), array_agg(o.token ORDER BY o.number),
            NULL, array_agg(o.is_secure ORDER BY o.number), array_agg(o.client_request_id ORDER BY o.number),
            origins[1].replica)::untag_origins
        FROM unnest(origins) WITH ORDINALITY
            AS o (request_id, at, caller, source_ip, action, token, fingerprint, is_secure, client_request_id, replica, number)
    ), ARRAY(
        SELECT ROW(e.number, e.effects, NULL, NULL, NULL, NULL)::untag_entry
        FROM unnest(effects) WITH ORDINALITY AS e (effects, number) WHERE e.effects IS NOT NULL
    ))
$$;

-- The effects of an entry, as an array with an object for each user.
CREATE FUNCTION untag_effects(effects jsonb, users text[], prevs uuid[], keys text[], removed text[])
RETURNS jsonb
LANGUAGE sql
STABLE
AS $$
    SELECT coalesce(effects, (
        SELECT jsonb_agg(jsonb_build_object('id', u.id, 'prev', u.prev, 'removed', (
            SELECT jsonb_object_agg(k.key, removed[u.number][k.number])
            FROM unnest(keys) WITH ORDINALITY AS k (key, number) WHERE removed[u.number][k.number] IS NOT NULL
        )) ORDER BY u.number)
        FROM unnest(users, prevs) WITH ORDINALITY AS u (id, prev, number)
    ))
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

-- What a request with a client token holds until its transaction ends.
CREATE FUNCTION untag_token_lock(for_account text, action text, token text, caller text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT hashtextextended(concat_ws(' ', for_account, action, length(token), token, caller), 8386102895914018145)
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
    PERFORM pg_advisory_xact_lock(untag_token_lock(for_account, origin.action, origin.token, origin.caller));
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

-- The numbers of those among changes with client tokens that can't be made beside others: another request with the token of one is
-- under way or was answered, or comes before it here, or there are too many tokens. The others have their locks.
CREATE FUNCTION untag_find_repeats(for_account text, origins untag_origins)
RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    locked bigint[];
BEGIN
    locked := ARRAY(
        SELECT o.number FROM (
            SELECT DISTINCT ON (o.caller, o.action, o.token) o.number,
                untag_token_lock(for_account, o.action, o.token, o.caller) AS lock
            FROM unnest(origins.callers, origins.actions, origins.tokens) WITH ORDINALITY AS o (caller, action, token, number)
            WHERE o.token IS NOT NULL ORDER BY o.caller, o.action, o.token, o.number OFFSET 0
        ) o WHERE pg_try_advisory_xact_lock(o.lock)
    );
    -- In a statement of its own: who has had a lock before may have answered meanwhile.
    RETURN ARRAY(
        SELECT o.number
        FROM unnest(origins.times, origins.callers, origins.actions, origins.tokens) WITH ORDINALITY
            AS o (at, caller, action, token, number)
        WHERE o.token IS NOT NULL AND (o.number <> ALL (locked) OR (SELECT h.tokens_full FROM history h) OR EXISTS (
            SELECT FROM client_token c
            WHERE c.account_id = for_account AND c.caller = o.caller AND c.action = o.action AND c.token = o.token
            AND c.at > o.at - 86400000
        ))
    );
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

-- Users that are locked: their ids, what they were found by, their tags, and the requests that changed them last.
CREATE TYPE untag_users AS (
    ids          text[],
    names        text[],
    tags         jsonb[],
    last_changes uuid[]
);

-- Locks users, by id or by lower-case name. Who waits does so in order of id; who does not passes over rows that others have locked,
-- and those whose tags are no object.
CREATE FUNCTION untag_lock_users(for_account text, are_ids boolean, waits boolean, names text[])
RETURNS untag_users
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    locked untag_users;
BEGIN
    -- What a locked row has is what it has now, and not when the statement began.
    IF are_ids AND waits THEN
        SELECT array_agg(l.resource_id), array_agg(l.resource_id), array_agg(l.tags), array_agg(l.last_change) INTO locked FROM (
            SELECT r.resource_id, r.tags, r.last_change FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (names)
            ORDER BY r.resource_id FOR UPDATE
        ) l;
    ELSIF are_ids THEN
        SELECT array_agg(l.resource_id), array_agg(l.resource_id), array_agg(l.tags), array_agg(l.last_change) INTO locked FROM (
            SELECT r.resource_id, r.tags, r.last_change FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = ANY (names)
            AND jsonb_typeof(r.tags) = 'object' FOR UPDATE SKIP LOCKED
        ) l;
    ELSIF waits THEN
        SELECT array_agg(l.resource_id), array_agg(l.name), array_agg(l.tags), array_agg(l.last_change) INTO locked FROM (
            SELECT r.resource_id, lower(r.principal_name) AS name, r.tags, r.last_change FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND lower(r.principal_name) = ANY (names)
            ORDER BY r.resource_id FOR UPDATE
        ) l;
    ELSE
        SELECT array_agg(l.resource_id), array_agg(l.name), array_agg(l.tags), array_agg(l.last_change) INTO locked FROM (
            SELECT r.resource_id, lower(r.principal_name) AS name, r.tags, r.last_change FROM resource r
            WHERE r.account_id = for_account AND r.resource_type = 'user' AND lower(r.principal_name) = ANY (names)
            AND jsonb_typeof(r.tags) = 'object' FOR UPDATE SKIP LOCKED
        ) l;
    END IF;
    IF locked.ids IS NULL THEN
        RETURN ROW('{}', '{}', '{}', '{}')::untag_users;
    END IF;
    IF waits AND EXISTS (SELECT FROM unnest(locked.tags) AS t (tags) WHERE jsonb_typeof(t.tags) <> 'object') THEN
        RAISE EXCEPTION 'the tags of a user are no object' USING ERRCODE = 'data_corrupted';
    END IF;
    RETURN locked;
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
    -- In one statement, and so at one moment: between two the user may be deleted or restored, and be in neither.
    SELECT u.last_change INTO next_id FROM (
        SELECT r.last_change FROM resource r
        WHERE r.account_id = for_account AND r.resource_type = 'user' AND r.resource_id = user_id
        UNION ALL
        SELECT d.last_change FROM deleted_user d
        WHERE d.account_id = for_account AND d.resource_type = 'user' AND d.resource_id = user_id
    ) u;
    WHILE next_id IS NOT NULL LOOP
        SELECT * INTO entry FROM change c WHERE c.account_id = for_account AND c.request_id = next_id;
        -- It is gone, and so are those before it.
        EXIT WHEN NOT FOUND OR (NOT backwards AND entry.revision < first_revision);
        IF NOT backwards OR entry.revision <= first_revision THEN
            revisions := revisions || entry.revision;
            EXIT WHEN backwards AND cardinality(revisions) >= most;
        END IF;
        SELECT (e ->> 'prev')::uuid INTO next_id FROM jsonb_array_elements(untag_effects(entry.effects, entry.users, entry.prevs, entry.keys, entry.removed)) e WHERE e ->> 'id' = user_id;
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

-- Tells that a replica is there, and takes for it those that are gone. Returns the ones that it has taken: one that is there after all
-- says so itself.
CREATE FUNCTION untag_meet_replicas(own uuid)
RETURNS uuid[]
LANGUAGE sql
AS $$
    INSERT INTO replica (replica_id) VALUES (own) ON CONFLICT (replica_id) DO UPDATE SET seen_at = clock_timestamp(), taken_by = NULL;
    UPDATE replica SET seen_at = clock_timestamp() WHERE taken_by = own;
    UPDATE replica SET seen_at = clock_timestamp(), taken_by = own WHERE replica_id IN (
        SELECT r.replica_id FROM replica r
        WHERE r.seen_at < clock_timestamp() - interval '1 minute' AND r.replica_id <> own
        ORDER BY r.seen_at LIMIT 16 FOR UPDATE SKIP LOCKED
    );
    SELECT array(SELECT r.replica_id FROM replica r WHERE r.taken_by = own ORDER BY r.replica_id)
$$;

-- Forgets a replica that is gone, where it owes no lines. Returns whether it did. Who was only slow and changes an account meanwhile
-- waits for its row, and begins anew.
CREATE FUNCTION untag_forget_replica(gone uuid)
RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    next record;
BEGIN
    FOR next IN SELECT p.account_id, p.revision FROM audit_position p WHERE p.replica = gone ORDER BY p.account_id LOOP
        PERFORM untag_lock_account(next.account_id);
        DELETE FROM audit_position p WHERE p.account_id = next.account_id AND p.replica = gone AND NOT EXISTS (
            SELECT FROM change c WHERE c.account_id = next.account_id AND c.revision > p.revision AND c.replica = gone
        );
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END LOOP;
    DELETE FROM replica r WHERE r.replica_id = gone;
    RETURN true;
END
$$;

-- How many bytes the log takes of which something can go.
CREATE FUNCTION untag_count_bytes()
RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(n.total - o.total), 0) FROM account a
        CROSS JOIN LATERAL (
            SELECT c.total FROM change c WHERE c.account_id = a.account_id ORDER BY c.account_id DESC, c.revision DESC LIMIT 1
        ) n
        CROSS JOIN LATERAL (
            SELECT c.total FROM change c WHERE c.account_id = a.account_id ORDER BY c.account_id, c.revision LIMIT 1
        ) o
        WHERE a.oldest_at IS NOT NULL
    );
END
$$;

-- Deletes up to `most` entries of accounts that have the oldest ones: what is older than `age`, and `excess` bytes. The newest of an
-- account stays: the next revision is counted from there. So do those of the last minute: somebody may be finding out what became of
-- them; and for a day those that may have no line in the audit. Returns how many entries were deleted, how many bytes they had, and whether there may be more to delete.
CREATE FUNCTION untag_compact_entries(
    now bigint, age bigint, excess bigint, most bigint, OUT deleted bigint, OUT bytes bigint, OUT is_more boolean
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off
AS $$
DECLARE
    next record;
    oldest record;
    newest bigint;
    unaudited bigint;
    cut record;
    compacted text[] := '{}';
BEGIN
    deleted := 0;
    bytes := 0;
    is_more := false;
    FOR next IN
        SELECT a.account_id, a.oldest_at FROM account a
        WHERE a.oldest_at <= CASE WHEN excess > 0 THEN now - 60000 ELSE least(now - age, now - 60000) END
        ORDER BY a.oldest_at LIMIT most
    LOOP
        EXIT WHEN bytes >= excess AND next.oldest_at > now - age;
        compacted := compacted || next.account_id;
        SELECT c.revision, c.total INTO oldest FROM untag_changes(next.account_id, 1, false, 1) c;
        SELECT n.revision INTO newest FROM untag_newest(next.account_id) n;
        SELECT min(p.revision) + 1 INTO unaudited FROM audit_position p WHERE p.account_id = next.account_id;
        -- The first one that stays, so that revisions have no gap.
        SELECT c.revision, c.total INTO cut FROM untag_changes(next.account_id, oldest.revision, false, most - deleted + 1) c
        WHERE c.revision >= least(newest, oldest.revision + most - deleted)
        OR (c.revision >= unaudited AND c.at > now - 86400000)
        OR c.at > now - 60000 OR (c.at > now - age AND c.total - oldest.total >= excess - bytes)
        ORDER BY c.revision LIMIT 1;
        DELETE FROM change c WHERE c.account_id = next.account_id AND c.revision < cut.revision;
        deleted := deleted + coalesce(cut.revision - oldest.revision, 0);
        bytes := bytes + coalesce(cut.total - oldest.total, 0);
        is_more := deleted >= most OR cardinality(compacted) >= 100;
        EXIT WHEN is_more;
    END LOOP;
    -- The locks are held for the end of the transaction only.
    FOR next IN SELECT c.account_id FROM unnest(compacted) AS c (account_id) ORDER BY c.account_id LOOP
        PERFORM untag_lock_account(next.account_id);
        SELECT c.revision, c.at INTO oldest FROM untag_changes(next.account_id, 1, false, 1) c;
        SELECT n.revision INTO newest FROM untag_newest(next.account_id) n;
        UPDATE account a SET oldest_at = CASE WHEN oldest.revision < newest THEN oldest.at END WHERE a.account_id = next.account_id;
    END LOOP;
END
$$;

-- Keeps the log within `age` and `bytes`, and the tables beside it within a day, by up to `most` rows of each. Sees now and then how
-- many bytes the log has, and whether there are more than `most_tokens` client tokens. One session at a time does this, and where it
-- has left nothing to do, nobody for the next `pause` milliseconds. Returns how many entries were deleted, and whether there may be
-- more to delete.
CREATE FUNCTION untag_compact(
    now bigint, age bigint, bytes bigint, most bigint, most_tokens bigint, pause bigint, OUT deleted bigint, OUT is_more boolean
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    known history;
    done record;
BEGIN
    deleted := 0;
    is_more := false;
    IF NOT pg_try_advisory_xact_lock(8386102895914018146) THEN
        RETURN;
    END IF;
    SELECT * INTO known FROM history;
    -- Clocks may step back, and those of replicas differ.
    IF known.compacted_at BETWEEN now - pause + 1 AND now + pause THEN
        RETURN;
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
    -- What reads much is done less often.
    IF known.counted_at NOT BETWEEN now - 12 * pause + 1 AND now + 12 * pause THEN
        -- An answer with users counts once more for each 256 bytes that they take.
        SELECT coalesce(sum(1 + coalesce(pg_column_size(t.users), 0) / 256), 0) >= most_tokens INTO known.tokens_full
        FROM (SELECT c.users FROM client_token c LIMIT most_tokens) t;
        known.bytes := untag_count_bytes();
        known.counted_at := now;
    END IF;
    SELECT * INTO done FROM untag_compact_entries(now, age, known.bytes - untag_compact.bytes, most) e;
    UPDATE history SET tokens_full = known.tokens_full, counted_at = known.counted_at, bytes = known.bytes - done.bytes,
        compacted_at = CASE WHEN done.is_more THEN compacted_at ELSE now END;
    deleted := done.deleted;
    is_more := done.is_more;
END
$$;
