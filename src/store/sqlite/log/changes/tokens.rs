//! The answers to requests with a client token: a request that comes again is answered as it was answered then, for 24 hours.

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::answers::{Answer, AnswerColumns};
use crate::domain::{AccountId, Fingerprint, Origin, Repeat, RequestId, Timestamp};
use crate::store::sqlite::error::ApplyError;

/// How long an answer is remembered.
const REMEMBERED_MILLIS: i64 = 24 * 60 * 60 * 1_000;
/// How many answers are remembered at most, in about 150 bytes each, and up to 250 more where an untag has left tags as they were. One
/// with users counts once more for each `USER_BYTES` that they take.
pub const MOST_TOKENS: i64 = 1_000_000;
const USER_BYTES: i64 = 256;
/// How many answers are forgotten at once, which have to be more than come.
const FORGOTTEN_WITH_EACH: i64 = 2;
const FORGOTTEN_AT_ONCE: i64 = 512;

/// The answers that are remembered.
#[derive(Debug)]
pub struct ClientTokens {
    most: i64,
    /// What those count that there are after the last commit; it is found out when the first is needed.
    count: Option<i64>,
    /// What those count that the open transaction has added, less those that it has forgotten.
    added: i64,
}

/// What is known of a request with a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// It has not been answered.
    New,
    /// It has been answered like this.
    Answered(T),
    /// The token was given to a request with another content.
    Mismatch,
    /// There is no room to remember its answer.
    Full,
}

