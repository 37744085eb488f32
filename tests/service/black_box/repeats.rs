//! Requests that are sent again with their client token.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use untag::grpc::proto::{TagResourcesRequest, UntagResourcesRequest, UntagResourcesResponse};

use super::answer::alibaba_codes;
use super::users::{
    ANN, BEN, Client, OTHER_ACCOUNT, ask, ask_as, directory, dry, ids, server, tag_request,
    tags_of, untag_request,
};

fn untag_env(token: &str) -> UntagResourcesRequest {
    UntagResourcesRequest {
        client_token: token.to_owned(),
        ..untag_request(ids([ANN]), &["env"])
    }
}

async fn send(
    client: &mut Client,
    request: UntagResourcesRequest,
) -> Result<UntagResourcesResponse, Status> {
    client
        .untag_resources(ask(request))
        .await
        .map(tonic::Response::into_inner)
}

async fn set_env(client: &mut Client, value: &str) {
    let request = ask(tag_request(ids([ANN]), &[("env", value)]));
    client.tag_resources(request).await.unwrap();
}

#[tokio::test]
async fn a_request_that_comes_again_is_answered_as_it_was_and_changes_nothing() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let first = send(client, untag_env("order 7/1")).await.unwrap();
    assert_eq!((first.revision, first.changed_tags), (Some(1), Some(1)));
    set_env(client, "newer").await;
    let again = client
        .untag_resources(ask(untag_env("order 7/1")))
        .await
        .unwrap();
    let header = again.metadata().get("x-request-id").unwrap();
    assert_eq!(header, first.request_id.as_str());
    assert_eq!(again.into_inner(), first);
    assert!(
        tags_of(client, ANN)
            .await
            .contains(&"501 env=newer".to_owned())
    );

    // The log tells a replay, under the first RequestId and its own.
    let is_replay = |line: &serde_json::Value| line["replay"] == true;
    let line = server.wait_for_log_where("request", is_replay);
    assert_eq!(line["request_id"], first.request_id);
    assert_ne!(line["first_request_id"], first.request_id);
    assert_eq!(line["affected"], 0);
    assert_eq!(server.count_in_log(is_replay), 1);
}

#[tokio::test]
async fn a_token_is_that_of_one_request() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    send(client, untag_env("t")).await.unwrap();
    let other = UntagResourcesRequest {
        client_token: "t".to_owned(),
        ..untag_request(ids([ANN]), &["team"])
    };
    let refused = send(client, other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(alibaba_codes(&refused), ["IdempotentParameterMismatch"]);
    // Another method and another account have tokens of their own.
    let tag = TagResourcesRequest {
        client_token: "t".to_owned(),
        ..tag_request(ids([ANN]), &[("env", "x")])
    };
    client.tag_resources(ask(tag)).await.unwrap();
    let elsewhere = client
        .untag_resources(ask_as(OTHER_ACCOUNT, untag_env("t")))
        .await
        .unwrap();
    assert_eq!(elsewhere.into_inner().changed_tags, Some(1));
    assert!(tags_of(client, ANN).await.contains(&"501 env=x".to_owned()));
}

#[tokio::test]
async fn a_request_that_was_refused_or_only_checked_leaves_its_token_free() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let missing = UntagResourcesRequest {
        client_token: "t".to_owned(),
        ..untag_request(ids([ANN, "999"]), &["env"])
    };
    assert_eq!(
        send(client, missing).await.unwrap_err().code(),
        Code::NotFound
    );
    let checked = dry(untag_env("t"));
    for _ in 0..2 {
        assert_eq!(
            send(client, checked.clone()).await.unwrap().changed_tags,
            Some(1)
        );
    }
    assert_eq!(
        send(client, untag_env("t")).await.unwrap().changed_tags,
        Some(1)
    );
    let invalid = send(client, untag_env("caf\u{e9}")).await.unwrap_err();
    assert_eq!(alibaba_codes(&invalid), ["InvalidParameter.ClientToken"]);
    let details = invalid.get_error_details();
    assert_eq!(
        details.bad_request().unwrap().field_violations[0].field,
        "client_token"
    );
}

#[tokio::test]
async fn what_has_stayed_is_named_again() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let request = UntagResourcesRequest {
        expected_values: [("env".to_owned(), "prod".to_owned())].into(),
        skip_mismatched: true,
        client_token: "t".to_owned(),
        ..untag_request(ids([BEN, ANN]), &["env"])
    };
    let first = send(client, request.clone()).await.unwrap();
    assert_eq!(first.mismatched_tags.len(), 1);
    assert_eq!(first.mismatched_tags[0].resource_name, BEN);
    assert_eq!(send(client, request).await.unwrap(), first);
}

#[tokio::test]
async fn requests_at_once_with_one_token_are_one() {
    let (server, _home) = server(&[]);
    let client = server.client().await;
    let sent = (0..32).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { send(&mut client, untag_env("t")).await.unwrap() })
    });
    let answers = futures_util::future::join_all(sent.collect::<Vec<_>>()).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(answers[0].changed_tags, Some(1));
}

#[tokio::test]
async fn an_answer_is_remembered_through_a_kill() {
    let home = directory();
    let mut server = home.serve(&[]);
    let client = &mut server.client().await;
    let first = send(client, untag_env("t")).await.unwrap();
    let nothing = send(client, untag_env("nothing")).await.unwrap();
    set_env(client, "newer").await;
    server.kill();
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    assert_eq!(send(client, untag_env("t")).await.unwrap(), first);
    assert_eq!(send(client, untag_env("nothing")).await.unwrap(), nothing);
    assert!(
        tags_of(client, ANN)
            .await
            .contains(&"501 env=newer".to_owned())
    );
}
