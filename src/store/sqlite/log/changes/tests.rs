//! The change log against a plain list of its changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;

mod audit;

use super::*;
use crate::domain::{
    Action, AuditedChange, Caller, Change, Direction, Effect, EffectKind, RequestId, ResourceId,
    SetTag, TagKey, TagValue,
};
use crate::store::sqlite::format;
use crate::store::sqlite::format::tags::{self, TagMask};

const USERS: i64 = 6;
const KEYS: usize = 5;

type Tags = Vec<(TagKey, TagValue)>;

/// A user as its row has it, and which of its tags are removed.
#[derive(Clone)]
struct Row {
    lying: Tags,
    removed: TagMask,
}

impl Row {
    fn encoded(&self) -> Vec<u8> {
        tags::encode(self.lying.iter().map(|(key, value)| (key, value)))
    }

    fn left(&self) -> Tags {
        tags::decode(&self.encoded(), self.removed).unwrap()
    }
}

/// A log with its rows, and what it should say.
struct Model {
    connection: Connection,
    log: ChangeLog,
    rows: BTreeMap<i64, Row>,
    committed_rows: BTreeMap<i64, Row>,
    changes: BTreeMap<AccountId, Vec<Change>>,
    open: Vec<(AccountId, Change)>,
    requests: u128,
    time: i64,
}

fn retention() -> Retention {
    Retention {
        age: Duration::from_secs(1 << 30),
        bytes: u64::MAX,
    }
}

fn options(audit: AuditUse) -> Options {
    Options {
        retention: retention(),
        run_keys: RUN_KEYS,
        audit,
        ..Options::default()
    }
}

const RUN_KEYS: usize = 16;

fn account_of(number: i64) -> AccountId {
    AccountId::parse(&(1 + number % 3).to_string()).unwrap()
}

fn id_of(number: i64) -> ResourceId {
    ResourceId::parse((1000 + number).to_string()).unwrap()
}

fn all_tags(value: usize) -> Tags {
    let tag = |key: usize| {
        let value = TagValue::parse(format!("{key}-{value}")).unwrap();
        (TagKey::parse(format!("k{key}")).unwrap(), value)
    };
    (0..KEYS).map(tag).collect()
}

impl Model {
    fn new() -> Self {
        let mut connection = Connection::open_in_memory().unwrap();
        format::create(&mut connection).unwrap();
        let rows: BTreeMap<_, _> = (0..USERS)
            .map(|number| {
                let row = Row {
                    lying: all_tags(0),
                    removed: 0,
                };
                let insert = "INSERT INTO resource \
                     (number, account_id, resource_type, resource_id, principal_name, tags) \
                     VALUES (?1, '1', 'user', ?2, ?2, ?3)";
                let (id, tags) = (id_of(number), row.encoded());
                let columns = params![number, id.as_str(), tags];
                connection.execute(insert, columns).unwrap();
                (number, row)
            })
            .collect();
        let log = ChangeLog::open(&connection, &options(AuditUse::None)).unwrap();
        let mut model = Self {
            connection,
            log,
            committed_rows: rows.clone(),
            rows,
            changes: BTreeMap::new(),
            open: Vec::new(),
            requests: 0,
            time: 1_000_000,
        };
        model.begin();
        model
    }

    fn begin(&mut self) {
        self.connection.execute_batch("BEGIN").unwrap();
        self.time += 1_000;
        self.log.begin(Timestamp::from_millis(self.time));
    }

    fn commit(&mut self) {
        self.log.write(&self.connection).unwrap();
        self.connection.execute_batch("COMMIT").unwrap();
        self.log.committed();
        for (account, change) in self.open.drain(..) {
            self.changes.entry(account).or_default().push(change);
        }
        self.committed_rows = self.rows.clone();
        self.begin();
    }

    fn roll_back(&mut self) {
        self.log.write(&self.connection).unwrap();
        self.connection.execute_batch("ROLLBACK").unwrap();
        self.open.clear();
        self.rows = self.committed_rows.clone();
        self.begin();
    }

