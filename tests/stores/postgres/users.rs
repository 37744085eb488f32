//! Users that come and go: what is true of this store alone.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use untag::domain::{
    AccountId, DeletedUsers, Edit, NewUser, PageSize, PrincipalName, ResourceId, TagKey,
    TagSelection, Targets, Timestamp, UntagCommand, UserChange, UserCommand, UserContinuation,
    UserKey, UserListQuery, UserQuery, UserUpdate,
};
use untag::store::postgres::{ConnectionString, Options, PostgresStore};
use untag::store::{AuditUse, Retention, Store as _, StoreError};

use super::harness::{
    ACCOUNT, database_with, import, ok_on, run_on, session, stderr, user_line, wait_for_lock_wait,
    wait_for_lock_waits,
};
use crate::support::origin;
use crate::support::postgres::{Cluster, Database};

const DAY: i64 = 24 * 60 * 60 * 1_000;

async fn store(database: &Database) -> PostgresStore {
    let connection = ConnectionString::parse(&database.url(), None).unwrap();
    let options = Options {
        queue: 64,
        connections: 2,
        reload_interval: Duration::from_secs(10),
        retention: Retention::default(),
        audit: AuditUse::None,
    };
    PostgresStore::open(&connection, options).await.unwrap()
}

fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

fn name(text: &str) -> PrincipalName {
    PrincipalName::parse(text).unwrap()
}

fn create(number: usize) -> UserChange {
    let name = name(&format!("new-{number}@example.com"));
    let new = NewUser::new(id(&number.to_string()), name, [].into());
    UserChange::Create(new.unwrap())
}

fn delete(number: usize) -> UserChange {
    UserChange::Delete {
        id: id(&number.to_string()),
    }
}

fn rename(number: usize, to: &str) -> UserChange {
    UserChange::Update(UserUpdate {
        id: id(&number.to_string()),
        principal_name: Some(name(to)),
        display_name: Edit::Keep,
        comments: Edit::Keep,
        tags: None,
    })
}

async fn change(store: &PostgresStore, account: &str, millis: i64, changes: Vec<UserChange>) {
    let account = AccountId::parse(account).unwrap();
    let command = UserCommand::new(account, Timestamp::from_millis(millis), changes).unwrap();
    store
        .change_users(Arc::new(command), origin())
        .await
        .unwrap();
}

/// An untag of `env`.
fn untag(targets: Targets) -> Arc<UntagCommand> {
    Arc::new(UntagCommand {
        account: AccountId::parse(ACCOUNT).unwrap(),
        targets,
        selection: TagSelection::Keys(vec![TagKey::parse("env").unwrap()]),
        expected: None,
        allow_missing: false,
        validate_only: false,
    })
}

#[tokio::test]
async fn postgres_import_refuses_a_deleted_user_and_takes_one_that_has_expired() {
    let database = database_with(&[&[("env", "prod")], &[]]);
    let store = store(&database).await;
    let now = Timestamp::from(SystemTime::now()).millis();
    change(&store, ACCOUNT, now, vec![delete(1)]).await;
    let exported = ok_on(&database.url(), &["export"]);
    assert_eq!(exported, user_line(2, &[]));

    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = user_line(3, &[]) + &user_line(1, &[("env", "test")]);
    fs::write(&file, &lines).unwrap();
    let arguments = ["import", file.path().to_str().unwrap()];
    let refused = run_on(&database.url(), &arguments);
    assert!(!refused.status.success());
    let said = stderr(&refused);
    let expected = format!("the user 1 of account {ACCOUNT} was deleted less than 30 days ago");
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("nothing was imported"), "{said}");
    assert_eq!(ok_on(&database.url(), &["export"]), exported);

    database.sql(&format!(
        "UPDATE deleted_user SET delete_time = delete_time - {}",
        30 * DAY
    ));
    ok_on(&database.url(), &arguments);
    let exported = ok_on(&database.url(), &["export"]);
    let expected = user_line(1, &[("env", "test")]) + &user_line(2, &[]) + &user_line(3, &[]);
    assert_eq!(exported, expected);
    assert_eq!(database.sql("SELECT count(*) FROM deleted_user"), "0");
}