/// A hash of what a token belongs to: the account, the caller and the method. Anonymous callers are one.
fn key(account: &AccountId, origin: &Origin, repeat: &Repeat) -> [u8; 16] {
    let mut hash = Sha256::new();
    // The caller comes last, since only its name may hold anything.
    for part in [
        account.as_str(),
        origin.action.as_str(),
        repeat.token.as_str(),
        origin.caller.as_str(),
    ] {
        hash.update(part);
        hash.update([0]);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

impl ClientTokens {
    /// The answers of a store that remembers so many at most.
    pub fn new(most: i64) -> Self {
        Self {
            most,
            count: None,
            added: 0,
        }
    }

    /// Forgets what the last transaction has added and not committed.
    pub fn begin(&mut self) {
        self.added = 0;
    }

    /// Looks for the answer to a request.
    pub fn look<T: Answer>(
        &mut self,
        connection: &Connection,
        account: &AccountId,
        (origin, repeat): (&Origin, &Repeat),
        now: Timestamp,
    ) -> Result<Known<T>, ApplyError> {
        let select = "SELECT fingerprint, request_id, revision, resources, changed, tags, mismatches, users \
             FROM client_token WHERE key = ?1 AND time > ?2";
        let key = key(account, origin, repeat);
        let found = connection
            .prepare_cached(select)?
            .query_row(params![key, remembered_since(now)], |row| {
                let (fingerprint, request_id) = (row.get(0)?, row.get::<_, [u8; 16]>(1)?);
                Ok((fingerprint, request_id, AnswerColumns::read(row, 2)?))
            })
            .optional()?;
        let Some((fingerprint, request_id, columns)) = found else {
            return self.find_room(connection, now);
        };
        if Fingerprint(fingerprint) != repeat.fingerprint {
            return Ok(Known::Mismatch);
        }
        let request_id = RequestId::from_bytes(request_id);
        let answer = T::replayed(columns, account, request_id)?;
        Ok(Known::Answered(answer))
    }

    fn find_room<T>(
        &mut self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Known<T>, ApplyError> {
        let count = if let Some(count) = self.count {
            count
        } else {
            let count = "SELECT count(*) + coalesce(sum(length(users) / ?1), 0) FROM client_token";
            let count = connection.query_row(count, [USER_BYTES], |row| row.get(0))?;
            *self.count.insert(count)
        };
        if count + self.added >= self.most {
            self.forget(connection, now, FORGOTTEN_AT_ONCE)?;
        }
        Ok(if count + self.added < self.most {
            Known::New
        } else {
            Known::Full
        })
    }

    /// Remembers the answer to a request that was new.
    pub fn keep(
        &mut self,
        connection: &Connection,
        account: &AccountId,
        (origin, repeat): (&Origin, &Repeat),
        answer: &impl Answer,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        self.forget(connection, now, FORGOTTEN_WITH_EACH)?;
        // One that is too old to be an answer may be there still.
        let insert = "INSERT OR REPLACE INTO client_token \
             (key, time, fingerprint, request_id, revision, resources, changed, tags, mismatches, users) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let columns = answer.columns();
        let user_bytes = columns.users.as_ref().map_or(0, Vec::len);
        let columns = params![
            key(account, origin, repeat),
            now.millis(),
            repeat.fingerprint.0,
            origin.request_id.to_bytes(),
            columns.revision,
            columns.resources,
            columns.changed,
            columns.tags,
            columns.mismatches,
            columns.users,
        ];
        connection.prepare_cached(insert)?.execute(columns)?;
        self.added += 1 + i64::try_from(user_bytes).unwrap_or(i64::MAX) / USER_BYTES;
        Ok(())
    }

    /// Forgets up to so many answers that are older than a day. Returns whether there may be more.
    fn forget(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        most: i64,
    ) -> rusqlite::Result<bool> {
        let delete = "DELETE FROM client_token WHERE key IN \
             (SELECT key FROM client_token WHERE time <= ?1 ORDER BY time LIMIT ?2) \
             RETURNING 1 + coalesce(length(users), 0) / ?3";
        let mut delete = connection.prepare_cached(delete)?;
        let counts = delete.query_map([remembered_since(now), most, USER_BYTES], |row| {
            row.get::<_, i64>(0)
        })?;
        let mut forgotten = 0;
        for count in counts {
            self.added -= count?;
            forgotten += 1;
        }
        Ok(forgotten == most)
    }

    /// Forgets some answers that are older than a day, where there is nothing else to do. Returns whether there may be more.
    pub fn forget_some(
        &mut self,
        connection: &Connection,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        self.forget(connection, now, FORGOTTEN_AT_ONCE)
    }

    /// Takes over a transaction that was committed.
    pub fn committed(&mut self) {
        self.count = self.count.map(|count| count + self.added);
        self.added = 0;
    }
}

/// The newest time of answers that are forgotten.
fn remembered_since(now: Timestamp) -> i64 {
    now.millis().saturating_sub(REMEMBERED_MILLIS)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::domain::{
        Action, Caller, Changed, ClientToken, Mismatch, NewUser, PrincipalName, ResourceId,
        Revision, TagKey, TagValue, UsersChanged,
    };
    use crate::store::sqlite::format;

    fn origin(token: &str, content: u8) -> Origin {
        Origin {
            request_id: RequestId::from_bytes([content; 16]),
            time: Timestamp::from_millis(0),
            caller: Caller::recorded("jwt:a"),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure_transport: false,
            client_request_id: None,
            action: Action::UntagResources,
            repeat: Some(Repeat {
                token: ClientToken::parse(token).unwrap(),
                fingerprint: Fingerprint([content; 16]),
            }),
        }
    }

    fn answer(origin: &Origin, revision: u64) -> Changed {
        Changed {
            resources: 3,
            changed_resources: Some(2),
            tags: Some(4),
            revision: Revision::new(revision),
            request_id: Some(origin.request_id),
            is_replay: true,
            mismatches: vec![Mismatch { target: 1, key: 2 }],
        }
    }

    fn account(id: &str) -> AccountId {
        AccountId::parse(id).unwrap()
    }

    struct Store {
        connection: Connection,
        tokens: ClientTokens,
    }

    impl Store {
        fn new(most: i64) -> Self {
            let mut connection = Connection::open_in_memory().unwrap();
            format::create(&mut connection).unwrap();
            let tokens = ClientTokens::new(most);
            Self { connection, tokens }
        }

        fn look(&mut self, origin: &Origin, now: i64) -> Known<Changed> {
            self.look_as("1", origin, now)
        }

        fn look_as<T: Answer>(&mut self, id: &str, origin: &Origin, now: i64) -> Known<T> {
            let request = (origin, origin.repeat.as_ref().unwrap());
            let (now, connection) = (Timestamp::from_millis(now), &self.connection);
            let found = self.tokens.look(connection, &account(id), request, now);
            found.unwrap()
        }

        fn keep(&mut self, origin: &Origin, revision: u64, now: i64) {
            self.keep_answer(origin, &answer(origin, revision), now);
        }

        fn keep_answer(&mut self, origin: &Origin, answer: &impl Answer, now: i64) {
            let request = (origin, origin.repeat.as_ref().unwrap());
            let (now, connection) = (Timestamp::from_millis(now), &self.connection);
            let kept = self
                .tokens
                .keep(connection, &account("1"), request, answer, now);
            kept.unwrap();
        }
    }

    #[test]
    fn a_request_is_answered_as_it_was_for_a_day() {
        let mut store = Store::new(10);
        let (first, other) = (origin("a", 1), origin("a", 2));
        assert_eq!(store.look(&first, 1_000), Known::New);
        store.keep(&first, 0, 1_000);
        let day = REMEMBERED_MILLIS;
        for now in [1_000, 999 + day] {
            assert_eq!(store.look(&first, now), Known::Answered(answer(&first, 0)));
            assert_eq!(store.look(&other, now), Known::Mismatch);
        }
        assert_eq!(store.look(&other, 1_000 + day), Known::New);
        store.keep(&other, 7, 1_000 + day);
        let answered = store.look(&other, 1_000 + day);
        assert_eq!(answered, Known::Answered(answer(&other, 7)));
        assert_eq!(store.look(&first, 1_000 + day), Known::Mismatch);
    }

    #[test]
    fn a_token_is_one_of_its_account_caller_and_method() {
        let mut store = Store::new(10);
        let first = origin("a", 1);
        store.keep(&first, 1, 0);
        assert_eq!(store.look_as::<Changed>("2", &first, 0), Known::New);
        let mut other = first.clone();
        other.action = Action::TagResources;
        assert_eq!(store.look(&other, 0), Known::New);
        other = first.clone();
        other.caller = Caller::anonymous();
        assert_eq!(store.look(&other, 0), Known::New);
        assert_eq!(store.look(&origin("b", 1), 0), Known::New);
        assert_ne!(store.look(&first, 0), Known::New);
    }

    #[test]
    fn the_answers_are_bounded_and_the_oldest_make_room_when_they_have_expired() {
        let mut store = Store::new(2);
        for (at, token) in ["a", "b"].into_iter().enumerate() {
            let origin = origin(token, 1);
            assert_eq!(store.look(&origin, 0), Known::New);
            store.keep(&origin, 1, i64::try_from(at).unwrap());
            store.tokens.committed();
        }
        let third = origin("c", 1);
        assert_eq!(store.look(&third, 2), Known::Full);
        // What a transaction has added and lost does not count.
        store.tokens = ClientTokens::new(3);
        assert_eq!(store.look(&third, 2), Known::New);
        store.connection.execute_batch("BEGIN").unwrap();
        store.keep(&third, 1, 2);
        store.connection.execute_batch("ROLLBACK").unwrap();
        store.tokens.begin();
        assert_eq!(store.look(&third, 2), Known::New);
        store.tokens = ClientTokens::new(2);
        assert_eq!(store.look(&third, REMEMBERED_MILLIS), Known::New);
        assert_ne!(store.look(&origin("b", 1), REMEMBERED_MILLIS), Known::New);
    }
    #[test]
    fn an_answer_with_users_counts_by_their_size() {
        let (small, large) = (origin("a", 1), origin("b", 1));
        let comments = "x".repeat(128);
        let user = |size: usize| {
            let name = PrincipalName::parse("a@b").unwrap();
            let tag = |number| {
                let key = TagKey::parse(format!("{number}-{comments}").get(..128).unwrap());
                (key.unwrap(), TagValue::parse("").unwrap())
            };
            let tags = (0..size).map(tag).collect();
            let id = ResourceId::parse("1").unwrap();
            let user = NewUser::new(id, name, tags).unwrap();
            user.created(&account("1"), Timestamp::from_millis(0))
        };
        let answer = |size, origin: &Origin| UsersChanged {
            users: vec![user(size)],
            changed: 1,
            revision: Revision::new(7),
            request_id: Some(origin.request_id),
            is_replay: true,
        };
        let mut store = Store::new(12);
        store.keep_answer(&small, &answer(0, &small), 0);
        store.keep_answer(&large, &answer(20, &large), 1);
        store.tokens.committed();
        let found = store.look_as("1", &large, 2);
        assert_eq!(found, Known::Answered(answer(20, &large)));
        // The large one counts for more than 10.
        let third = origin("c", 1);
        assert_eq!(store.look(&third, 2), Known::Full);
        assert_eq!(store.look(&third, 1 + REMEMBERED_MILLIS), Known::New);
        assert_eq!(store.tokens.added, -12);
        store.keep_answer(&large, &answer(20, &large), 2 + REMEMBERED_MILLIS);
        for (most, known) in [(11, Known::Full), (12, Known::New)] {
            store.tokens = ClientTokens::new(most);
            assert_eq!(store.look(&third, 2 + REMEMBERED_MILLIS), known);
        }
    }
}