    fn open_again(&mut self) {
        self.open_again_with(AuditUse::None);
    }

    fn open_again_with(&mut self, audit: AuditUse) {
        self.commit();
        self.connection.execute_batch("COMMIT").unwrap();
        self.log = ChangeLog::open(&self.connection, &options(audit)).unwrap();
        self.begin();
    }

    /// Compacts a user in a transaction of its own.
    fn compact(&mut self, number: i64) {
        self.commit();
        let row = self.rows[&number].clone();
        if row.removed != 0 {
            self.keep(number, &row, ChangeLog::keep_compacted);
            let left = row.left();
            self.write(number, left);
        }
        self.commit();
    }

    fn keep(
        &mut self,
        number: i64,
        row: &Row,
        keep: fn(&mut ChangeLog, &Connection, &RemovedTags) -> rusqlite::Result<()>,
    ) {
        let id = id_of(number);
        let removed = RemovedTags::of(number, id.as_str(), &row.encoded(), row.removed);
        if let Some(removed) = removed.unwrap() {
            keep(&mut self.log, &self.connection, &removed).unwrap();
        }
    }

    fn write(&mut self, number: i64, lying: Tags) {
        let row = Row { lying, removed: 0 };
        let update = "UPDATE resource SET tags = ?2 WHERE number = ?1";
        self.connection
            .execute(update, params![number, row.encoded()])
            .unwrap();
        self.rows.insert(number, row);
    }

    /// Adds a change of some users, each with what it is in the log and what it should be when it is read.
    fn add(&mut self, account: &AccountId, effects: Vec<(LoggedEffect, Effect)>) {
        if effects.is_empty() {
            return;
        }
        self.requests += 1;
        // Times of different clocks, and two ids with one lower half.
        let id = ((self.requests * 37 % 11) << 80 | self.requests << 64) | (self.requests / 2);
        let origin = Origin {
            request_id: RequestId::from_bytes(id.to_be_bytes()),
            time: Timestamp::from_millis(self.time - 7),
            caller: Caller::recorded("jwt:a"),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure_transport: false,
            client_request_id: None,
            action: Action::UntagResources,
            repeat: None,
        };
        let (logged, effects): (Vec<_>, _) = effects.into_iter().unzip();
        let revision = self
            .log
            .add(&self.connection, account, &origin, logged)
            .unwrap();
        let change = Change {
            revision,
            request_id: origin.request_id,
            time: origin.time,
            caller: origin.caller,
            source_ip: origin.source_ip,
            action: origin.action,
            client_token: None,
            effects,
        };
        self.open.push((account.clone(), change));
    }

    /// Removes the tags at these positions from the users of an account.
    fn untag(&mut self, account: &AccountId, positions: TagMask) {
        let mut effects = Vec::new();
        for number in (0..USERS).filter(|number| account_of(*number) == *account) {
            let row = self.rows.get_mut(&number).unwrap();
            let there = (1 << row.lying.len()) - 1;
            let selected = positions & there & !row.removed;
            if selected == 0 {
                continue;
            }
            let lost = tags::at(&row.encoded(), selected).unwrap();
            row.removed |= selected;
            let effect = Effect {
                resource_id: id_of(number),
                kind: EffectKind::Tags {
                    removed: tags::decode(&lost, 0).unwrap(),
                    set: Vec::new(),
                },
            };
            let logged = if self.log.has_kept(number) {
                LoggedEffect::new(number, &effect)
            } else {
                LoggedEffect::removed(number, selected)
            };
            effects.push((logged, effect));
        }
        self.add(account, effects);
    }