#[tokio::test]
async fn postgres_import_keeps_what_a_user_has_beside_name_and_tags() {
    let database = database_with(&[]);
    let store = store(&database).await;
    change(&store, ACCOUNT, DAY, vec![create(1)]).await;
    import(&database.url(), &user_line(1, &[("env", "prod")]));
    let query = UserQuery {
        account: AccountId::parse(ACCOUNT).unwrap(),
        by: UserKey::Id(id("1")),
        time: Timestamp::from_millis(DAY),
    };
    let user = store.get_user(Arc::new(query)).await.unwrap().unwrap();
    assert_eq!(user.create_time, Some(Timestamp::from_millis(DAY)));
    assert_eq!(user.resource.tags().len(), 1);
}

#[tokio::test]
async fn postgres_commands_purge_users_that_have_expired_in_their_account() {
    let database = database_with(&[]);
    let store = store(&database).await;
    for account in [ACCOUNT, "8"] {
        for part in [0..1_000, 1_000..1_200] {
            change(&store, account, 0, part.clone().map(create).collect()).await;
            change(&store, account, DAY, part.map(delete).collect()).await;
        }
        change(&store, account, 2 * DAY, vec![create(2_000)]).await;
        change(&store, account, 2 * DAY, vec![delete(2_000)]).await;
    }
    let left = |account: &str| {
        let count = format!("SELECT count(*) FROM deleted_user WHERE account_id = '{account}'");
        database.sql(&count)
    };
    assert_eq!(left(ACCOUNT), "1201");
    change(&store, ACCOUNT, 31 * DAY, vec![create(3_000)]).await;
    assert_eq!(left(ACCOUNT), "201", "at most 1,000 are purged at once");
    change(&store, ACCOUNT, 31 * DAY, vec![delete(3_000)]).await;
    assert_eq!((&*left(ACCOUNT), &*left("8")), ("2", "1201"));
}

#[tokio::test]
async fn postgres_untags_that_waited_find_who_has_the_name_or_id_by_then() {
    let database = database_with(&[&[("env", "prod")], &[("env", "prod")], &[("env", "prod")]]);
    let store = store(&database).await;
    let names = [1, 2].map(|number| name(&format!("user-{number}@example.com")));
    // The names pass from one to the other, and a user goes and comes back, while the untag waits for them.
    let swap = "UPDATE resource SET principal_name = 'x' WHERE resource_id = '1';
        UPDATE resource SET principal_name = 'user-1@example.com' WHERE resource_id = '2';
        UPDATE resource SET principal_name = 'user-2@example.com' WHERE resource_id = '1'";
    let replace =
        "WITH gone AS (DELETE FROM resource WHERE resource_id = '3' RETURNING *) SELECT FROM gone;
        INSERT INTO resource VALUES ('7', 'user', '3', 'again@example.com', '{\"env\": \"new\"}')";
    let cases = [
        (swap, Targets::Names(names[..1].to_vec())),
        (replace, Targets::Ids(vec![id("3")])),
    ];
    for (meanwhile, targets) in cases {
        let other = session(&database).await;
        other
            .batch_execute(&format!("BEGIN; {meanwhile}"))
            .await
            .unwrap();
        let (waiting, command) = (store.clone(), untag(targets.clone()));
        let untagged = tokio::spawn(async move { waiting.untag(command, origin()).await });
        wait_for_lock_wait(&database).await;
        other.batch_execute("COMMIT").await.unwrap();
        let changed = untagged.await.unwrap().unwrap();
        assert_eq!(
            (changed.resources, changed.tags),
            (1, Some(1)),
            "{targets:?}"
        );
    }
    let left = "SELECT resource_id FROM resource WHERE tags ? 'env' ORDER BY 1";
    assert_eq!(database.sql(left), "1");
}

#[tokio::test]
async fn postgres_untags_that_waited_for_a_user_that_is_deleted_miss_it() {
    let database = database_with(&[&[("env", "prod")], &[("env", "prod")]]);
    let store = store(&database).await;
    let other = session(&database).await;
    let lock = "BEGIN; SELECT FROM resource WHERE resource_id = '1' FOR UPDATE";
    other.batch_execute(lock).await.unwrap();
    // First the delete waits for the row, and then the untag behind it.
    let deleting = store.clone();
    let deleted =
        tokio::spawn(async move { change(&deleting, ACCOUNT, DAY, vec![delete(1)]).await });
    wait_for_lock_wait(&database).await;
    let command = untag(Targets::Ids(vec![id("2"), id("1")]));
    let untagged = tokio::spawn({
        let store = self::store(&database).await;
        async move { store.untag(command, origin()).await }
    });
    wait_for_lock_waits(&database, 2).await;
    other.batch_execute("COMMIT").await.unwrap();
    deleted.await.unwrap();
    let answer = untagged.await.unwrap();
    assert!(
        matches!(&answer, Err(StoreError::Missing(positions)) if *positions == [1]),
        "{answer:?}"
    );
    let left = "SELECT count(*) FROM resource WHERE tags ? 'env'";
    assert_eq!(database.sql(left), "1", "the other user has kept its tag");
}

