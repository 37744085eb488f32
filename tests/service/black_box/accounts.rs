//! The account whose users a request acts on.

use tonic::Code;

use super::home::Home;
use super::users::{
    ANN, ANN_NAME, BEN, OTHER_ACCOUNT, ask_as, filter_request, ids, list_as, list_request, names,
    server, tag_request, tags_of, untag_request,
};
use crate::support::{ALICE, SAMPLE_ACCOUNT};

#[tokio::test]
async fn no_operation_sees_or_changes_another_account() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    // Ben is in the first account only; Ann's id and name are in both.
    for users in [ids([BEN]), names(["ben@example.com"])] {
        let untag = ask_as(OTHER_ACCOUNT, untag_request(users.clone(), &["env"]));
        assert_eq!(
            client.untag_resources(untag).await.unwrap_err().code(),
            Code::NotFound
        );
        let tag = ask_as(OTHER_ACCOUNT, tag_request(users.clone(), &[("a", "b")]));
        assert_eq!(
            client.tag_resources(tag).await.unwrap_err().code(),
            Code::NotFound
        );
        let list = list_as(client, OTHER_ACCOUNT, list_request(users)).await;
        assert_eq!(list.unwrap_err().code(), Code::NotFound);
    }
    let filter = filter_request(&[("env", None)]);
    assert_eq!(
        list_as(client, OTHER_ACCOUNT, filter).await.unwrap(),
        ["501 env=other"]
    );

    let tag = ask_as(
        OTHER_ACCOUNT,
        tag_request(names([ANN_NAME]), &[("mine", "1")]),
    );
    client.tag_resources(tag).await.unwrap();
    let untag = ask_as(OTHER_ACCOUNT, untag_request(ids([ANN]), &["env", "team"]));
    client.untag_resources(untag).await.unwrap();
    assert_eq!(
        tags_of(client, ANN).await,
        ["501 Team=b", "501 env=prod", "501 team=a"]
    );
    let others = list_as(client, OTHER_ACCOUNT, list_request(ids([ANN]))).await;
    assert_eq!(others.unwrap(), ["501 mine=1"]);
}

#[tokio::test]
async fn the_default_account_serves_requests_that_name_none() {
    let (server, _directory) = server(&["--default-account", OTHER_ACCOUNT]);
    let client = &mut server.client().await;
    let listed = client
        .list_tag_resources(list_request(ids([ANN])))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.tag_resources[0].tag_value, "other");
    client
        .untag_resources(untag_request(ids([ANN]), &["env"]))
        .await
        .unwrap();
    assert_eq!(
        tags_of(client, ANN).await.len(),
        3,
        "a request that names an account acts on that one"
    );
    assert!(
        list_as(client, OTHER_ACCOUNT, list_request(ids([ANN])))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn sample_data_is_the_default_account_and_is_there_again_at_each_start() {
    let home = Home::new();
    for _ in 0..2 {
        let server = home.serve(&["--sample-data"]);
        let client = &mut server.client().await;
        let listed = client
            .list_tag_resources(list_request(ids([ALICE])))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.tag_resources.len(), 3);
        let untag = ask_as(SAMPLE_ACCOUNT, untag_request(ids([ALICE]), &["env"]));
        client.untag_resources(untag).await.unwrap();
    }
}