    /// Sets all tags of a user.
    fn tag(&mut self, number: i64, value: usize) {
        let row = self.rows[&number].clone();
        let left: BTreeMap<_, _> = row.left().into_iter().collect();
        let set = all_tags(value).into_iter().filter_map(|(key, new)| {
            let old = left.get(&key).cloned();
            (old.as_ref() != Some(&new)).then_some(SetTag { key, old, new })
        });
        let set: Vec<_> = set.collect();
        if set.is_empty() {
            return;
        }
        let effect = Effect {
            resource_id: id_of(number),
            kind: EffectKind::Tags {
                removed: Vec::new(),
                set,
            },
        };
        self.keep(number, &row, ChangeLog::keep_removed);
        self.write(number, all_tags(value));
        let logged = LoggedEffect::new(number, &effect);
        self.add(&account_of(number), vec![(logged, effect)]);
    }

    /// Compares everything that was committed with what the log says. The first revisions of each account may be gone.
    fn check(&mut self) {
        self.commit();
        let recent = self.log.recent();
        let audited = audit::all(&self.connection);
        for account in (0..3).map(account_of) {
            let changes = self.changes.get(&account).cloned().unwrap_or_default();
            let there = extremes(&self.connection, &account).unwrap();
            let newest = changes.last().map(|change| change.revision);
            assert_eq!(there.newest, newest);
            assert_eq!(self.log.newest(&self.connection, &account).unwrap(), newest);
            let left = changes
                .iter()
                .filter(|change| there.oldest.is_some_and(|oldest| change.revision >= oldest));
            let left: Vec<_> = left.cloned().collect();
            let of_account = audited.iter().filter(|audited| audited.account == account);
            let expected = left.iter().cloned();
            let expected =
                expected.map(|change| AuditedChange::of(change, account.clone(), None, false));
            assert!(of_account.cloned().eq(expected), "the audit reads the same");
            let snapshot = Snapshot::new(&self.connection, &account);
            for change in &changes {
                let is_left = left.contains(change);
                let expected = is_left.then_some(change);
                assert_eq!(snapshot.at(change.revision).unwrap().as_ref(), expected);
                let found = read(snapshot.of_request(&recent, change.request_id));
                assert_eq!(found.as_ref(), expected);
            }
            let numbers = (0..USERS).map(Some).chain([None]);
            for (number, most) in
                numbers.flat_map(|number| [(number, 1), (number, 3), (number, 1000)])
            {
                for from in [1, 2, 40, u64::MAX >> 1] {
                    check_order(
                        &snapshot,
                        &recent,
                        &left,
                        Revision::new(from).unwrap(),
                        number,
                        most,
                    );
                }
            }
        }
    }
}

fn read<T>(found: Result<Found<T>, ApplyError>) -> T {
    match found.unwrap() {
        Found::Read(read) => read,
        Found::Again => panic!("nobody has committed since"),
    }
}

fn check_order(
    snapshot: &Snapshot<'_>,
    recent: &RecentKeys,
    left: &[Change],
    from: Revision,
    number: Option<i64>,
    most: usize,
) {
    let is_of = |change: &&Change| {
        let id = number.map(id_of);
        let mut effects = change.effects.iter();
        id.is_none_or(|id| effects.any(|effect| effect.resource_id == id))
    };
    for direction in [Direction::Forwards, Direction::Backwards] {
        let range = Range {
            from,
            direction,
            most,
            most_effects: usize::MAX,
        };
        let found = match number {
            Some(number) => read(snapshot.of_user(recent, number, range)),
            None => snapshot.of(range).unwrap(),
        };
        let expected: Vec<_> = match direction {
            Direction::Forwards => {
                let behind = left.iter().filter(|change| change.revision >= from);
                behind.filter(is_of).take(most).cloned().collect()
            }
            Direction::Backwards => {
                let behind = left.iter().rev().filter(|change| change.revision <= from);
                behind.filter(is_of).take(most).cloned().collect()
            }
        };
        assert_eq!(found, expected, "{from:?} {direction:?} {number:?} {most}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Untag(i64, TagMask),
    Tag(i64, usize),
    Compact(i64),
    Commit,
    RollBack,
    OpenAgain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_i64, 0..1_u32 << KEYS).prop_map(|(account, mask)| Step::Untag(account, mask)),
        4 => (0..USERS, 0..3_usize).prop_map(|(number, value)| Step::Tag(number, value)),
        2 => (0..USERS).prop_map(Step::Compact),
        6 => Just(Step::Commit),
        1 => Just(Step::RollBack),
        1 => Just(Step::OpenAgain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_log_tells_every_change_with_the_values_before(steps in proptest::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Untag(account, mask) => model.untag(&account_of(account), mask),
                Step::Tag(number, value) => model.tag(number, value),
                Step::Compact(number) => model.compact(number),
                Step::Commit => model.commit(),
                Step::RollBack => model.roll_back(),
                Step::OpenAgain => model.open_again(),
            }
        }
        model.check();
    }
}