/// A cluster that logs how it carries out each statement, also those of functions.
fn explaining() -> Cluster {
    Cluster::start(
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\n\
         auto_explain.log_nested_statements = on\nauto_explain.log_analyze = on\nauto_explain.log_timing = off\n",
    )
}

/// The plans of a function are made when it is first called, and kept.
#[tokio::test]
async fn postgres_commands_search_users_by_index_also_where_the_table_was_empty_at_first() {
    let cluster = explaining();
    let database = cluster.database();
    ok_on(&database.url(), &["migrate"]);
    let store = store(&database).await;
    change(&store, ACCOUNT, DAY, (0..3).map(create).collect()).await;
    let restore = UserChange::Restore {
        id: id("1"),
        new_name: None,
    };
    let swap = vec![
        rename(0, "new-2@example.com"),
        rename(2, "new-0@example.com"),
    ];
    for changes in [swap, vec![delete(1)], vec![restore, create(5)]] {
        change(&store, ACCOUNT, DAY, changes).await;
    }
    for targets in [
        Targets::Ids(vec![id("9")]),
        Targets::Names(vec![name("9@x")]),
    ] {
        let missing = store.untag(untag(targets), origin()).await;
        assert!(
            matches!(missing, Err(StoreError::Missing(_))),
            "{missing:?}"
        );
    }
    let log = fs::read_to_string(cluster.directory.join("log")).unwrap();
    let scans = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert!(scans("Index Scan using resource_pkey") > 10, "{log}");
    assert!(scans("Scan using resource_by_principal_name") > 3, "{log}");
    assert!(scans("Index Scan using deleted_user_") > 5, "{log}");
    // Who is looked for by id is not looked for in the index of names.
    for (scan, condition) in log.lines().zip(log.lines().skip(1)) {
        let is_by_name = !scan.contains("Scan using resource_by_principal_name ")
            || condition.contains("lower(");
        assert!(is_by_name, "{scan}{condition}: {log}");
    }
    for table in ["resource", "deleted_user"] {
        let scanned = format!("Seq Scan on {table} ");
        assert_eq!(scans(&scanned), 0, "{log}");
    }
}

#[tokio::test]
async fn postgres_lists_of_users_stop_at_the_end_of_the_page() {
    let cluster = explaining();
    let database = cluster.database();
    ok_on(&database.url(), &["migrate"]);
    let lines = (10_000..40_000).map(|number| user_line(number, &[]));
    import(&database.url(), &lines.collect::<String>());
    database.sql(
        "INSERT INTO deleted_user SELECT account_id, resource_type, resource_id || '0', principal_name, tags, \
         NULL, NULL, NULL, NULL, 1 FROM resource; ANALYZE",
    );
    let store = store(&database).await;
    for (deleted, last) in [(DeletedUsers::Hide, "20009"), (DeletedUsers::Show, "20004")] {
        let log = || fs::read_to_string(cluster.directory.join("log")).unwrap();
        let before = log().len();
        let account = AccountId::parse(ACCOUNT).unwrap();
        let query = UserListQuery {
            page_size: PageSize::parse(10).unwrap(),
            after: Some(id("2").into()),
            deleted,
            ..UserListQuery::all(account, Timestamp::from_millis(0))
        };
        let page = store.list_users(Arc::new(query)).await.unwrap();
        let next = page.next.as_ref().and_then(UserContinuation::behind);
        assert!(next.unwrap().as_str().starts_with(last));
        let log = &log()[before..];
        let actual = log
            .lines()
            .filter_map(|line| line.split_once("(actual rows="));
        // Since PostgreSQL 18 they have decimals.
        let rows = actual.map(|(_, rows)| rows.split(' ').next().unwrap().parse().unwrap());
        let most = rows.fold(0.0, f64::max);
        // One more user than the page has, and one that is read before it is needed.
        assert!((11.0..=12.0).contains(&most), "{most}: {log}");
    }
}
