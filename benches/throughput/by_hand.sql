-- The work of the service by hand: users are locked in order of id and changed, then the row of the account is locked, and entries
-- with the values that were there are written with its next revisions. Nothing of the service's other promises: no client tokens, no
-- targets that are missing or locked by others, no tries that come late.

INSERT INTO account (account_id) SELECT DISTINCT account_id FROM resource ON CONFLICT DO NOTHING;

-- One key of one user.
CREATE FUNCTION by_hand_one(account text, id text, key text, request uuid)
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    before record;
    newest record;
BEGIN
    SELECT r.tags, r.last_change INTO before FROM resource r
    WHERE r.account_id = account AND r.resource_type = 'user' AND r.resource_id = id FOR NO KEY UPDATE;
    IF NOT before.tags ? key THEN
        RETURN;
    END IF;
    UPDATE resource r SET tags = r.tags - key, last_change = request
    WHERE r.account_id = account AND r.resource_type = 'user' AND r.resource_id = id;
    PERFORM FROM account a WHERE a.account_id = account FOR NO KEY UPDATE;
    SELECT c.revision, c.total INTO newest FROM change c WHERE c.account_id = account
    ORDER BY c.account_id DESC, c.revision DESC LIMIT 1;
    INSERT INTO change (account_id, revision, total, request_id, at, caller, source_ip, action, users, prevs, keys, removed, is_secure)
    VALUES (account, coalesce(newest.revision, 0) + 1, coalesce(newest.total, 0) + 300, request,
        extract(epoch FROM now()) * 1000, 'anonymous', '127.0.0.1', 'ram:UntagResources', ARRAY[id], ARRAY[before.last_change],
        ARRAY[key], ARRAY[before.tags ->> key], false);
END
$$;

-- One key of each of several users, an entry each.
CREATE FUNCTION by_hand_many(account text, ids text[], keys text[], requests uuid[])
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off
AS $$
DECLARE
    done record;
    newest record;
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT r.resource_id, r.tags, r.last_change FROM resource r
        WHERE r.account_id = account AND r.resource_type = 'user' AND r.resource_id = ANY (ids)
        ORDER BY r.resource_id FOR NO KEY UPDATE
    ), effect AS MATERIALIZED (
        SELECT t.*, l.last_change, l.tags ->> t.key AS value
        FROM unnest(ids, keys, requests) AS t (id, key, request) JOIN locked l ON l.resource_id = t.id WHERE l.tags ? t.key
    ), changed AS (
        UPDATE resource r SET tags = r.tags - e.key, last_change = e.request FROM effect e
        WHERE r.account_id = account AND r.resource_type = 'user' AND r.resource_id = ANY (ids) AND r.resource_id = e.id
    )
    SELECT array_agg(e.id) AS ids, array_agg(e.key) AS keys, array_agg(e.request) AS requests,
        array_agg(e.last_change) AS prevs, array_agg(e.value) AS removed INTO done FROM effect e;
    PERFORM FROM account a WHERE a.account_id = account FOR NO KEY UPDATE;
    SELECT c.revision, c.total INTO newest FROM change c WHERE c.account_id = account
    ORDER BY c.account_id DESC, c.revision DESC LIMIT 1;
    INSERT INTO change (account_id, revision, total, request_id, at, caller, source_ip, action, users, prevs, keys, removed, is_secure)
    SELECT account, coalesce(newest.revision, 0) + e.number, coalesce(newest.total, 0) + 300 * e.number, e.request,
        extract(epoch FROM now()) * 1000, 'anonymous', '127.0.0.1', 'ram:UntagResources', ARRAY[e.id], ARRAY[e.prev], ARRAY[e.key],
        ARRAY[e.removed], false
    FROM unnest(done.ids, done.keys, done.requests, done.prevs, done.removed) WITH ORDINALITY
        AS e (id, key, request, prev, removed, number);
END
$$;

-- Five keys of each of several users, with one entry.
CREATE FUNCTION by_hand_five(account text, ids text[], keys text[], request uuid)
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off
AS $$
DECLARE
    done record;
    newest record;
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT r.resource_id, r.tags, r.last_change FROM resource r
        WHERE r.account_id = account AND r.resource_type = 'user' AND r.resource_id = ANY (ids)
        ORDER BY r.resource_id FOR NO KEY UPDATE
    ), changed AS (
        UPDATE resource r SET tags = r.tags - keys, last_change = request
        WHERE r.account_id = account AND r.resource_type = 'user' AND r.resource_id = ANY (ids) AND r.tags ?| keys
    )
    SELECT array_agg(l.resource_id) AS ids, array_agg(l.last_change) AS prevs, array_agg(ARRAY[l.tags ->> keys[1],
        l.tags ->> keys[2], l.tags ->> keys[3], l.tags ->> keys[4], l.tags ->> keys[5]]) AS removed
    INTO done FROM locked l WHERE l.tags ?| keys;
    PERFORM FROM account a WHERE a.account_id = account FOR NO KEY UPDATE;
    SELECT c.revision, c.total INTO newest FROM change c WHERE c.account_id = account
    ORDER BY c.account_id DESC, c.revision DESC LIMIT 1;
    INSERT INTO change (account_id, revision, total, request_id, at, caller, source_ip, action, users, prevs, keys, removed, is_secure)
    VALUES (account, coalesce(newest.revision, 0) + 1, coalesce(newest.total, 0) + 300, request,
        extract(epoch FROM now()) * 1000, 'anonymous', '127.0.0.1', 'ram:UntagResources', done.ids, done.prevs, keys, done.removed,
        false);
END
$$;
