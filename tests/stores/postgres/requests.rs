//! Requests in good times, and requests that wait for each other.

use tonic::Code;

use super::harness::{
    Client, database_with, remove, serve, session, set, tags_of, wait_for_lock_wait,
};
use crate::support::postgres::Database;
use crate::support::{ALICE, Server};

fn tag(id: &str, key: &str, value: &str) -> (String, String, String) {
    (id.to_owned(), key.to_owned(), value.to_owned())
}

#[tokio::test]
async fn postgres_requests_are_carried_out_and_outlive_the_server() {
    let database = database_with(&[&[("env", "prod"), ("team", "a")], &[("env", "test")]]);
    let mut server = serve(&database.url(), &[]);
    let mut client = server.client().await;
    remove(&mut client, &[1, 2], &["env", "absent"])
        .await
        .unwrap();
    set(&mut client, &[2], &[("owner", "")]).await.unwrap();
    let expected = [tag("1", "team", "a"), tag("2", "owner", "")];
    assert_eq!(tags_of(&mut client, &[2, 1]).await.unwrap(), expected);

    let missing = remove(&mut client, &[1, 9], &["team"]).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    server.kill();
    let server = serve(&database.url(), &[]);
    assert_eq!(
        tags_of(&mut server.client().await, &[1, 2]).await.unwrap(),
        expected
    );
}

#[tokio::test]
async fn postgres_sample_data_is_put_there_at_each_start() {
    let database = database_with(&[]);
    let alice: usize = ALICE.parse().unwrap();
    for _ in 0..2 {
        let mut command = crate::support::untag();
        command.args(["serve", "--sample-data", "--store", &database.url()]);
        let server = Server::spawn(command);
        let mut client = server.client().await;
        let keys = tags_of(&mut client, &[alice]).await.unwrap();
        let keys: Vec<_> = keys.iter().map(|(_, key, _)| key.as_str()).collect();
        assert_eq!(keys, ["cost-center", "env", "team"]);
        remove(&mut client, &[alice], &["env"]).await.unwrap();
    }
}

/// Runs a request that has to wait for a change of another session, which is committed meanwhile.
async fn waits_for<F: Future<Output = Result<(), tonic::Status>> + Send + 'static>(
    database: &Database,
    change: &str,
    request: impl FnOnce(Client) -> F,
) -> Client {
    let other = session(database).await;
    let server = serve(&database.url(), &[]);
    let client = server.client().await;
    other
        .batch_execute(&format!("BEGIN; {change}"))
        .await
        .unwrap();
    let request = tokio::spawn(request(client.clone()));
    wait_for_lock_wait(database).await;
    other.batch_execute("COMMIT").await.unwrap();
    request.await.unwrap().unwrap();
    // The server ends here; what is left is in the database.
    drop(server);
    client
}

// One of the two users looks, in the state before the other's change, as if there were nothing to do for it. A request that
// believed that would come before the change for one user and after it for the other.

#[tokio::test]
async fn postgres_untag_that_waits_for_a_tag_comes_after_it_for_every_user() {
    let database = database_with(&[&[("env", "old")], &[]]);
    let change = r#"UPDATE resource SET tags = tags || '{"env": "new"}'"#;
    waits_for(&database, change, |mut client| async move {
        remove(&mut client, &[1, 2], &["env"]).await
    })
    .await;
    assert_eq!(
        database.sql("SELECT resource_id, tags FROM resource ORDER BY 1"),
        "1|{}\n2|{}"
    );
}

#[tokio::test]
async fn postgres_untag_of_all_that_waits_for_a_tag_comes_after_it_for_every_user() {
    use untag::grpc::proto::UntagResourcesRequest;
    use untag::grpc::proto::untag_resources_request::Resources;
    let database = database_with(&[&[("env", "old")], &[]]);
    let change = r#"UPDATE resource SET tags = tags || '{"env": "new"}'"#;
    waits_for(&database, change, |mut client| async move {
        let request = UntagResourcesRequest {
            resources: Some(Resources::ResourceIds(super::harness::resource_ids(&[
                1, 2,
            ]))),
            all: true,
            ..UntagResourcesRequest::default()
        };
        client.untag_resources(request).await.map(drop)
    })
    .await;
    assert_eq!(
        database.sql("SELECT resource_id, tags FROM resource ORDER BY 1"),
        "1|{}\n2|{}"
    );
}

#[tokio::test]
async fn postgres_tag_that_waits_for_an_untag_comes_after_it_for_every_user() {
    let database = database_with(&[&[("env", "x")], &[("team", "a")]]);
    let change = "UPDATE resource SET tags = tags - 'env'";
    waits_for(&database, change, |mut client| async move {
        set(&mut client, &[1, 2], &[("env", "x")]).await
    })
    .await;
    let expected = "1|x\n2|x";
    assert_eq!(
        database.sql("SELECT resource_id, tags->>'env' FROM resource ORDER BY 1"),
        expected
    );
}

#[tokio::test]
async fn postgres_untag_of_a_record_that_is_no_object_is_refused_and_leaves_it() {
    let database = database_with(&[&[("env", "prod")], &[]]);
    let server = serve(&database.url(), &[]);
    let mut client = server.client().await;
    // An array, from which jsonb's operators would remove the key, and a text that is the key.
    for damaged in [r#"["env", "x"]"#, r#""env""#, r#""x""#, "1"] {
        database.sql(&format!(
            "UPDATE resource SET tags = '{damaged}' WHERE resource_id = '2'"
        ));
        let refused = remove(&mut client, &[1, 2], &["env"]).await.unwrap_err();
        assert_eq!(refused.code(), Code::Internal, "{damaged}");
        let left = database.sql("SELECT tags FROM resource ORDER BY resource_id");
        assert_eq!(left, format!("{{\"env\": \"prod\"}}\n{damaged}"));
    }
}