/// Makes so many commits: one account is changed in each, and another one seldom.
fn long_model(commits: usize) -> Model {
    let mut model = Model::new();
    for commit in 0..commits {
        model.tag(0, commit % 2 + 1);
        if commit % 3 == 0 {
            model.untag(&account_of(0), 1);
        }
        if commit % 100 == 7 || (300..310).contains(&commit) {
            model.tag(1, commit % 2 + 1);
        }
        model.commit();
    }
    model
}

#[test]
fn revisions_are_found_over_many_commits() {
    let mut model = long_model(700);
    model.check();
    model.open_again();
    model.check();
}

#[test]
fn what_has_expired_is_gone_and_revisions_go_on() {
    let mut model = long_model(700);
    model.check();
    // As old as the clock of the model is: the commits of the first 400 seconds go.
    let age = Duration::from_millis((model.time - 1_400_000).unsigned_abs());
    model.log.retention.age = age;
    model.log.has_expired = true;
    while model.log.has_expired(Timestamp::from_millis(model.time)) {
        model.log.expire(&model.connection).unwrap();
        model.commit();
        model.time -= 1_000;
    }
    let count = |select: &str| -> i64 {
        let connection = &model.connection;
        connection.query_row(select, [], |row| row.get(0)).unwrap()
    };
    let oldest = count("SELECT min(sequence) FROM change_log");
    assert!((300..500).contains(&oldest), "{oldest}");
    assert_eq!(model.log.extent, Extent::read(&model.connection).unwrap());
    for (table, column) in [
        ("removed_tags", "sequence"),
        ("change_run", "last_sequence"),
        ("change_position", "sequence"),
    ] {
        let select = format!("SELECT count(*) FROM {table} WHERE {column} < {oldest}");
        assert_eq!(count(&select), 0, "{table}");
        assert!(
            count(&format!("SELECT count(*) FROM {table}")) > 0,
            "{table}"
        );
    }
    let keys =
        "SELECT count(*) FROM change_key WHERE run NOT IN (SELECT last_sequence FROM change_run)";
    assert_eq!(count(keys), 0);
    model.check();
    model.open_again();
    model.tag(1, 7);
    model.untag(&account_of(0), 2);
    model.check();
}

#[test]
fn the_log_is_bounded_in_bytes_and_its_newest_commit_stays() {
    let mut model = long_model(100);
    let bytes = |model: &Model| model.log.extent.total - model.log.extent.oldest_total;
    let before = bytes(&model);
    let expire = |model: &mut Model, most| {
        model.log.retention.bytes = most;
        for _ in 0..4 {
            model.log.expire(&model.connection).unwrap();
            model.commit();
        }
    };
    expire(&mut model, before / 2);
    assert!((before / 3..=before / 2).contains(&bytes(&model)));
    model.check();
    expire(&mut model, 0);
    assert_eq!(model.log.extent.oldest, model.log.extent.newest);
    model.check();
    model.open_again();
    model.tag(0, 9);
    model.tag(1, 9);
    model.check();
}
