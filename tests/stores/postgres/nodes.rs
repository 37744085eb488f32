//! A database that is spread over several nodes, as far as one node shows it.

use tonic::Code;

use super::harness::{database_with, ok_on, remove, run_on, serve, set, stderr, tags_of};
use crate::support::postgres::{Database, shared};

#[test]
fn postgres_without_citus_is_not_distributed_and_says_what_is_missing() {
    let database = shared().database();
    ok_on(&database.url(), &["migrate"]);
    for arguments in [
        &["migrate", "--distribute"][..],
        &["migrate", "--distribute", "--dry-run"],
    ] {
        let refused = run_on(&database.url(), arguments);
        assert!(!refused.status.success());
        let said = stderr(&refused);
        assert!(
            said.contains("no extension citus") && said.contains("CREATE EXTENSION"),
            "{said}"
        );
    }
    ok_on(&database.url(), &["migrate"]);
}

/// Makes each change fail as Citus fails it, at the lock of its account.
fn fail_changes(database: &Database, error: &str) {
    database.sql(&format!(
        "CREATE OR REPLACE FUNCTION untag_lock_account(for_account text) RETURNS bigint LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'connection to the remote node untag@10.0.0.2:5432 failed with the following error: {error}'
            USING ERRCODE = 'connection_failure';
        END $$"
    ));
}

/// The sessions of the service.
fn sessions(database: &Database) -> String {
    database.sql(
        "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity \
         WHERE application_name = 'untag' AND datname = current_database()",
    )
}

#[tokio::test]
async fn postgres_node_that_is_down_has_changed_nothing_and_ends_no_session() {
    let database = database_with(&[&[("env", "prod")]]);
    let server = serve(
        &database.url(),
        &[
            "--store-connections",
            "1",
            "--request-timeout",
            "2",
            "--audit-log",
            "none",
        ],
    );
    let mut client = server.client().await;
    assert_eq!(tags_of(&mut client, &[1]).await.unwrap().len(), 1);
    let before = sessions(&database);
    for (error, says) in [
        (
            "Connection refused Is the server running on that host and accepting TCP/IP connections?",
            "nothing was changed",
        ),
        (
            "could not translate host name \"worker\" to address: Name or service not known",
            "nothing was changed",
        ),
        (
            "server closed the connection unexpectedly",
            "the change may have been made",
        ),
    ] {
        fail_changes(&database, error);
        let failures = [
            remove(&mut client, &[1], &["env"]).await.unwrap_err(),
            set(&mut client, &[1], &[("env", "test")])
                .await
                .unwrap_err(),
        ];
        for failure in failures {
            // Whoever looks for the change may do so until the deadline.
            let is_late = says.contains("may have") && failure.code() == Code::DeadlineExceeded;
            assert!(
                is_late || failure.code() == Code::Unavailable,
                "{failure:?}"
            );
            assert!(failure.message().contains(says), "{error}: {failure:?}");
        }
        // A list is answered on the same session.
        assert_eq!(tags_of(&mut client, &[1]).await.unwrap().len(), 1);
        assert_eq!(sessions(&database), before);
    }
}
